// Why: the sentences of an explanation, with links to the records that they cite.

import { ask, path } from "./api.js";
import { h, link } from "./dom.js";
import { recordHref } from "./route.js";
import { when } from "./time.js";
import { RULES, chip } from "./words.js";

const INSTANT = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

export function withInstants(text) {
	return text.split(INSTANT).map((part, at) => (at % 2 ? when(part) : part));
}

// What the reader asks first; the rest, and the rules that did not apply, for whoever asks twice.
const PARTS = [["answer", "Where it is"], ["decision", "What decided"]];

function partOf({ role, fact }) {
	if (fact?.kind === "passed-over") return "passed";
	return role === "answer" || role === "decision" ? role : "other";
}

function sentences(explanation, client, parameters) {
	const cite = (seq) => link(recordHref(client, seq, parameters), `${seq}`);
	const cites = (seqs) => seqs.length > 0 && h("span.cites.soft.small", seqs.length > 1 ? " records " : " record ", seqs.map((seq, at) => [at > 0 && ", ", cite(seq)]));
	const line = ({ text, seqs, appEvents }) => h("li", withInstants(text), cites(seqs), appEvents && h("span.soft.small", ` app event ${appEvents.join(", ")}`));
	const list = (own) => h("ul.why", own.map(line));
	const part = (name) => explanation.sentences.filter((sentence) => partOf(sentence) === name);
	const more = (name, title) => part(name).length > 0 && h("details", h("summary", title), list(part(name)));
	return [PARTS.map(([name, title]) => part(name).length > 0 && [h("h3", title), list(part(name))]), more("other", "What else is known"), more("passed", "Rules that did not apply")];
}

function decisionText(decision) {
	const moved = decision.moved ? [", away from ", chip(decision.previousRealm), ", where data may still be"] : null;
	return [chip(decision.expectedRealm ?? decision.pinnedRealm), ` by ${decision.rule}: ${RULES[decision.rule] ?? "see the rules"}`, moved, "."];
}

export async function whyOf(client, app, asked) {
	const of = path`/v1/tenants/${client}/apps/${app}`;
	const [{ explanation }, { decision }] = await Promise.all([ask(`${of}/explanation`, asked), ask(`${of}/preview`, asked)]);
	const wouldGet = h("p", h("b", asked.at ? "An install at that moment would get " : "An install now would get "), decisionText(decision));
	return [wouldGet, sentences(explanation, client, asked)];
}
