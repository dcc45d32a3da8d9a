// Tables: a plain one that becomes a list on a narrow screen, and one for any number of rows that draws only what is seen.

import { button, download, downloadLines, h, replace, scrolled } from "./dom.js";

// `text` is what is exported and sorted by, `cell` what is shown.
export function column(name, text, cell = text, more) {
	return { name, text, cell, ...more };
}

// What is in a cell stands together beside its name on a narrow screen.
function cellOf(column, row) {
	const made = [column.cell(row)].flat(Infinity).filter((part) => (part ?? false) !== false);
	return h("td", { class: column.number && "num", "data-name": column.name }, made.length > 0 && h("div", made));
}

// A column of one member.
export function member(name, key, shown, more) {
	return column(name, (row) => row[key], shown && ((row) => shown(row[key])), more);
}

export function table(columns, rows, { caption, sorted, onSort } = {}) {
	const head = (column) => {
		const direction = sorted?.name === column.name ? (sorted.down ? "descending" : "ascending") : undefined;
		const arrow = direction ? (sorted.down ? " ▾" : " ▴") : "";
		const name = onSort ? button(column.name + arrow, () => onSort(column)) : column.name;
		return h("th", { scope: "col", class: column.number && "num", "aria-sort": direction }, name);
	};
	const line = (row) => h("tr", columns.map((column) => cellOf(column, row)));
	return scrolled(`Table: ${caption}`, h(columns.length > 2 ? "table.stack" : "table", h("caption.unseen", caption),
			h("thead", h("tr", columns.map(head))), h("tbody", rows.map(line))));
}

const ROW = 35, SEEN = 12, AHEAD = 12;

// Rows are of one height; those outside of the view are two empty rows of the right height.
export class VirtualTable {
	constructor(columns, caption) {
		Object.assign(this, { columns, rows: [], top: 0, body: h("tbody") });
		this.pads = [0, 1].map(() => h("tr.pad", { "aria-hidden": "true" }, h("td", { colspan: columns.length })));
		const head = columns.map(({ name, width }) => {
			const th = h("th", { scope: "col" }, name);
			if (width) th.style.width = width;
			return th;
		});
		this.inner = h("table", h("thead", h("tr", head)), this.body);
		this.element = h("div.virtual", { tabindex: 0, role: "region", label: caption, scroll: () => this.schedule() }, this.inner);
	}

	// Cells of another `stamp` are others, though the rows are the same.
	show(rows, stamp) {
		Object.assign(this, { rows, first: undefined, seen: this.stamp === stamp ? this.seen : undefined, stamp });
		this.inner.setAttribute("aria-rowcount", rows.length + 1);
		this.draw();
	}

	schedule() {
		this.frame ??= requestAnimationFrame(() => {
			this.frame = undefined;
			this.top = this.element.scrollTop;
			this.draw();
		});
	}

	draw() {
		const wanted = Math.max(0, Math.floor(this.top / ROW) - AHEAD);
		const first = Math.max(0, Math.min(wanted - (wanted % 4), this.rows.length - SEEN));
		if (first === this.first) return;
		this.first = first;
		const last = Math.min(this.rows.length, first + SEEN + 2 * AHEAD + 4), seen = this.rows.slice(first, last), before = this.seen;
		const line = (row, at) => h("tr", { "aria-rowindex": first + at + 2 }, this.columns.map((column) => h("td", column.cell(row))));
		if (seen.length !== before?.length || seen.some((row, at) => row !== before[at])) replace(this.body, this.pads[0], seen.map(line), this.pads[1]);
		this.seen = seen;
		for (const [at, rows] of [first, this.rows.length - last].entries()) {
			this.pads[at].hidden = rows <= 0;
			this.pads[at].firstChild.style.height = `${rows * ROW}px`;
		}
	}
}

function quoted(value) {
	const text = value === undefined || value === null ? "" : String(value);
	// A spreadsheet takes these for formulas.
	const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
	return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function exportButtons(name, columns, rows) {
	const csv = () => {
		const lines = [columns.map((column) => quoted(column.name)), ...rows().map((row) => columns.map((column) => quoted(column.text(row))))];
		download(`${name}.csv`, "text/csv", [lines.map((line) => line.join(",")).join("\r\n"), "\r\n"]);
	};
	return [button("CSV", csv), button("NDJSON", () => downloadLines(name, rows()))];
}
