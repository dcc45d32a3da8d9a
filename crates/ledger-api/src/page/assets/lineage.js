// Installations that go on as others: links that are known, and proposals, which only an operator applies.

import { ask } from "./api.js";
import { h, link } from "./dom.js";
import { href, tenantHref } from "./route.js";
import { column, exportButtons, table } from "./table.js";
import { problemNote, tag } from "./words.js";

const from = (row) => row.from ?? row.predecessor ?? { clientKey: row.fromClientKey, appKey: row.fromAppKey };
const to = (row) => row.to ?? row.successor ?? { clientKey: row.toClientKey, appKey: row.toAppKey };
const side = (name, of) => column(name, (row) => of(row).clientKey, (row) => [link(tenantHref(of(row).clientKey), of(row).clientKey), ` ${of(row).appKey ?? row.appKey ?? ""}`]);
const evidence = (row) => (typeof row.evidence === "string" ? row.evidence : JSON.stringify(row.evidence ?? ""));

function linkOf(row) {
	const [older, newer] = [from(row), to(row)];
	return href(["operate"], { type: "continued", clientKey: newer.clientKey, appKey: newer.appKey ?? row.appKey, fromClientKey: older.clientKey, fromAppKey: older.appKey ?? row.appKey });
}

const KNOWN = [side("From", from), side("To", to), column("Evidence", evidence)];
const PROPOSED = [...KNOWN, column("Act", () => "", (row) => link(linkOf(row), "link them"))];

function part(title, rows, columns) {
	return h("section.card", h("div.head", h("h2", title), h("div.actions", exportButtons(title, KNOWN, () => rows))),
		rows.length ? table(columns, rows, { caption: title }) : h("p", "None."));
}

export async function lineageView(navigation) {
	const element = [navigation, h("h1", "Lineage"), h("p.soft", "Two client keys with one app that share a site, an entitlement or an installation.")];
	try {
		const answer = await ask("/v1/lineage");
		element.push(part("Proposals", answer.proposals ?? [], PROPOSED), part("Known links", answer.links ?? answer.known ?? [], KNOWN));
	} catch (failed) {
		if (failed.status === 401) throw failed;
		element.push(failed.code === "no-such-route" ? h("p.note", tag("not in this build", "warn")) : problemNote(failed));
	}
	return { title: "Lineage", element };
}
