// Operate: an override, a policy, a link. First what it would change, then the command; the record appears when it is in
// the log.

import { ask, path } from "./api.js";
import { beforeAfter } from "./cards.js";
import { button, card, field, h, link, note, replace, select } from "./dom.js";
import { recordHref, tenantHref } from "./route.js";
import { hex } from "./merkle.js";
import { iso } from "./time.js";
import { freshnessNote, policyOf, problemNote } from "./words.js";

const SHOWN = 50, ASK_MS = 2000, ROUNDS = 300;
const CLIENT = ["clientKey", "Client key", true], APP = ["appKey", "App key", true], REALM = ["realm", "Realm", true];
const TYPES = {
	PIN: ["Override: pin an app to a realm", CLIENT, APP, REALM],
	RELEASE: ["Override: release the pin", CLIENT, APP],
	FORGET: ["Override: end the window", CLIENT, APP],
	"policy-set": ["Policy: how long an app's realm is kept", APP, ["mode", "Mode", true, ["descriptor", "off", "indefinite", "days", "subscription"]], ["days", "Days, or days of grace"]],
	continued: ["Link: an installation goes on from another one", CLIENT, APP, ["fromClientKey", "From client key", true], ["fromAppKey", "From app key", true], ["fromRealm", "From realm"]],
	"product-moved": ["Product: where a tenant's product is now", CLIENT, ["productRealm", "Product realm", true]],
	"data-located": ["Data: where an app's data was found", CLIENT, APP, REALM],
};
const SIGNED = [["actor", "Who orders it", true], ["reason", "Why", true]];

const newId = () => hex(crypto.getRandomValues(new Uint8Array(16)));

function fieldOf([name, label, required, words], value) {
	return words ? h("label", label, select({ name }, words, value)) : field(label, name, value, { required });
}

function eventOf(given, id) {
	const { mode, days, ...event } = Object.fromEntries([...given].filter(([, value]) => value !== ""));
	for (const name of Object.keys(event)) if (/realm$/i.test(name)) event[name] = event[name].toUpperCase();
	if (mode) event.policy = policyOf(`${mode}:${days}`) ?? { mode, days };
	if (event.type === "continued") event.evidence = "operator";
	if (/^[A-Z]/.test(event.type)) Object.assign(event, { type: "override", action: event.type });
	return { id, time: iso(Date.now()), ...event };
}

function dryRunCard({ changes, changed, records, freshness }, confirm) {
	const pair = ({ clientKey, appKey, before, after }) => [h("h3", link(tenantHref(clientKey), clientKey), `, ${appKey}`), beforeAfter(before, after, clientKey, appKey)];
	const count = changed === 1 ? "1 installation" : `${changed.toLocaleString("en")} installations`;
	return card("What it would change", freshnessNote(freshness), records && note("warn", "It is recorded already."),
		h("p", changed ? `${count} would be shown otherwise${changed > SHOWN ? `; the first ${SHOWN}` : ""}. Nothing is recorded yet.` : "Nothing would be shown otherwise. It would be recorded all the same."),
		changes.slice(0, SHOWN).map(pair), h("div.actions", confirm));
}

function submittedCard({ records, pending }, { clientKey }) {
	const tell = ({ topic, partition, position, seq }) => note("good", "Recorded: ", clientKey ? link(recordHref(clientKey, seq), `record ${seq}`) : `position ${position} of ${topic}/${partition}`);
	return card("Submitted", records.map(tell), pending && note("warn", `On its way to ${pending.join(", ")}: it is asked for again until it is in the log.`), clientKey && h("p", link(tenantHref(clientKey), clientKey)));
}

// Why this view has no form, if it has none: asks for a command that is not there.
async function refusal() {
	try {
		await ask(path`/v1/commands/${"-"}`, { clientKey: "-" });
	} catch (failed) {
		if (failed.code === "scope-missing") return note("warn", "This takes the scope operate, which this token does not have. Ask whoever runs this ledger for one that has.");
		if (failed.code !== "not-found") return problemNote(failed);
	}
	return undefined;
}

export async function operateView(parameters) {
	const title = "Operate", refused = await refusal();
	if (refused) return { title, element: [h("h1", title), refused] };
	const fields = h("div.cards"), result = h("div");
	const type = select({ name: "type", change: () => draw() }, Object.entries(TYPES).map(([key, [name]]) => [key, name]), parameters.type);
	const draw = () => replace(fields, [...TYPES[type.value].slice(1), ...SIGNED].map((one) => fieldOf(one, parameters[one[0]])));
	// The id makes it the same command however often it is sent.
	let id = newId(), timer;
	const follow = async (event, rounds = ROUNDS) => {
		const { id: sent, clientKey, appKey } = event;
		const answer = await ask(path`/v1/commands/${sent}`, clientKey ? { clientKey } : { appKey }).catch(() => undefined);
		if (answer) replace(result, submittedCard(answer, event));
		if ((!answer || answer.pending) && rounds > 0) timer = setTimeout(follow, ASK_MS, event, rounds - 1);
	};
	const send = async (event, isDry) => {
		clearTimeout(timer);
		try {
			const answer = await ask("/v1/commands", { dryRun: isDry || undefined }, { body: event });
			if (isDry) return replace(result, dryRunCard(answer, button("Submit it", () => send(event), { class: "main" })));
			id = newId();
			if (answer.pending) timer = setTimeout(follow, ASK_MS, event);
			return replace(result, submittedCard(answer, event));
		} catch (failed) {
			return replace(result, problemNote(failed));
		}
	};
	const form = h("form.card", { submit: () => send(eventOf(new FormData(form), id), true) }, h("label", "What", type), fields, h("div.actions", h("button.main", "See what it would change")));
	draw();
	const element = [h("h1", title), h("p.soft", "Nothing is sent before you have seen what it would change. Your name is recorded."), form, result];
	return { title, element, stop: () => clearTimeout(timer) };
}
