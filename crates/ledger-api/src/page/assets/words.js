// How values of the API are shown: realms as chips, words in plain English.

import { h, note } from "./dom.js";
import { duration, parse, when } from "./time.js";

// Colours never stand alone: each bar and chip has its letters.
const REALMS = "US EU AU DE CA GB IN SG CH JP KR BR GLOBAL".split(" ");

export function colour(realm) {
	if (REALMS.includes(realm)) return REALMS.indexOf(realm);
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

// "days:30", "subscription:7" or a mode alone, as the API has it; nothing, if it is none.
export function policyOf(text) {
	const [mode, count] = text.split(":"), number = Number(count), field = { days: "days", subscription: "graceDays" }[mode];
	if (!field) return { mode };
	return Number.isInteger(number) && number > 0 ? { mode, [field]: number } : undefined;
}

export function policyName(policy) {
	const { mode, days, graceDays } = policy ?? { mode: "unknown" };
	if (mode === "days") return `${days} days`;
	if (mode === "subscription") return `subscription + ${graceDays} days`;
	return { descriptor: "descriptor's own", indefinite: "without end" }[mode] ?? mode ?? policy;
}

// "open, 3 d left, until 2026-…", at the instant of the answer; a state in a record has no such instant.
export function windowText(window) {
	if (!window) return null;
	if (window.forgotten) return ["ended by an operator ", when(window.end)];
	if (window.state === "CLOSED") return ["closed since ", when(window.end)];
	if (!window.end) return ["open without end"];
	return [window.state && ["open, ", h("b", `${duration(Number(window.remainingMs ?? parse(window.end) - Date.now()))} left`), ", "], "until ", when(window.end)];
}

export function eventTitle({ type, action, state, realm, targetRealm, productRealm, endpointRealm }) {
	if (type === "override") return `override ${action}${realm ? ` ${realm}` : ""}`;
	if (type === "subscription-observed") return `subscription ${state}`;
	const to = type === "installed" ? endpointRealm : type === "product-moved" ? productRealm : (targetRealm ?? realm);
	return to ? `${type} ${type === "installed" ? "at" : "to"} ${to}` : type;
}

export function changeText({ before, after, decision, anomalies, correction }) {
	const { status, window, migration, override, pinnedRealm = "unknown", productRealm = "unknown", dataRealm = "unknown" } = after;
	const differs = (...names) => names.some((name) => JSON.stringify(before?.[name]) !== JSON.stringify(after[name]));
	const many = correction?.count === 1 ? "outcome" : "outcomes";
	return [
		decision && `decided ${decision.rule}`, differs("status") && STATUS[status], differs("pinnedRealm", "pinnedBy") && `realm ${pinnedRealm}`,
		differs("productRealm") && `product ${productRealm}`, differs("dataRealm") && `data ${dataRealm}`, differs("override") && (override ? `override ${override}` : "override released"),
		differs("window") && (window ? `window until ${window.end ? window.end.slice(0, 10) : "it is reinstalled"}` : "window ends"),
		differs("migration") && (migration ? `migration ${migration.phase.toLowerCase()}` : "migration over"),
		...(anomalies ?? []).map((code) => `anomaly ${code}`), correction && `corrects ${correction.count} ${many}`,
	].filter(Boolean).join(", ") || "nothing";
}

export function sourceText({ name, partition, offset, line }) {
	return `${name}/${partition}/${offset ?? line}`;
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
