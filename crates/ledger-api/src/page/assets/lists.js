// Lists of installations and of refused messages: filters and sort in the URL, so that a bookmark keeps them.

import { ask, path } from "./api.js";
import { anomalyText, migrationText } from "./cards.js";
import { h, link, replace } from "./dom.js";
import { lineageView } from "./lineage.js";
import { QUARANTINE } from "./quarantine.js";
import { go, href, keep, tenantHref } from "./route.js";
import { searchForm } from "./start.js";
import { column, exportButtons, table } from "./table.js";
import { DAY, iso, when } from "./time.js";
import { RULES, STATUS, chip, freshnessNote, problemNote, tag, windowText } from "./words.js";

const MOST = 1000, DRAWN = 100;

const tenant = column("Client key", (row) => row.clientKey, (row) => link(tenantHref(row.clientKey), row.clientKey));
const app = column("App", (row) => row.appKey);
const realm = realmColumn("Realm", "pinnedRealm"), product = realmColumn("Product", "productRealm"), aligned = realmColumn("Would be in", "alignedRealm"), data = realmColumn("Data", "dataRealm");
const since = column("Since", (row) => row.pinnedSince, (row) => row.pinnedSince && when(row.pinnedSince, true));
const status = column("Status", (row) => row.status, (row) => STATUS[row.status]);
const windowColumn = column("Window", (row) => row.window?.end ?? "without end", (row) => windowText(row.window));
const migration = column("Migration", (row) => row.migration && `${row.migration.dueBy} ${row.migration.phase} to ${row.migration.targetRealm}`, (row) => row.migration && migrationText(row.migration));
const decided = column("Decided by", (row) => row.decision?.rule, (row) => row.decision && h("span", { title: RULES[row.decision.rule] }, row.decision.rule));
const anomalies = column("Anomalies", (row) => `${row.anomalyCount} ${(row.anomalies ?? []).map((one) => one.code).join(" ")}`, (row) => anomalyText(row, row.clientKey));

function realmColumn(name, field) {
	return column(name, (row) => row[field], (row) => chip(row[field]));
}

const OF_INSTALLATIONS = { route: "/v1/installations", rows: (answer) => answer.installations, filters: ["appKey", "realm", "status", "at"] };
const LISTS = {
	installations: { ...OF_INSTALLATIONS, title: "Installations", about: "Everything that is known of, installed or not.", columns: [tenant, app, status, realm, since, product, decided] },
	drift: { ...OF_INSTALLATIONS, title: "Drift", about: "Installed elsewhere than the product's realm would put it.", asked: () => ({ drift: true }), columns: [tenant, app, realm, aligned, product, since] },
	"split-brain": { ...OF_INSTALLATIONS, title: "Split brain", about: "Installed elsewhere than where its data is.", asked: () => ({ splitBrain: true }), columns: [tenant, app, realm, data, product, since] },
	windows: { ...OF_INSTALLATIONS, title: "Open windows", about: "Uninstalled, and would come back to its realm; the one that closes first is on top.", filters: ["appKey", "realm", "within"], asked: windowsAsked, columns: [tenant, app, realm, windowColumn] },
	migrations: { ...OF_INSTALLATIONS, route: "/v1/migrations", title: "Migrations", about: "Scheduled or under way.", filters: ["appKey", "overdue", "at"], columns: [tenant, app, realm, migration] },
	anomalies: { ...OF_INSTALLATIONS, title: "Anomalies", about: "Something in its history was odd.", asked: () => ({ anomalous: true }), columns: [tenant, app, realm, anomalies] },
	quarantine: QUARANTINE,
};
const NAMES = [...Object.entries(LISTS).map(([name, { title }]) => [name, title]), ["lineage", "Lineage"]];

function windowsAsked({ within }) {
	const days = Number(within);
	return days > 0 ? { windowClosingBefore: iso(Date.now() + days * DAY), within: undefined } : { window: "OPEN", within: undefined };
}

const FILTERS = {
	appKey: ["App key", (value) => h("input", { name: "appKey", value: value ?? "", plain: true })],
	realm: ["Realm", (value) => h("input", { name: "realm", value: value ?? "", size: 8, plain: true })],
	status: ["Status", (value) => choice("status", value, [["", "any"], ["INSTALLED", "installed"], ["UNINSTALLED", "uninstalled"], ["NONE", "never seen as installed"]])],
	overdue: ["Overdue", (value) => choice("overdue", value, [["", "all"], ["true", "overdue only"], ["false", "not overdue"]])],
	within: ["Closing within days", (value) => h("input", { name: "within", type: "number", min: 1, max: 3650, value: value ?? "", size: 6 })],
	at: ["As of (UTC)", (value) => h("input", { name: "at", value: value ?? "", placeholder: "2026-03-01T10:00:00Z", plain: true })],
	reason: ["Reason", (value) => h("input", { name: "reason", value: value ?? "", plain: true })],
};

function choice(name, value, options) {
	return h("select", { name }, options.map(([key, text]) => h("option", { value: key, selected: (value ?? "") === key }, text)));
}

