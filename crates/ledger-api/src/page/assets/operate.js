// Operate: an override, a policy, a link. First what it would change, then the command; the record appears when it is in
// the log.

import { ask, hasPostRoute } from "./api.js";
import { h, link, replace } from "./dom.js";
import { recordHref, tenantHref } from "./route.js";
import { iso } from "./time.js";
import { problemNote, tag } from "./words.js";

const CLIENT = ["clientKey", "Client key", true], APP = ["appKey", "App key", true];
const TYPES = {
	override: ["Override: pin an app to a realm, release it, or end its window", CLIENT, APP, ["action", "Action", true, ["PIN", "RELEASE", "FORGET"]], ["realm", "Realm (of a PIN)"]],
	"policy-set": ["Policy: how long an app's realm is kept", APP, ["mode", "Mode", true, ["descriptor", "off", "indefinite", "days", "subscription"]], ["days", "Days (or days of grace)"]],
	continued: ["Link: an installation goes on from another one", CLIENT, APP, ["fromClientKey", "From client key", true], ["fromAppKey", "From app key", true], ["fromRealm", "From realm"]],
};
const SIGNED = [["actor", "Who orders it", true], ["reason", "Why", true]];

function field([name, label, required, words], value) {
	const input = words ? h("select", { name }, words.map((word) => h("option", { selected: word === value }, word))) : h("input", { name, required, value: value ?? "", plain: true });
	return h("label", label, input);
}

// A native event, as POST /v1/commands takes it.
function eventOf(given, id) {
	const { mode, days, ...event } = Object.fromEntries([...given].filter(([, value]) => value !== ""));
	for (const name of Object.keys(event)) if (/realm$/i.test(name)) event[name] = event[name].toUpperCase();
	if (mode) event.policy = { mode, ...(mode === "days" && { days: Number(days) }), ...(mode === "subscription" && { graceDays: Number(days) }) };
	if (event.type === "continued") event.evidence = "operator";
	return { id, time: iso(Date.now()), ...event };
}

const json = (value) => h("pre", { tabindex: 0 }, JSON.stringify(value ?? "nothing known", null, 2));

function dryRunCard(answer, confirm) {
	const pair = ({ clientKey, appKey, before, after }) => [h("p", `${clientKey ?? ""} ${appKey ?? ""}`), h("div.cards", h("div", h("h3", "Before"), json(before)), h("div", h("h3", "After"), json(after)))];
	const changes = answer.changes ?? answer.installations ?? (answer.after ? [answer] : []);
	return h("section.card", h("h2", "What it would change"), changes.length ? changes.map(pair) : json(answer), h("div.actions", confirm));
}

function submittedCard(answer, client) {
	const tell = ({ seq, position }) => h("p.note.good", "Recorded: ", client && seq ? link(recordHref(client, seq), `record ${seq}`) : `position ${position}`);
	return h("section.card", h("h2", "Submitted"), (answer.records ?? []).map(tell), client && h("p", link(tenantHref(client), client)), h("details", { open: !answer.records }, h("summary", "The answer"), json(answer)));
}

export async function operateView(parameters) {
	const title = "Operate";
	if (!(await hasPostRoute("/v1/commands"))) {
		return { title, element: [h("h1", title), h("p.note", tag("not in this build", "warn"), " This page is read-only here, as there is no route /v1/commands. Events come from the lifecycle topic: ", h("code", "realm-ledger publish"), ".")] };
	}
	const fields = h("div.cards"), result = h("div");
	const type = h("select", { name: "type", change: () => draw() }, Object.entries(TYPES).map(([key, [name]]) => h("option", { value: key, selected: key === parameters.type }, name)));
	const draw = () => replace(fields, [...TYPES[type.value].slice(1), ...SIGNED].map((one) => field(one, parameters[one[0]])));
	// The id makes it the same command however often it is sent.
	let id = crypto.randomUUID();
	const send = async (isDry) => {
		const event = eventOf(new FormData(form), id);
		try {
			const answer = await ask("/v1/commands", { dryRun: isDry || undefined }, { body: event });
			if (isDry) return replace(result, dryRunCard(answer, h("button.main", { type: "button", click: () => send(false) }, "Submit it")));
			id = crypto.randomUUID();
			return replace(result, submittedCard(answer, event.clientKey));
		} catch (failed) {
			return replace(result, problemNote(failed));
		}
	};
	const submit = (event) => {
		event.preventDefault();
		send(true);
	};
	const form = h("form.card", { submit }, h("label", "What", type), fields, h("div.actions", h("button.main", "See what it would change")));
	draw();
	return { title, element: [h("h1", title), h("p.soft", "Nothing is sent before you have seen what it would change. Your name is recorded."), form, result] };
}
