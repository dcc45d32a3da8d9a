// Refused messages: kept, redacted, with the reason.

import { ask, path } from "./api.js";
import { fact, h, json, link } from "./dom.js";
import { href, tenantHref } from "./route.js";
import { when } from "./time.js";
import { column, member } from "./table.js";
import { freshnessNote, sourceText } from "./words.js";

const nameOf = (item) => `${item.topic}/${item.partition}/${item.seq}`;
const itemHref = (item) => href(["quarantine", item.topic, item.partition, item.seq]);

export const QUARANTINE = {
	route: "/v1/quarantine", rows: (answer) => answer.items, filters: ["reason"], title: "Quarantine",
	about: "Messages that were refused, with the reason. They are in no tenant's history.",
	columns: [
		column("Message", nameOf, (item) => link(itemHref(item), nameOf(item))),
		member("Recorded", "recordedAt", (at) => at && when(at, true)), member("Reason", "reason"), member("Field", "path", (path) => h("code", path)), member("Expected", "detail"),
		member("Key", "key", (key) => key && link(tenantHref(key), key)),
	],
};

function bodyText(body) {
	if (!body) return "none";
	if (body.json === undefined) return `${body.length} bytes, SHA-256 ${body.sha256}`;
	try { return JSON.stringify(JSON.parse(body.json), null, 2); } catch { return body.json; }
}

export async function quarantineItemView(topic, partition, seq) {
	const { item, freshness } = await ask(path`/v1/quarantine/${topic}/${partition}/${seq}`);
	const name = `${topic}/${partition}/${seq}`;
	const element = [
		h("h1", `Refused message ${name}`), freshnessNote(freshness),
		h("section.card", h("dl", {},
			fact("Reason", item.reason), fact("Field", h("code", item.path ?? "none")),
			fact("Expected", item.detail), fact("Key", item.key ? link(tenantHref(item.key), item.key) : "none"),
			fact("Recorded", item.recordedAt ? when(item.recordedAt) : "unknown"), fact("Source", item.source ? sourceText(item.source) : "unknown")),
			h("h2", "What is kept of it"), json(bodyText(item.body))),
		h("p.soft", "The producer sends it again, corrected; or an operator retries it with ", h("code", "realm-ledger quarantine retry"), "."),
		h("p", link(href(["list", "quarantine"]), "All refused messages")),
	];
	return { title: `Refused ${name}`, element };
}
