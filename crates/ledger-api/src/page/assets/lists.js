// Lists: filters and sort in the URL, so that a bookmark keeps them. What a search found is one of them.

import { pages } from "./api.js";
import { anomalyText, migrationText } from "./cards.js";
import { button, field, h, link, note, replace, select } from "./dom.js";
import { QUARANTINE } from "./quarantine.js";
import { go, href, keep, tenantHref } from "./route.js";
import { column, exportButtons, member, table } from "./table.js";
import { DAY, iso, when } from "./time.js";
import { RULES, STATUS, chip, freshnessNote, problemNote, windowText } from "./words.js";

const MOST = 1000, DRAWN = 100;
const NAMES = { CLIENT_KEY: "client key", SITE_HOST: "site", ENTITLEMENT_ID: "entitlement", INSTALLATION_ID: "installation" };

const tenantLink = (key) => link(tenantHref(key), key), short = (instant) => instant && when(instant, true);
const tenant = member("Client key", "clientKey", tenantLink), app = member("App", "appKey"), since = member("Since", "pinnedSince", short), status = member("Status", "status", (value) => STATUS[value]);
const realm = member("Realm", "pinnedRealm", chip), product = member("Product", "productRealm", chip), aligned = member("Would be in", "alignedRealm", chip), data = member("Data", "dataRealm", chip);
const windowColumn = column("Window", (row) => row.window?.end ?? "without end", (row) => windowText(row.window));
const migration = column("Migration", (row) => row.migration && `${row.migration.dueBy} ${row.migration.phase} to ${row.migration.targetRealm}`, (row) => row.migration && migrationText(row.migration));
const decided = column("Decided by", (row) => row.decision?.rule, (row) => row.decision && h("span", { title: RULES[row.decision.rule] }, row.decision.rule));
const anomalies = column("Anomalies", (row) => `${row.anomalyCount} ${(row.anomalies ?? []).map((one) => one.code).join(" ")}`, (row) => anomalyText(row, row.clientKey));
const apps = column("Apps", (row) => row.appKeys.join(", ") || "none");
const named = (names) => names.map(({ by, value, appKeys }) => [NAMES[by], value, appKeys && `of ${appKeys.join(", ")}`].filter(Boolean).join(" ")).join("; ");

const side = (name, end) => column(name, (row) => row[end].clientKey, ({ [end]: { clientKey, realm, pinnedRealm = realm } }) => [tenantLink(clientKey), " ", pinnedRealm && chip(pinnedRealm)]);
const links = [column("App", (row) => row.appKey ?? row.to.appKey), side("Goes on from", "from"), side("Goes on as", "to")];
const linkForm = ({ appKey, from, to }) => href(["operate"], { type: "continued", clientKey: to.clientKey, appKey, fromClientKey: from.clientKey, fromAppKey: appKey, fromRealm: from.pinnedRealm });
const proposal = [...links, column("Silent since", (row) => row.from.lastEvent, (row) => short(row.from.lastEvent)), column("Appeared", (row) => row.to.firstEvent, (row) => short(row.to.firstEvent)),
	column("What they share", (row) => named(row.shared)), column("Act", () => undefined, (row) => link(linkForm(row), "link them"))];
const common = ({ commonNames }) => commonNames?.length > 0 && h("p.small.soft", `Too common to propose anything: ${commonNames.map(({ appKey, ...name }) => `${named([name])} of ${appKey}`).join("; ")}.`);

const OF_INSTALLATIONS = { route: "/v1/installations", rows: (answer) => answer.installations, filters: ["appKey", "realm", "status", "at"] };
const OF_LINEAGE = { route: "/v1/lineage", filters: ["appKey", "clientKey"], note: common };
const LISTS = {
	installations: { ...OF_INSTALLATIONS, title: "Installations", about: "Everything that is known of, installed or not.", columns: [tenant, app, status, realm, since, product, decided] },
	drift: { ...OF_INSTALLATIONS, title: "Drift", about: "Installed elsewhere than the product's realm would put it.", asked: () => ({ drift: true }), columns: [tenant, app, realm, aligned, product, since] },
	"split-brain": { ...OF_INSTALLATIONS, title: "Split brain", about: "Installed elsewhere than where its data is.", asked: () => ({ splitBrain: true }), columns: [tenant, app, realm, data, product, since] },
	windows: { ...OF_INSTALLATIONS, title: "Open windows", about: "Uninstalled, and would come back to its realm; the one that closes first is on top.", filters: ["appKey", "realm", "within"], asked: windowsAsked, columns: [tenant, app, realm, windowColumn] },
	migrations: { ...OF_INSTALLATIONS, route: "/v1/migrations", title: "Migrations", about: "Scheduled or under way.", filters: ["appKey", "overdue", "at"], columns: [tenant, app, realm, migration] },
	anomalies: { ...OF_INSTALLATIONS, title: "Anomalies", about: "Something in its history was odd.", asked: () => ({ anomalous: true }), columns: [tenant, app, realm, anomalies] },
	quarantine: QUARANTINE,
	lineage: { ...OF_LINEAGE, title: "Lineage proposals", about: "Two client keys with one app that share a name, the older one silent since the newer appeared. A link is made only by an operator.", rows: (answer) => answer.proposals, columns: proposal },
	links: { ...OF_LINEAGE, title: "Links", about: "Installations that go on as others.", rows: (answer) => answer.links, columns: [...links, column("Recorded", (row) => row.recorded.join(", "))] },
	search: { route: "/v1/search", title: "Search", rows: (answer) => answer.tenants, form: ({ q }) => searchForm(q), columns: [tenant, apps, column("Found by", (row) => named(row.matches))] },
};

