// A tenant: where its apps are and why, their lanes over time, and the same history as a table.

import { ask, lines, path } from "./api.js";
import { AsOf } from "./asof.js";
import { Cards } from "./cards.js";
import { button, card, downloadLines, h, link, note, replace } from "./dom.js";
import { History } from "./history.js";
import { current, href, keep, recordHref, tenantHref } from "./route.js";
import { VirtualTable } from "./table.js";
import { Timeline, wholeRange } from "./timeline.js";
import { iso, parse, when } from "./time.js";
import { changeText, eventTitle, freshnessNote, problemNote, tag } from "./words.js";

const REFRESH_MS = 5000;

const LEGEND = "I install, U uninstall, M migration, O override, ! anomaly, ↺ late or correcting, P product moved, D data located, L link, S subscription, 12 so many records: zoom in".split(", ");

class TenantPage {
	constructor(client, parameters) {
		this.client = client;
		this.history = new History();
		this.range = { from: parse(parameters.from), to: parse(parameters.to) };
		this.asOf = new AsOf(parameters, () => this.moved());
		this.cards = new Cards(client);
		this.timeline = new Timeline(client, { onRange: (range, isAll) => keepRange(range, isAll), parameters: () => this.known() });
		this.rows = new VirtualTable(this.columns(), `History of ${client}`);
		this.note = h("div");
		this.problem = h("div");
		this.count = h("span.soft.small", { role: "status" });
		this.abort = new AbortController();
	}

	columns() {
		const number = (record) => link(recordHref(this.client, record.seq, this.known()), `${record.seq}`);
		const change = (record) => (record.changes ?? []).map((one) => changeText(one)).join("; ") || "nothing";
		return [
			{ name: "Record", width: "4.5rem", cell: number },
			{ name: "Happened", width: "11.5rem", cell: ({ event }) => event && when(event.time) },
			{ name: "App", width: "12.5rem", cell: ({ event }) => (event ? (event.appKey ?? "all apps") : h("i.soft", "not granted")) },
			{ name: "Event", width: "13.5rem", cell: ({ event, overtaken }) => event && [eventTitle(event), overtaken && [" ", tag("late", "warn")]] },
			{ name: "What it changed", cell: (record) => record.event && h("span", { title: change(record) }, change(record)) },
			{ name: "Recorded", width: "11.5rem", cell: ({ recordedAt }) => recordedAt && when(recordedAt) },
		];
	}

	known() {
		return { knownAt: this.asOf.parameters().knownAt };
	}

	element() {
		const letters = h("ul.legend", { label: "Letters of the marks" }, LEGEND.map((text) => h("li", h("b", text.split(" ", 1)), text.replace(/^\S+/, ""))),
			h("li", "hatched: a window in which it would come back"), h("li", "dotted: now"));
		this.ofLog = [
			card(["Timeline", this.timeline.controls], this.timeline.element, this.timeline.hint, letters),
			card(["The same as a table", this.count], this.rows.element)];
		return [
			h("div.head", h("h1", this.client), h("div", { class: "actions noprint" },
				h("a.button", { href: href(["tenant", this.client, "statement"]) }, "Statement"),
				button("Log (NDJSON)", () => this.downloadLog()),
				h("a.button", { href: href(["operate"], { clientKey: this.client }) }, "Operate"))),
			this.note, this.problem,
			h("section.card", { label: "Moment" }, this.asOf.element),
			this.cards.element,
			this.ofLog,
		];
	}

	// Asks first and draws while the answer is on its way.
	moved() {
		this.isStale = true;
		if (!this.asking) this.follow();
		this.drawLanes();
	}

	// One question at a time; what was moved to meanwhile is asked next.
	async follow() {
		this.asking = true;
		while (this.isStale && !this.abort.signal.aborted) {
			this.isStale = false;
			keep(this.asOf.parameters());
			await this.loadState();
		}
		this.asking = false;
	}

	// What the ledger answers for the moment, and where other knowledge is asked for, what it knows now.
	async loadState() {
		const asked = this.asOf.parameters(), of = path`/v1/tenants/${this.client}`;
		try {
			const [then, now] = await Promise.all([ask(of, asked), asked.knownAt ? ask(of, { at: asked.at }) : undefined]);
			replace(this.problem, freshnessNote(then.freshness));
			this.cards.show(then.installations, now?.installations, asked);
			this.installations = then.installations;
			replace(this.note, this.asOf.isPast() && this.pastNote(then.installations, now?.installations));
			this.drawRows();
			this.drawLanes();
		} catch (failed) {
			if (failed.status === 404 && this.asOf.isPast()) {
				replace(this.problem);
				replace(this.note, note("", "At that moment nothing was known of this tenant."));
				this.cards.show([], undefined, asked);
			} else replace(this.problem, problemNote(failed));
		}
	}

