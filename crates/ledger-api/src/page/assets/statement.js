// A statement for a customer, made to be printed: where the data of each app is and was, and what that rests on.

import { ask, path } from "./api.js";
import { installationFacts } from "./cards.js";
import { button, card, fact, h, json, link } from "./dom.js";
import { History } from "./history.js";
import { tenantHref } from "./route.js";
import { table } from "./table.js";
import { when, zoneName } from "./time.js";
import { chip, freshnessNote, problemNote } from "./words.js";

const NAMES = { installed: "installed", window: "uninstalled, window open", gone: "uninstalled" };
const untilOf = ({ kind, to }) => (to < Date.now() ? when(to) : kind === "window" && to < Infinity ? [when(to), ", if it stays uninstalled"] : "today");
const PAST = [
	{ name: "Realm", cell: (bar) => chip(bar.realm) },
	{ name: "State", cell: (bar) => NAMES[bar.kind] },
	{ name: "From", cell: (bar) => when(bar.from) },
	{ name: "Until", cell: untilOf },
	{ name: "Record", number: true, cell: (bar) => bar.seq },
];

function appSection(installation, lane, client) {
	const { appKey, pinnedRealm } = installation;
	const past = (made) => table(PAST, [...made.bars, ...made.gone].filter((bar) => bar.from < Date.now()).sort((a, b) => a.from - b.from), { caption: `Where ${appKey} was` });
	return card([appKey, chip(pinnedRealm, true)], installationFacts(installation, undefined, client), h("h3", "Where it was"),
		lane instanceof Error ? problemNote(lane) : lane && [lane.bars.some((bar) => bar.doubtful) && h("p.small", "Some of these were corrected by events that came later; the records tell which."), past(lane)]);
}

async function historyOf(client) {
	const history = new History();
	await history.load(client);
	const { doubtful } = history.lanes();
	if (doubtful.length) await history.settle(client, doubtful);
	return history.lanes().lanes;
}

function restsOn(checkpoint, shard) {
	if (!checkpoint) return h("p", "No checkpoint of this log is signed yet.");
	return [h("dl", fact("Log", checkpoint.origin), fact("Checkpoint", `${checkpoint.size} leaves; the last record read is at ${shard.position}`), fact("Root", checkpoint.rootHash)), json(checkpoint.note)];
}

export async function statementView(client) {
	const [{ installations, freshness }, signed, lanes] = await Promise.all([
		ask(path`/v1/tenants/${client}`), ask("/v1/checkpoints").catch((failed) => ({ failed })), historyOf(client).catch((failed) => ({ failed }))]);
	const [shard] = freshness, checkpoint = signed.checkpoints?.find((one) => one.topic === shard.topic && one.partition === shard.partition);
	const element = h("article", { class: "sheet" },
		h("div.head", h("h1", "Statement of data residency"), button("Print", () => print(), { class: "main noprint" })),
		h("dl", fact("Customer (client key)", link(tenantHref(client), client)), fact("Made at", when(Date.now()), ` (times are in ${zoneName()})`)),
		freshnessNote(freshness),
		installations.length ? installations.map((one) => appSection(one, lanes.failed ?? lanes.find((lane) => lane.app === one.appKey), client)) : h("p", "No app of this ledger is known there."),
		card("What this rests on", signed.failed ? problemNote(signed.failed) : restsOn(checkpoint, shard), h("p.small", "Whoever has this log's verifier key can check all records of this client key without this server: realm-ledger prove, realm-ledger verify.")));
	return { title: `Statement of ${client}`, element };
}
