// One record: the event, what it changed, why its app is where it is, and the proof of it.

import { ask, path } from "./api.js";
import { fact, h, link, replace } from "./dom.js";
import { withInstants, whyOf } from "./explain.js";
import { proofPanel } from "./proof.js";
import { recordHref, tenantHref } from "./route.js";
import { when } from "./time.js";
import { RULES, changeText, chip, eventTitle, freshnessNote, problemNote, tag } from "./words.js";

const SHOWN_ABOVE = new Set(["id", "type", "time", "clientKey", "appKey"]);

function valueOf(name, value) {
	if (value !== null && typeof value === "object") return h("pre", { tabindex: 0 }, JSON.stringify(value, null, 2));
	if (/Realm$|^realm$/.test(name)) return chip(value);
	return withInstants(String(value));
}

function eventFacts({ event, source, recordedAt, position, late }) {
	const place = `${source.name}/${source.partition}/${source.offset ?? source.line}`;
	const more = Object.entries(event).filter(([name]) => !SHOWN_ABOVE.has(name));
	return h("dl", {},
		fact("Happened", when(event.time), late && [" ", tag("late: it was recorded after later events", "warn")]),
		fact("Recorded", when(recordedAt)),
		event.appKey && [fact("App", event.appKey)],
		more.map(([name, value]) => [fact(name, valueOf(name, value))]),
		fact("Id", event.id), fact("Came from", `${place}, position ${position}`));
}

const STATE = [["Status", "status"], ["Realm", "pinnedRealm"], ["Known", "pinnedBy"], ["Product", "productRealm"], ["Data", "dataRealm"], ["Override", "override"]];

function changeCard(change, record) {
	const { appKey, before, after, decision, correction } = change;
	const text = (state, name) => state?.[name] ?? (state ? "none" : "nothing known");
	const windowOf = (state) => (state?.window ? [when(state.window.start, true), " to ", state.window.end ? when(state.window.end, true) : "without end"] : "none");
	const line = (title, was, is, differs) => h("tr", h("th", { scope: "row" }, title), h("td", was), h("td", differs ? h("mark", is) : is));
	const rows = STATE.map(([title, name]) => line(title, text(before, name), text(after, name), text(before, name) !== text(after, name)));
	const windowDiffers = JSON.stringify(before?.window) !== JSON.stringify(after.window);
	return h("section.card", h("h2", `What it changed: ${appKey}`), h("p", changeText(change)),
		decision && h("p", "Decision: ", h("b", decision.rule), `, ${RULES[decision.rule]}. Expected `, chip(decision.expectedRealm), ", called at ", chip(decision.observedRealm), ".",
			decision.divergent && [" ", tag("the platform did not do what the rules say", "warn")]),
		correction && h("p.note.warn", `It changed what ${correction.count} earlier ${correction.count === 1 ? "record" : "records"} had meant, from `, link(recordHref(record.event.clientKey, correction.firstSeq), `record ${correction.firstSeq}`), " on."),
		h("div.scroll", { tabindex: 0, role: "region", label: `State of ${appKey} before and after` }, h("table", h("thead", h("tr", h("td"), h("th", { scope: "col" }, "Before"), h("th", { scope: "col" }, "After"))),
			h("tbody", rows, line("Window", windowOf(before), windowOf(after), windowDiffers)))));
}

export async function recordView(client, seq, { at: _, ...rest }) {
	const { records, nextSeq, freshness } = await ask(path`/v1/tenants/${client}/log`, { fromSeq: seq, limit: 1 });
	const record = records.find((one) => one.seq === seq);
	if (!record) throw new Error(`${client} has no record ${seq}`);
	const { event } = record, why = h("div.card");
	const step = (to, text) => h("a.button", { href: recordHref(client, to, rest) }, text);
	const element = [
		h("p.small", link(tenantHref(client, rest), client)),
		h("div.head", h("h1", `Record ${seq}: ${eventTitle(event)}`), h("div.actions.noprint", seq > 1 && step(seq - 1, "Earlier"), nextSeq !== undefined && step(nextSeq, "Later"))),
		freshnessNote(freshness),
		h("section.card", { label: "Event" }, h("h2", "Event"), eventFacts(record)),
		(record.changes ?? []).map((change) => changeCard(change, record)),
		!record.changes && h("p.card.soft", "It changed nothing."),
		event.appKey && why,
		proofPanel(client, seq),
	];
	if (event.appKey) {
		const asked = { at: event.time, knownAt: rest.knownAt };
		replace(why, h("h2", "Why, at that moment"), h("p.soft", "…"));
		whyOf(client, event.appKey, asked).then(
			(made) => replace(why, h("h2", "Why, at that moment"), made), (failed) => replace(why, h("h2", "Why, at that moment"), problemNote(failed)));
	}
	return { title: `Record ${seq} of ${client}`, element };
}