	pastNote(then, now) {
		const key = (list) => JSON.stringify(list.map(({ appKey, pinnedRealm, pinnedSince, status, window }) => [appKey, pinnedRealm, pinnedSince, status, window?.end]));
		const differs = now && key(then) !== key(now);
		return note(differs ? "warn" : "", "You are looking at the past. ",
			now && (differs ? [h("b", "What is known now differs"), " from what was known then: see the marks. "] : "What is known now is the same. "),
			link(tenantHref(this.client), "Back to now"));
	}

	async loadLog() {
		let drawn = 0;
		try {
			// The first piece is shown at once, the rest when it is there.
			await this.history.load(this.client, this.abort.signal, () => drawn++ || this.drawHistory());
			this.drawHistory();
		} catch (failed) {
			if (failed.name === "AbortError") return;
			this.logFailed = true;
			replace(this.problem, failed.code === "scope-missing" ? note("warn", "Its history is read from the log, which takes the scope audit; this token does not have it.") : problemNote(failed));
			for (const section of this.ofLog) section.hidden = !this.history.records.length;
		}
	}

	drawHistory() {
		this.drawLanes();
		this.drawRows();
	}

	drawRows() {
		const knownAt = this.asOf.known.value, at = this.asOf.at.value;
		const rows = this.history.known(knownAt).filter((record) => at === undefined || record.ms <= at);
		this.rows.show(rows, knownAt);
		if (!this.logFailed) replace(this.count, `${rows.length.toLocaleString("en")} records, in the order of arrival`);
	}

	drawLanes() {
		const knownAt = this.asOf.known.value, { lanes, doubtful } = this.history.lanes(knownAt);
		const extent = this.history.extent(), now = Date.now();
		this.asOf.span(extent);
		const all = wholeRange(lanes, extent, now), { from, to } = this.range;
		this.timeline.show(lanes, { all, range: from < to ? { from, to } : undefined, at: this.asOf.at.value, now, overdue: (this.installations ?? []).filter(({ migration }) => migration?.overdue).map(({ appKey }) => appKey).join() });
		this.settle(doubtful, knownAt);
	}

	async settle(doubtful, knownAt) {
		if (!doubtful.length || this.settling) return;
		this.settling = true;
		const settled = await this.history.settle(this.client, doubtful, knownAt, this.abort.signal);
		this.settling = false;
		if (settled) this.drawHistory();
	}

	async downloadLog() {
		const all = [];
		try {
			for await (const objects of lines(path`/v1/tenants/${this.client}/log`, this.asOf.parameters())) all.push(...objects.filter((object) => object.seq));
			downloadLines(this.client, all);
		} catch (failed) {
			replace(this.problem, problemNote(failed));
		}
	}

	// New records appear where the table ends; what is being read stays where it is.
	async refresh() {
		if (document.hidden || this.asOf.isPast() || this.refreshing) return;
		this.refreshing = true;
		try {
			const { records } = await ask(path`/v1/tenants/${this.client}/log`, { fromSeq: (this.history.records.at(-1)?.seq ?? 0) + 1, limit: 1 }, { signal: this.abort.signal });
			if (records.length) await Promise.all([this.loadLog(), this.loadState()]);
			else this.drawLanes();
		} catch { /* The next round asks again. */ }
		this.refreshing = false;
	}
}

function keepRange({ from, to }, isAll) {
	if (current().segments[0] !== "tenant") return;
	keep(isAll ? { from: undefined, to: undefined } : { from: iso(from), to: iso(to) });
}

export async function tenantView(client, parameters) {
	const page = new TenantPage(client, parameters);
	const element = page.element();
	// A tenant that is not there is said at once, in place of an empty page.
	const first = page.asOf.isPast() ? undefined : await ask(path`/v1/tenants/${client}`);
	if (first) {
		replace(page.problem, freshnessNote(first.freshness));
		page.installations = first.installations;
		page.cards.show(first.installations, undefined, {});
	} else page.loadState();
	page.loadLog();
	const timer = setInterval(() => page.refresh(), REFRESH_MS);
	const stop = () => {
		clearInterval(timer);
		page.abort.abort();
		page.timeline.stop();
	};
	return { title: client, element, stop };
}

