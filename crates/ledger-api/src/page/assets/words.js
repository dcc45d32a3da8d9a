// How values of the API are shown: realms as chips, words in plain English.

import { h, note } from "./dom.js";
import { duration, parse, when } from "./time.js";

// Colours never stand alone: each bar and chip has its letters.
const REALM_COLOURS = { US: 0, EU: 1, AU: 2, DE: 3, CA: 4, GB: 5, IN: 6, SG: 7, CH: 8, JP: 9, KR: 10, BR: 11, GLOBAL: 12 };

export function colour(realm) {
	if (realm in REALM_COLOURS) return REALM_COLOURS[realm];
	let hash = 7;
	for (const c of realm) hash = (hash * 31 + c.charCodeAt(0)) % 12;
	return hash;
}

export function chip(realm, big) {
	const size = big ? ".big" : "";
	return realm ? h(`span.chip.realm${size}`, { colour: colour(realm) }, realm) : h(`span.chip.none${size}`, "unknown");
}

export function tag(text, kind) {
	return h("span", { class: `tag ${kind ?? ""}` }, text);
}

export const RULES = {
	REFRESH: "re-sent, not a reinstall", IMPLICIT_REINSTALL: "a reinstall whose uninstall was never seen", OVERRIDDEN: "an operator pinned it",
	CONTINUED: "it goes on from another installation", FRESH: "never installed before", PRIOR_UNKNOWN: "the realm before is unknown",
	WINDOW_FORGOTTEN: "an operator ended the window", PERSISTENCE_OFF: "no persistence", WINDOW_EXPIRED: "the window was over",
	REALM_WITHDRAWN: "the app no longer serves that realm", PERSISTED: "the window was open: back to its realm",
};

export const PINNED_BY = {
	OBSERVED: "a hook was received there", EXPECTED: "expected by the rules, not yet observed", MIGRATED: "by a migration", OVERRIDDEN: "by an operator",
};

export const STATUS = { INSTALLED: "installed", UNINSTALLED: "uninstalled", NONE: "never seen as installed" };

export function policyName(policy) {
	if (!policy) return "unknown";
	if (typeof policy === "string") return policy;
	if (policy.mode === "days") return `${policy.days} days`;
	if (policy.mode === "subscription") return `subscription + ${policy.graceDays} days`;
	return policy.mode === "descriptor" ? "descriptor's own" : policy.mode;
}

// "open, 3 d left, until 2026-…", at the instant of the answer; a state in a record has no such instant.
export function windowText(window) {
	if (!window) return null;
	if (window.forgotten) return ["ended by an operator ", when(window.end)];
	if (window.state === "CLOSED") return ["closed since ", when(window.end)];
	if (!window.end) return ["open without end"];
	return [window.state && ["open, ", h("b", `${duration(Number(window.remainingMs ?? parse(window.end) - Date.now()))} left`), ", "], "until ", when(window.end)];
}

export function eventTitle(event) {
	const to = { "migration-scheduled": event.targetRealm, "migration-started": event.targetRealm, "migration-committed": event.targetRealm,
		migrated: event.targetRealm, "data-located": event.realm, "product-moved": event.productRealm, installed: event.endpointRealm };
	if (event.type === "override") return `override ${event.action}${event.realm ? ` ${event.realm}` : ""}`;
	if (event.type === "subscription-observed") return `subscription ${event.state}`;
	const realm = to[event.type];
	return realm ? `${event.type} ${event.type === "installed" ? "at" : "to"} ${realm}` : event.type;
}

// What a change says, in short: only what differs from before.
export function changeText({ before, after, decision, anomalies, correction }) {
	const said = [];
	if (decision) said.push(`decided ${decision.rule}`);
	const differs = (name) => before?.[name] !== after[name];
	if (differs("status")) said.push(STATUS[after.status]);
	if (differs("pinnedRealm") || differs("pinnedBy")) said.push(`realm ${after.pinnedRealm ?? "unknown"}`);
	if (differs("productRealm")) said.push(`product ${after.productRealm ?? "unknown"}`);
	if (differs("dataRealm")) said.push(`data ${after.dataRealm ?? "unknown"}`);
	if (differs("override")) said.push(after.override ? `override ${after.override}` : "override released");
	if (JSON.stringify(before?.window) !== JSON.stringify(after.window)) {
		said.push(after.window ? `window until ${after.window.end ? after.window.end.slice(0, 10) : "it is reinstalled"}` : "window ends");
	}
	if (JSON.stringify(before?.migration) !== JSON.stringify(after.migration)) {
		said.push(after.migration ? `migration ${after.migration.phase.toLowerCase()}` : "migration over");
	}
	for (const code of anomalies ?? []) said.push(`anomaly ${code}`);
	if (correction) said.push(`corrects ${correction.count} ${correction.count === 1 ? "outcome" : "outcomes"}`);
	return said.join(", ") || "nothing";
}

export function problemNote(failed) {
	const code = failed.code ? `${failed.code}: ` : "";
	return note("bad", `${code}${failed.message}`);
}

export function freshnessNote(freshness) {
	const bad = (freshness ?? []).filter((shard) => shard.stale || shard.halted || shard.phase === "CATCHING_UP");
	if (!bad.length) return null;
	const tell = (shard) => `${shard.topic}/${shard.partition} ${shard.halted ? `halted (${shard.halted.code})` : shard.phase === "CATCHING_UP" ? "is catching up" : "is not fed here any more"}`;
	return note("warn", `What is newest may be missing: ${bad.slice(0, 4).map(tell).join(", ")}${bad.length > 4 ? ` and ${bad.length - 4} more` : ""}.`);
}
