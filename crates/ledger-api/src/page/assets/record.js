// One record: the event, what it changed, why its app is where it is, and the proof of it.

import { ask, path } from "./api.js";
import { beforeAfter } from "./cards.js";
import { card, fact, h, json, link, note, replace } from "./dom.js";
import { withInstants, whyOf } from "./explain.js";
import { proofPanel } from "./proof.js";
import { recordHref, tenantHref } from "./route.js";
import { when } from "./time.js";
import { RULES, changeText, chip, eventTitle, freshnessNote, problemNote, sourceText, tag } from "./words.js";

const SHOWN_ABOVE = new Set(["id", "type", "time", "clientKey", "appKey"]);

function inWords(name) {
	return name.replace(/^./, (c) => c.toUpperCase()).replace(/[A-Z]/g, (c, at) => (at ? ` ${c.toLowerCase()}` : c));
}

function valueOf(name, value) {
	if (value !== null && typeof value === "object") return json(value);
	if (/Realm$|^realm$/.test(name)) return chip(value);
	return withInstants(String(value));
}

function eventFacts({ event, source, recordedAt, position, late }) {
	const more = Object.entries(event).filter(([name]) => !SHOWN_ABOVE.has(name));
	return h("dl", {},
		fact("Happened", when(event.time), late && [" ", tag("late: it was recorded after later events", "warn")]),
		fact("Recorded", when(recordedAt)),
		event.appKey && [fact("App", event.appKey)],
		more.map(([name, value]) => fact(inWords(name), valueOf(name, value))),
		fact("Id", event.id), fact("Came from", `${sourceText(source)}, position ${position}`));
}

function changeCard({ appKey, before, after, decision, correction, ...change }, { clientKey }) {
	return card(`What it changed: ${appKey}`, h("p", changeText({ before, after, decision, correction, ...change })),
		decision && h("p", "Decision: ", h("b", decision.rule), `, ${RULES[decision.rule]}. Expected `, chip(decision.expectedRealm), ", called at ", chip(decision.observedRealm), ".",
			decision.divergent && [" ", tag("the platform did not do what the rules say", "warn")]),
		correction && note("warn", `It changed what ${correction.count} earlier ${correction.count === 1 ? "record" : "records"} had meant, from `, link(recordHref(clientKey, correction.firstSeq), `record ${correction.firstSeq}`), " on."),
		beforeAfter(before, after, clientKey, appKey));
}

export async function recordView(client, seq, { at: _, ...rest }) {
	const { records, nextSeq, freshness } = await ask(path`/v1/tenants/${client}/log`, { fromSeq: seq, limit: 1 });
	const record = records.find((one) => one.seq === seq);
	if (!record) throw new Error(`${client} has no record ${seq}`);
	const { event } = record, why = h("div.card"), title = `Record ${seq}`;
	const step = (to, text) => h("a.button", { href: recordHref(client, to, rest) }, text);
	const element = [
		h("p.small", link(tenantHref(client, rest), client)),
		h("div.head", h("h1", event ? `${title}: ${eventTitle(event)}` : title), h("div.actions.noprint", seq > 1 && step(seq - 1, "Earlier"), nextSeq !== undefined && step(nextSeq, "Later"))),
		freshnessNote(freshness),
		event ? card("Event", eventFacts(record)) : note("warn", "It is of an app that this token is not granted: only its place in the log is shown."),
		(record.changes ?? []).map((change) => changeCard(change, event)),
		event && !record.changes && h("p.card.soft", "It changed nothing."),
		event?.appKey && why,
		proofPanel(client, seq),
	];
	if (event?.appKey) {
		const asked = { at: event.time, knownAt: rest.knownAt };
		const tell = (made) => replace(why, h("h2", "Why, at that moment"), made);
		tell(h("p.soft", "…"));
		whyOf(client, event.appKey, asked).then(tell, (failed) => tell(problemNote(failed)));
	}
	return { title: `${title} of ${client}`, element };
}
