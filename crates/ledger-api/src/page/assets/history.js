// A tenant's history as lanes, one for each app. A record's `changes` have the state after it, as it was derived when it
// was appended. What a later-recorded event corrected is asked for again, and shown as doubtful until it is answered.

import { ask, lines, path } from "./api.js";
import { iso, parse } from "./time.js";
import { changeText, eventTitle } from "./words.js";

const REPAIRS_MOST = 60;

const LETTERS = { override: "O", uninstalled: "U", installed: "I", continued: "L", superseded: "L", "data-located": "D", "product-moved": "P", "subscription-observed": "S" };

export function kindOf({ record, change }) {
	const { event: { type }, overtaken } = record;
	if (change?.anomalies?.length) return ["anomaly", "!"];
	if (change?.correction || overtaken) return ["correction", "↺"];
	return [type, LETTERS[type] ?? (type.startsWith("migrat") ? "M" : "·")];
}

export class History {
	constructor() {
		this.records = [];
		this.newest = -Infinity;
		this.corrections = [];
		this.repaired = new Map();
	}

	add(records) {
		for (const record of records) {
			this.records.push(record);
			// Of an app that is not granted: nothing but its place.
			if (!record.event) continue;
			record.ms = parse(record.event.time);
			record.recordedMs = parse(record.recordedAt);
			// Records that happened later came earlier.
			record.overtaken = record.ms < this.newest;
			this.newest = Math.max(this.newest, record.ms);
		}
	}

	async load(client, signal, onPart) {
		const of = path`/v1/tenants/${client}`, fromSeq = (this.records.at(-1)?.seq ?? 0) + 1;
		for await (const objects of lines(`${of}/log`, { fromSeq }, { signal })) {
			this.add(objects.filter((object) => object.seq));
			onPart?.();
		}
		let next = (this.corrections.at(-1)?.position ?? -1) + 1;
		do {
			const { corrections, nextPosition } = await ask(`${of}/corrections`, { fromPosition: next, limit: 1000 }, { signal });
			for (const correction of corrections) this.corrections.push({ ...correction, recordedMs: parse(correction.recordedAt) });
			next = nextPosition;
		} while (next !== undefined);
	}

	extent() {
		return { first: this.effective()[0]?.ms, last: this.newest, recordedFirst: this.effective()[0]?.recordedMs };
	}

	effective() {
		if (this.sortedOf !== this.records.length) {
			this.sortedOf = this.records.length;
			this.sorted = this.records.filter((record) => record.event).sort((a, b) => a.ms - b.ms || a.seq - b.seq);
		}
		return this.sorted;
	}

	known(knownAt) {
		return knownAt === undefined ? this.records : this.records.filter((record) => record.recordedMs <= knownAt);
	}

	points(knownAt) {
		const apps = new Map();
		for (const record of this.effective()) {
			if (record.recordedMs > knownAt) continue;
			const changes = record.changes ?? [];
			const own = record.event.appKey;
			for (const change of changes) point(apps, change.appKey, record, change);
			if (own && !changes.some((change) => change.appKey === own)) point(apps, own, record);
		}
		return apps;
	}

	// Marks points whose state is not the one of their place, as they came late or were corrected since, and uses what was
	// asked again.
	correct(apps, knownAt) {
		const doubtful = [];
		const doubt = (app, point) => {
			if (point.doubtful || point.repaired) return;
			const answer = this.repaired.get(`${app} ${point.record.ms} ${knownAt ?? ""}`);
			if (answer) Object.assign(point, { state: answer, repaired: true });
			else doubtful.push(Object.assign(point, { doubtful: true, app }));
		};
		for (const [app, points] of apps) for (const point of points) if (point.record.overtaken) doubt(app, point);
		for (const { appKey, firstSeq, position, recordedMs } of this.corrections) {
			if (knownAt !== undefined && recordedMs > knownAt) continue;
			const points = apps.get(appKey) ?? [], first = points.findIndex(({ record }) => record.seq === firstSeq);
			for (const point of first < 0 ? [] : points.slice(first)) if (point.record.position < position) doubt(appKey, point);
		}
		return doubtful;
	}

	async settle(client, doubtful, knownAt, signal) {
		const wanted = new Map(doubtful.slice(-REPAIRS_MOST).map((point) => [`${point.app} ${point.record.ms} ${knownAt ?? ""}`, point]));
		const one = async ([key, { app, record }]) => {
			const asked = { at: iso(record.ms), knownAt: knownAt && iso(knownAt) };
			this.repaired.set(key, (await ask(path`/v1/tenants/${client}/apps/${app}`, asked, { signal })).installation);
		};
		return (await Promise.allSettled([...wanted].map(one))).some(({ status }) => status === "fulfilled");
	}

	lanes(knownAt) {
		const made = [knownAt, this.records.length, this.corrections.length, this.repaired.size].join();
		if (made !== this.made) {
			const apps = this.points(knownAt), doubtful = this.correct(apps, knownAt);
			const lanes = [...apps.keys()].sort().map((app) => laneOf(app, apps.get(app)));
			Object.assign(this, { made, last: { lanes, doubtful } });
		}
		return this.last;
	}
}

export function titleOf({ record, change }) {
	return `${eventTitle(record.event)}: ${change ? changeText(change) : "nothing changed"}`;
}

function point(apps, app, record, change) {
	const points = apps.get(app) ?? apps.set(app, []).get(app);
	points.push({ record, change, state: change?.after ?? points.at(-1)?.state });
}

function laneOf(app, points) {
	const lane = { app, bars: [], gone: [], products: [], migrations: [], overrides: [], marks: points }, last = {};
	points.forEach(({ record, state, doubtful }, at) => {
		const from = record.ms, to = points[at + 1]?.record.ms ?? Infinity;
		if (!state) return;
		// The same as before goes on; anything else begins anew.
		const extend = (pieces, kind, from, to, realm, { end, id, phase } = {}) => {
			const before = last[kind];
			if (before?.to === from && before.realm === realm && before.end === end && before.id === id && before.phase === phase) {
				before.to = to;
				before.doubtful ||= doubtful;
			} else if (to > from) pieces.push(last[kind] = { kind, realm, from, to, end, id, phase, seq: record.seq, doubtful });
		};
		const { status, pinnedRealm, productRealm, window, migration, override } = state;
		if (status === "INSTALLED") extend(lane.bars, "installed", from, to, pinnedRealm);
		else {
			const end = window ? (window.end ? parse(window.end) : Infinity) : from;
			if (window && !window.forgotten && end > from) extend(lane.bars, "window", from, Math.min(to, end), pinnedRealm, { end });
			if (end < to && status === "UNINSTALLED") extend(lane.gone, "gone", Math.max(from, end), to, pinnedRealm);
		}
		if (productRealm) extend(lane.products, "product", from, to, productRealm);
		if (migration) extend(lane.migrations, "migration", from, to, migration.targetRealm, { id: migration.migrationId, phase: migration.phase });
		if (override) extend(lane.overrides, "override", from, to, override);
	});
	return lane;
}