function filterForm(name, list, parameters) {
	const apply = (event) => {
		event.preventDefault();
		const given = Object.fromEntries(new FormData(event.target));
		if (given.realm) given.realm = given.realm.toUpperCase();
		go(["list", name], { ...given, sort: parameters.sort });
	};
	const fields = list.filters.map((filter) => {
		const [label, input] = FILTERS[filter];
		return h("label", label, input(parameters[filter]));
	});
	return h("form.row", { submit: apply }, fields, h("button", "Filter"));
}

export function listNavigation(name) {
	return h("nav", { label: "Lists" }, h("ul", NAMES.map(([key, title]) => h("li", h("a", { href: href(["list", key]), "aria-current": key === name && "page" }, title)))));
}

function sortRows(rows, list, sort) {
	const down = sort?.startsWith("-"), column = list.columns.find((column) => column.name === sort?.replace(/^-/, ""));
	if (!column) return { rows, sorted: undefined };
	const order = (a, b) => {
		const [x, y] = [column.text(a), column.text(b)];
		if (x === y) return 0;
		if (x === undefined) return 1;
		if (y === undefined) return -1;
		return (x < y ? -1 : 1) * (down ? -1 : 1);
	};
	return { rows: [...rows].sort(order), sorted: { name: column.name, down } };
}

export async function listView(name, parameters) {
	if (name === "lineage") return lineageView(listNavigation(name));
	const list = LISTS[name];
	if (!list) throw new Error("there is no such list");
	const { sort, ...given } = parameters;
	const asked = { ...given, ...list.asked?.(given) };
	const body = h("div.card"), all = [];
	let cursor, sorting = sort, drawn = DRAWN, refused = [], freshness;
	const load = async () => {
		const answer = await ask(list.route, { ...asked, cursor, limit: MOST });
		all.push(...list.rows(answer));
		refused = refused.concat(answer.refused ?? []);
		({ nextCursor: cursor, freshness } = answer);
	};
	const more = async () => {
		drawn += DRAWN;
		try {
			if (drawn > all.length && cursor) await load();
			draw();
		} catch (failed) {
			body.prepend(problemNote(failed));
		}
	};
	const onSort = (column) => {
		sorting = sorting === column.name ? `-${column.name}` : column.name;
		keep({ sort: sorting });
		draw();
		body.querySelector("th[aria-sort] button")?.focus();
	};
	const draw = () => {
		const { rows, sorted } = sortRows(all, list, sorting);
		const sortNote = sorted && cursor ? " The sort is of what is loaded." : "";
		replace(body, h("div.head", h("p.soft", { role: "status" }, `${all.length.toLocaleString("en")}${cursor ? " and more" : ""} found.${sortNote}`),
			h("div.actions", exportButtons(name, list.columns, () => rows))),
			freshnessNote(freshness), refused.length > 0 && refusedNote(refused),
			rows.length > 0 ? table(list.columns, rows.slice(0, drawn), { caption: list.title, sorted, onSort }) : h("p", "Nothing is on this list."),
			(drawn < rows.length || cursor) && h("p", h("button", { type: "button", click: more }, "Show more")));
	};
	try {
		await load();
		draw();
	} catch (failed) {
		if (failed.status === 401) throw failed;
		replace(body, problemNote(failed));
	}
	const element = [listNavigation(name), h("h1", list.title), h("p.soft", list.about), filterForm(name, list, parameters), body];
	return { title: list.title, element };
}

function refusedNote(refused) {
	return h("p.note.warn", `Left out, as no shard has their whole history: ${refused.map((one) => `${one.clientKey} (${one.shards.join(", ")})`).join("; ")}`);
}

// What a search found, whichever name the answer has for its rows.
function found(answer) {
	const lists = Object.values(answer).filter(Array.isArray);
	return lists.find((list) => list.some((one) => one?.clientKey)) ?? [];
}

export async function searchView({ q }) {
	const element = (...what) => ({ title: "Search", element: [h("h1", "Search"), searchForm(q), what] });
	if (!q) return element();
	try {
		const answer = await ask("/v1/search", { q });
		const rows = found(answer);
		if (!rows.length) return element(h("p.note", `Nothing was found for ${q}.`), freshnessNote(answer.freshness));
		const by = column("Found by", (row) => row.by ?? row.matched ?? row.match);
		const apps = column("Apps", (row) => (row.apps ?? row.appKeys ?? []).map((one) => one.appKey ?? one).join(", "));
		const columns = [tenant, apps, by];
		return element(h("div.card", freshnessNote(answer.freshness), table(columns, rows, { caption: "Found" })));
	} catch (failed) {
		if (failed.code !== "no-such-route") throw failed;
	}
	return element(await exactly(q));
}

// A build without search: the client key as it is.
async function exactly(q) {
	const only = tag("this build looks for exact client keys only", "warn");
	try {
		await ask(path`/v1/tenants/${q}`);
		go(["tenant", q]);
		return h("p.note.good", "Found: ", link(tenantHref(q), q), " ", only);
	} catch (failed) {
		if (failed.status !== 404) throw failed;
		return h("p.note", `No tenant has the client key ${q}. `, only);
	}
}

