// The start: search, what needs attention, and how fresh the shards are.

import { ask } from "./api.js";
import { card, h, link, replace } from "./dom.js";
import { loaded, searchForm } from "./lists.js";
import { href } from "./route.js";
import { table } from "./table.js";
import { DAY, iso } from "./time.js";
import { problemNote, tag } from "./words.js";

const SHARDS_MS = 5000, COUNTS_EVERY = 3;

// An anomaly has no time of its own: what is counted is by how much each installation's number grew.
async function anomaliesOfTheWeek() {
	const [then, now] = await Promise.all([{ at: iso(Date.now() - 7 * DAY) }, {}].map((asked) => loaded("anomalies", asked)));
	const key = ({ clientKey, appKey }) => `${clientKey}\n${appKey}`;
	const before = new Map(then.rows.map((row) => [key(row), row.anomalyCount]));
	const grown = now.rows.reduce((sum, row) => sum + Math.max(0, row.anomalyCount - (before.get(key(row)) ?? 0)), 0);
	return { count: grown, more: now.cursor || then.cursor };
}

async function countOf(name, parameters) {
	if (name === "anomalies") return anomaliesOfTheWeek();
	const { rows, refused, cursor } = await loaded(name, parameters);
	return { count: rows.length + refused.length, more: cursor };
}

const COUNTS = [["installations", "Installations"], ["drift", "Drift"], ["split-brain", "Split brain"], ["windows", "Closing within 7 days", { within: 7 }], ["migrations", "Overdue migrations", { overdue: true }],
	["anomalies", "Anomalies of the last week"], ["quarantine", "Refused messages"]];

function countTile([list, name, parameters = {}]) {
	const number = h("b", { "data-count": list }, "…"), tile = link(href(["list", list], parameters), number, h("span", name));
	const draw = async () => {
		try {
			const { count, more } = await countOf(list, parameters);
			number.textContent = `${count.toLocaleString("en")}${more ? "+" : ""}`;
			tile.title = more ? "There are more; so many were counted." : "";
			tile.classList.toggle("attention", list !== "installations" && count > 0);
		} catch (failed) {
			number.textContent = failed.code === "scope-missing" ? "–" : "?";
			tile.title = failed.message;
		}
	};
	return { tile, draw };
}

const PHASES = { LIVE: "good", CATCHING_UP: "warn", IDLE: "warn", HALTED: "bad" };
const COLUMNS = [
	{ name: "Shard", cell: (shard) => `${shard.topic}/${shard.partition}` },
	{ name: "Phase", cell: (shard) => tag(shard.phase.toLowerCase().replace("_", " "), PHASES[shard.phase]) },
	{ name: "Behind", number: true, cell: (shard) => (shard.lag === undefined ? "unknown" : `${shard.lag.toLocaleString("en")} messages`) },
	{ name: "In time", number: true, cell: (shard) => (shard.lagSeconds === undefined ? "unknown" : `${shard.lagSeconds} s`) },
	{ name: "Records", number: true, cell: (shard) => (shard.position === undefined ? "0" : (shard.position + 1).toLocaleString("en")) },
	{ name: "Attention", cell: (shard) => ["halted", "stalled", "unsigned", "missingCopies", "ahead"].filter((name) => shard[name]).map((name) => h("div", tag(shard[name].code, "bad"), " ", shard[name].message)) },
];

async function drawShards(element) {
	try {
		const body = await ask("/readyz", {}, { anyway: true });
		if (!body.shards) throw new Error(body.detail ?? "there is no answer from /readyz");
		const ready = body.ready ? tag("ready", "good") : [tag("not ready", "bad"), " ", body.detail];
		replace(element, h("p", ready), body.shards.length > 0 && table(COLUMNS, body.shards, { caption: "Shards" }));
		return body.shards.map(({ topic, partition, position }) => `${topic}/${partition} ${position}`).join();
	} catch (failed) {
		replace(element, problemNote(failed));
		return undefined;
	}
}

export async function startView() {
	const tiles = COUNTS.map(countTile), shards = h("div");
	const element = [
		h("h1", "Where is this customer's data?"),
		searchForm(),
		h("ul.counts", { label: "What there is, and what needs attention" }, tiles.map(({ tile }) => h("li", tile))),
		card("Shards", shards, h("p.small.soft", "Read again every 5 seconds.")),
	];
	let seen, round = 0, busy = false;
	// Shards every five seconds; counts only when something was recorded, as they read lists.
	const refresh = async () => {
		if (busy || document.hidden) return;
		busy = true;
		const found = await drawShards(shards);
		if (seen !== found && round++ % COUNTS_EVERY === 0) {
			seen = found;
			for (const { draw } of tiles) await draw();
		}
		busy = false;
	};
	await ask("/v1/installations", { limit: 1 });
	refresh();
	const timer = setInterval(refresh, SHARDS_MS);
	return { title: "Start", element, stop: () => clearInterval(timer) };
}
