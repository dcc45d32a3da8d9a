// One card for each installation: where it is, since when, until when; and what is known now where that is another thing.

import { card, fact, h, link, replace, scrolled } from "./dom.js";
import { whyOf } from "./explain.js";
import { href, tenantHref } from "./route.js";
import { when } from "./time.js";
import { PINNED_BY, STATUS, chip, policyName, problemNote, tag, windowText } from "./words.js";

const OPENED_UP_TO = 2;

const FACTS = [
	["Realm", (i) => [chip(i.pinnedRealm), i.pinnedSince && [" since ", when(i.pinnedSince)]]],
	["Status", (i) => `${STATUS[i.status]}${i.status === "INSTALLED" && !i.enabled ? ", disabled" : ""}`],
	["Known", (i) => PINNED_BY[i.pinnedBy] ?? "not at all"],
	["Window", (i) => i.window && [windowText(i.window), ` (policy: ${policyName(i.window.policy)})`]],
	["Product", (i) => i.productRealm && [chip(i.productRealm), i.drift && [" ", tag(`drift: it would put the app in ${i.alignedRealm}`, "warn")]]],
	["Data", (i) => i.dataRealm && [chip(i.dataRealm), i.splitBrain && [" ", tag("split brain", "bad")]]],
	["Migration", (i) => i.migration && migrationText(i.migration)],
	["Override", (i) => i.override && [chip(i.override), " until an operator releases it"]],
	["Goes on from", (i) => installationLink(i.predecessor)],
	["Goes on as", (i) => installationLink(i.successor)],
	["Site", (i) => i.siteUrl && h("span.mono", i.siteUrl)],
	["Anomalies", (i, client) => i.anomalyCount > 0 && anomalyText(i, client)],
];

export function migrationText({ migrationId, targetRealm, phase, dueBy, overdue }) {
	return [`${phase.toLowerCase()} to `, chip(targetRealm), ` (${migrationId})`, dueBy && [", ", overdue ? tag("overdue", "bad") : "due", " by ", when(dueBy)]];
}

function installationLink(of) {
	return of && link(tenantHref(of.clientKey), `${of.clientKey}, ${of.appKey}`);
}

export function anomalyText({ anomalies, anomalyCount }, client) {
	const last = new Map((anomalies ?? []).map(({ code, seq }) => [code, seq]));
	const one = ([code, seq], at) => [at > 0 && ", ", code, " (", link(href(["tenant", client, "record", seq]), `record ${seq}`), ")"];
	return [anomalyCount > last.size ? `${anomalyCount}, the last of each: ` : "", [...last].slice(-3).map(one)];
}

const rowsOf = (one, other, client) => FACTS.map(([name, shown]) => {
	const [here, there] = [one, other].map((installation) => h("span", (installation && shown(installation, client)) || "none")), texts = [here.textContent, there.textContent];
	return { name, here, there, differs: texts[0] !== texts[1], isEmpty: texts.join("") === "nonenone" };
}).filter(({ isEmpty }) => !isEmpty);

export function installationFacts(installation, now, client) {
	return h("dl", rowsOf(installation, now, client).map(({ name, here, there, differs }) => fact(name, here, now && differs && [" ", h("mark", "known now: ", there)])));
}

export function beforeAfter(before, after, client, appKey) {
	const line = ({ name, here, there, differs }) => h("tr", h("th", { scope: "row" }, name), h("td", here), h("td", differs ? h("mark", there) : there));
	const head = ["Before", "After"].map((name) => h("th", { scope: "col" }, name));
	return scrolled(`State of ${appKey} before and after`, h("table.sides", h("thead", h("tr", h("td"), head)), h("tbody", rowsOf(before, after, client).map(line))));
}

export class Cards {
	constructor(client) {
		this.client = client;
		this.element = h("div.cards");
		this.opened = undefined;
	}

	// `now` are the same installations as they are known now, where another knowledge is shown.
	show(installations, now, asked) {
		this.opened ??= new Set(installations.length > OPENED_UP_TO ? [] : installations.map((installation) => installation.appKey));
		const find = (list, app) => list.find((installation) => installation.appKey === app);
		const later = (now ?? []).filter((other) => !find(installations, other.appKey));
		replace(this.element, installations.map((installation) => this.card(installation, now && find(now, installation.appKey), asked)), later.map(onlyNow));
		if (!installations.length && !later.length) replace(this.element, h("p.card.soft", "Nothing was installed here at that moment."));
	}

	card(installation, now, asked) {
		const { appKey } = installation, body = h("div.pile");
		const load = async () => {
			if (body.childElementCount) return;
			try {
				replace(body, await whyOf(this.client, appKey, asked));
			} catch (failed) {
				replace(body, problemNote(failed));
			}
		};
		const toggle = ({ target }) => {
			if (target.open) {
				this.opened.add(appKey);
				load();
			} else this.opened.delete(appKey);
		};
		const isOpen = this.opened.has(appKey);
		if (isOpen) load();
		return card([appKey, chip(installation.pinnedRealm, true)],
			installationFacts(installation, now, this.client),
			h("details", { open: isOpen, toggle }, h("summary", "Why, and what a reinstall would get"), body));
	}
}

function onlyNow(installation) {
	return card(installation.appKey, h("p", h("mark", "Nothing was known of it then.")), h("p", "Known now: ", chip(installation.pinnedRealm)));
}