function windowsAsked({ within }) {
	const days = Number(within);
	return days > 0 ? { windowClosingBefore: iso(Date.now() + days * DAY), within: undefined } : { window: "OPEN", within: undefined };
}

const text = (label, name, more) => (value) => field(label, name, value, more);
const choice = (label, name, options) => (value) => h("label", label, select({ name }, options, value ?? ""));
const FILTERS = {
	appKey: text("App key", "appKey"), clientKey: text("Client key", "clientKey"), realm: text("Realm", "realm", { size: 8 }), reason: text("Reason", "reason"),
	status: choice("Status", "status", [["", "any"], ...Object.entries(STATUS)]),
	overdue: choice("Overdue", "overdue", [["", "all"], ["true", "overdue only"], ["false", "not overdue"]]),
	within: text("Closing within days", "within", { type: "number", min: 1, max: 3650, size: 6 }),
	at: text("As of (UTC)", "at", { placeholder: "2026-03-01T10:00:00Z" }),
};

function filterForm(name, list, parameters) {
	const apply = ({ target }) => {
		const given = Object.fromEntries(new FormData(target));
		if (given.realm) given.realm = given.realm.toUpperCase();
		go(["list", name], { ...given, sort: parameters.sort });
	};
	return h("form.row", { submit: apply }, list.filters.map((filter) => FILTERS[filter](parameters[filter])), h("button", "Filter"));
}

export function searchForm(text) {
	const input = h("input", { type: "search", name: "q", value: text ?? "", placeholder: "acme.atlassian.net", plain: true, required: true, label: "Search", "aria-describedby": "searched" });
	return h("form.card", { role: "search", submit: () => go(["search"], { q: input.value.trim() }) },
		h("div.search", input, h("button.main", "Search")),
		h("p", { id: "searched", class: "small soft" }, "Searches client keys by how they begin, and site hosts, entitlement ids and installation ids as a whole."));
}

function navigation(name) {
	const lists = Object.entries(LISTS).filter(([, list]) => list.filters);
	return h("nav", { label: "Lists" }, h("ul", lists.map(([key, { title }]) => h("li", h("a", { href: href(["list", key]), "aria-current": key === name && "page" }, title)))));
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

export async function loaded(name, { sort, ...given }) {
	const { route, rows, asked } = LISTS[name];
	return pages(route, { ...given, ...asked?.(given) }, rows, MOST);
}

export async function listView(name, parameters) {
	const list = LISTS[name];
	if (!list) throw new Error("there is no such list");
	const body = h("div.card"), all = [], refused = [];
	let cursor, sorting = parameters.sort, drawn = DRAWN, answer;
	const load = async () => {
		const page = await loaded(name, { ...parameters, cursor });
		all.push(...page.rows);
		refused.push(...page.refused);
		({ cursor, answer } = page);
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
			rows.length > 0 && h("div.actions", exportButtons(name, list.columns, () => rows))),
			freshnessNote(answer.freshness), refused.length > 0 && refusedNote(refused),
			rows.length > 0 && table(list.columns, rows.slice(0, drawn), { caption: list.title, sorted, onSort }),
			list.note?.(answer), (drawn < rows.length || cursor) && h("p", button("Show more", more)));
	};
	try {
		if (list.filters || parameters.q) {
			await load();
			draw();
		}
	} catch (failed) {
		if (failed.status === 401) throw failed;
		replace(body, problemNote(failed));
	}
	const element = [list.filters && navigation(name), h("h1", list.title), list.about && h("p.soft", list.about), list.form?.(parameters) ?? filterForm(name, list, parameters), body];
	return { title: list.title, element };
}

function refusedNote(refused) {
	return note("warn", `Left out, as no shard has their whole history: ${refused.map((one) => `${one.clientKey} (${one.shards.join(", ")})`).join("; ")}`);
}
