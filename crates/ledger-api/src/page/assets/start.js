// The start: search, what needs attention, and how fresh the shards are.

import { ask, askAnyway, pages } from "./api.js";
import { h, link, replace } from "./dom.js";
import { go, href } from "./route.js";
import { table } from "./table.js";
import { DAY, iso } from "./time.js";
import { problemNote, tag } from "./words.js";

const SHARDS_MS = 5000, COUNTS_EVERY = 3, MOST = 1000;

const rowsOf = (answer) => answer.installations;
const count = (path, parameters, rows = rowsOf) => async () => {
	const { rows: all, more, refused } = await pages(path, parameters(), rows, MOST);
	return { count: all.length + refused.length, more };
};

// An anomaly has no time of its own: what is counted is by how much each installation's number grew.
async function anomaliesOfTheWeek() {
	const then = await pages("/v1/installations", { anomalous: true, at: iso(Date.now() - 7 * DAY) }, rowsOf, MOST);
	const now = await pages("/v1/installations", { anomalous: true }, rowsOf, MOST);
	const key = ({ clientKey, appKey }) => `${clientKey}\n${appKey}`;
	const before = new Map(then.rows.map((row) => [key(row), row.anomalyCount]));
	const grown = now.rows.reduce((sum, row) => sum + Math.max(0, row.anomalyCount - (before.get(key(row)) ?? 0)), 0);
	return { count: grown, more: now.more || then.more };
}

const COUNTS = [
	["installations", "Installations", {}, count("/v1/installations", () => ({}))],
	["drift", "Drift", {}, count("/v1/installations", () => ({ drift: true })), true],
	["split-brain", "Split brain", {}, count("/v1/installations", () => ({ splitBrain: true })), true],
	["windows", "Closing within 7 days", { within: 7 }, count("/v1/installations", () => ({ windowClosingBefore: iso(Date.now() + 7 * DAY) })), true],
	["migrations", "Overdue migrations", { overdue: true }, count("/v1/migrations", () => ({ overdue: true })), true],
	["anomalies", "Anomalies of the last week", {}, anomaliesOfTheWeek, true],
	["quarantine", "Refused messages", {}, count("/v1/quarantine", () => ({}), (answer) => answer.items), true],
];

export function searchForm(text) {
	const input = h("input", { type: "search", name: "q", value: text ?? "", placeholder: "acme.atlassian.net", plain: true, required: true, label: "Search", "aria-describedby": "searched" });
	const search = (event) => {
		event.preventDefault();
		go(["search"], { q: input.value.trim() });
	};
	return h("form.card", { role: "search", submit: search },
		h("div.search", input, h("button.main", "Search")),
		h("p", { id: "searched", class: "small soft" }, "Searches client keys by how they begin, and site hosts, entitlement ids and installation ids as a whole."));
}

function countTile([list, name, parameters, , attention]) {
	const number = h("b", { "data-count": list }, "…");
	const tile = link(href(["list", list], parameters), number, h("span", name));
	return { tile: h("li", tile), number, link: tile, attention };
}

async function drawCounts(tiles) {
	for (const [at, [, , , read]] of COUNTS.entries()) {
		const { number, link, attention } = tiles[at];
		try {
			const { count, more } = await read();
			number.textContent = `${count.toLocaleString("en")}${more ? "+" : ""}`;
			link.title = more ? "There are more; so many were counted." : "";
			link.classList.toggle("attention", attention === true && count > 0);
		} catch (failed) {
			number.textContent = failed.code === "scope-missing" ? "–" : "?";
			link.title = failed.message;
		}
	}
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
		const { body } = await askAnyway("/readyz");
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
		h("ul.counts", { label: "What there is, and what needs attention" }, tiles.map(({ tile }) => tile)),
		h("section.card", { label: "Shards" }, h("h2", "Shards"), shards, h("p.small.soft", "Read again every 5 seconds.")),
	];
	let seen, round = 0, busy = false;
	// Shards every five seconds; counts only when something was recorded, as they read lists.
	const refresh = async () => {
		if (busy || document.hidden) return;
		busy = true;
		const found = await drawShards(shards);
		if (seen !== found && round++ % COUNTS_EVERY === 0) {
			seen = found;
			await drawCounts(tiles);
		}
		busy = false;
	};
	await ask("/v1/installations", { limit: 1 });
	refresh();
	const timer = setInterval(refresh, SHARDS_MS);
	return { title: "Start", element, stop: () => clearInterval(timer) };
}
