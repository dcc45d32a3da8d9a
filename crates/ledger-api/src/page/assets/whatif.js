// What-if: what other policies would have meant for the reinstalls so far.

import { lines } from "./api.js";
import { card, fact, field, h, link, note, progress, replace, s, scrolled } from "./dom.js";
import { keep, recordHref } from "./route.js";
import { VirtualTable, column, exportButtons, member, table } from "./table.js";
import { when } from "./time.js";
import { chip, freshnessNote, policyName, policyOf, problemNote } from "./words.js";

const DIFFERENCES_MOST = 20_000;
const OFFERED = ["descriptor", "off", "days:7", "days:30", "indefinite", "subscription:30"];

const number = { number: true };
const share = (name, key) => column(name, (report) => report[key], ({ [key]: part, reinstalls }) => `${part}${reinstalls ? ` (${Math.round((100 * part) / reinstalls)} %)` : ""}`, number);
const REPORT = [
	column("Policy", (report) => policyName(report.policy)),
	member("Reinstalls", "reinstalls", undefined, number),
	share("Kept their realm", "persisted"), share("Moved", "moved"),
];

const days = (count) => (count < 1 ? `${Math.round(count * 24)} h` : `${Math.round(count)} d`);

function binName(bins, at) {
	const from = at > 0 ? bins[at - 1].upToDays : 0;
	return bins[at].upToDays === undefined ? `over ${days(from)}` : `${days(from)} to ${days(bins[at].upToDays)}`;
}

function histogram({ bins }) {
	const used = bins.slice(0, bins.findLastIndex((bin) => bin.count > 0) + 1), most = Math.max(...used.map((bin) => bin.count), 1);
	const wide = 640 / Math.max(used.length, 6), high = 150;
	const bar = (bin, at) => {
		const height = (bin.count / most) * high, x = at * wide;
		return [s("rect", { x: x + 2, y: 20 + high - height, width: wide - 4, height, rx: 2 }), bin.count > 0 && s("text", { x: x + wide / 2, y: 14 + high - height }, bin.count),
			s("text", { class: "below", x: x + wide / 2, y: high + 36 }, bin.upToDays === undefined ? "more" : `≤${days(bin.upToDays)}`)];
	};
	return s("svg", { class: "histogram", viewBox: `0 0 640 ${high + 44}`, role: "img", label: "How long it took from uninstall to reinstall; the table has the same figures" }, used.map(bar));
}

function gapsCard({ gaps }) {
	if (!gaps) return h("p", "There were no reinstalls.");
	const quantile = (name, value) => [fact(name, `${value.toFixed(1)} days`)];
	const rows = gaps.bins.map((bin, at) => ({ name: binName(gaps.bins, at), count: bin.count })).filter((row) => row.count > 0);
	const columns = [member("From uninstall to reinstall", "name"), member("Reinstalls", "count", undefined, number)];
	return card("How long until the reinstall", h("div.cards", scrolled("Histogram", histogram(gaps)), h("dl", quantile("Half within", gaps.p50Days), quantile("90 % within", gaps.p90Days), quantile("99 % within", gaps.p99Days), quantile("Longest", gaps.maxDays))), h("details", h("summary", "The same as a table"), table(columns, rows, { caption: "Gaps" })));
}

const outcome = ({ pinnedRealm, rule }) => [chip(pinnedRealm), ` ${rule ?? ""}`];
const DIFFERENCES = [
	column("Client key", (one) => one.clientKey, (one) => link(recordHref(one.clientKey, one.seq), one.clientKey), { width: "11rem" }),
	member("App", "appKey", undefined, { width: "12.5rem" }),
	member("When", "at", (at) => when(at, true), { width: "9.5rem" }),
	column("Policy", (one) => policyName(one.policy), undefined, { width: "6rem" }),
	column("What is", (one) => one.actual.pinnedRealm, (one) => outcome(one.actual)),
	column("What would be", (one) => one.supposed.pinnedRealm, (one) => outcome(one.supposed)),
	column("Differs in", (one) => one.differs.join(", "), undefined, { width: "7rem" }),
];

function differencesCard(all, more) {
	if (!all.length) return h("p.card", "No installation would be otherwise.");
	const rows = new VirtualTable(DIFFERENCES, "Installations that differ");
	rows.show(all);
	return card([`Installations that would be otherwise (${all.length.toLocaleString("en")}${more ? " and more" : ""})`, h("div.actions", exportButtons("what-if", DIFFERENCES, () => all))], rows.element);
}

async function run(asked, wait, signal) {
	const reports = [], differences = [];
	let more = false, freshness;
	for await (const objects of lines("/v1/whatif", {}, { body: asked, signal })) {
		for (const object of objects) {
			if (object.progress) wait.value = object.progress.total ? object.progress.records / object.progress.total : 0;
			else if (object.report) reports.push(object.report);
			else if (object.freshness) ({ freshness } = object);
			else if (object.difference && differences.length < DIFFERENCES_MOST) differences.push(object.difference);
			else more = true;
		}
	}
	return { reports, differences, more, freshness };
}

export function whatIfView(parameters) {
	const abort = new AbortController(), chosen = (parameters.policies ?? "days:30,off").split(",");
	const others = chosen.filter((key) => !OFFERED.includes(key)).map((key) => key.replace("days:", ""));
	const result = h("div"), wait = progress("Read so far");
	const box = (key) => h("label.check", h("input", { type: "checkbox", name: "policy", value: key, checked: chosen.includes(key) }), policyName(policyOf(key)));
	const submit = async () => {
		const given = new FormData(form), own = given.get("days").split(/[\s,]+/).filter(Boolean).map((count) => `days:${count}`);
		const keys = [...given.getAll("policy"), ...own], policies = keys.map(policyOf);
		keep({ policies: keys.join(","), appKey: given.get("appKey"), from: given.get("from"), to: given.get("to") });
		if (!policies.length || policies.includes(undefined)) return replace(result, note("bad", "Choose a policy; days are whole numbers."));
		wait.hidden = false;
		try {
			const text = (name) => given.get(name) || undefined;
			const found = await run({ policies, appKey: text("appKey"), from: text("from"), to: text("to"), differences: true }, wait, abort.signal);
			replace(result, h("div.results", freshnessNote(found.freshness), card("Reinstalls", table(REPORT, found.reports, { caption: "Policies" })),
				found.reports[0] && gapsCard(found.reports[0]), differencesCard(found.differences, found.more)));
		} catch (failed) {
			if (failed.name !== "AbortError") replace(result, problemNote(failed));
		}
		wait.hidden = true;
	};
	const given = (label, name, placeholder) => field(`${label} (optional)`, name, parameters[name], { placeholder });
	const form = h("form.card", { submit }, h("fieldset", h("legend", "Policies"), OFFERED.map(box), h("label.check", "other days", h("input", { name: "days", value: others.join(", "), size: 8, inputmode: "numeric" }))),
		h("div.cards", given("App key", "appKey"), given("From, UTC", "from", "2026-01-01T00:00:00Z"), given("To, UTC", "to", "2027-01-01T00:00:00Z")),
		h("div.actions", h("button.main", "See")), wait);
	if (parameters.policies) setTimeout(() => form.requestSubmit(), 0);
	return { title: "What-if", element: [h("h1", "What if another policy had been in force?"), form, result], stop: () => abort.abort() };
}
