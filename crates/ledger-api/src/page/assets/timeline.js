// The lanes as SVG: every bar and mark is a link with a name. Arrow keys walk, plus and minus zoom, Shift with arrows pans.

import { button, h, replace, s } from "./dom.js";
import { kindOf, titleOf } from "./history.js";
import { recordHref } from "./route.js";
import { DAY, MINUTE, duration, show, showShort, ticks } from "./time.js";
import { colour } from "./words.js";

const AXIS = 26, TITLE = 20, MARKS = 20, GAP = 16;
// [of the row, where its boxes begin, their height, where texts stand]
const ROWS = { states: [26, 2, 22, 17.5], products: [18, 9, 5, 7], migrations: [17, 2, 14, 12.5], overrides: [17, 2, 14, 12.5] };
const SMALLEST = 3, NARROW = 14, RUN = 72, CLOSEST = 10 * MINUTE, FRESH_MS = 4000, BUDGET_MS = 8;

export class Timeline {
	constructor(client, { onRange, parameters }) {
		Object.assign(this, { client, onRange, parameters, lanes: [], groups: [], now: Date.now(), width: 0, left: 0 });
		this.grid = s("g", { class: "axis", "aria-hidden": "true" });
		this.nowLines = s("g", { "aria-hidden": "true" });
		const about = (event) => this.tell(event.target.closest("a"));
		this.svg = s("svg", {
			role: "group", "aria-busy": "true", label: "Timeline. Arrow keys walk along the records and bars, Enter opens one, plus and minus zoom, Shift with arrows moves in time.",
			keydown: (event) => this.key(event), focusin: about, pointerover: about, click: (event) => this.click(event), pointerdown: (event) => this.drag(event),
		}, hatches(), this.grid, this.nowLines);
		this.svg.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
		this.hint = h("p.hint.small.soft", "Point at a bar or a mark, or walk along them with the arrow keys, and read here what it is.");
		const control = (text, title, run) => button(text, run, { label: title, title });
		this.controls = h("div.actions", control("−", "Zoom out", () => this.zoom(2)), control("+", "Zoom in", () => this.zoom(0.5)),
			control("◂", "Earlier", () => this.pan(-0.4)), control("▸", "Later", () => this.pan(0.4)), control("All", "All: show everything", () => this.setRange(this.all)));
		this.element = h("div.timeline", this.svg);
		this.observer = new ResizeObserver(([entry]) => {
			this.width = Math.floor(entry.contentRect.width);
			this.schedule();
		});
		this.observer.observe(this.element);
	}

	stop() {
		this.observer.disconnect();
	}

	// `overdue` are the apps whose migration is, comma separated.
	show(lanes, { all, range, at, now, overdue }) {
		// Lanes that are the same are left, until time went on.
		const isSame = lanes === this.lanes && now - this.now < FRESH_MS && overdue === this.overdue && !(at > now);
		Object.assign(this, { at, overdue });
		if (isSame) return this.request();
		// Who sees everything goes on seeing everything when there is more.
		const follows = this.range ? this.isAll() : !range;
		Object.assign(this, { lanes, all, now });
		this.range = follows ? all : (this.range ?? range);
		return this.schedule();
	}

	isAll() {
		return this.range.from === this.all.from && this.range.to === this.all.to;
	}

	setRange({ from, to }) {
		const span = Math.max(CLOSEST, Math.min(to - from, 4 * (this.all.to - this.all.from))), middle = (from + to) / 2;
		this.range = to - from === span ? { from, to } : { from: middle - span / 2, to: middle + span / 2 };
		this.schedule();
		clearTimeout(this.telling);
		this.telling = setTimeout(() => this.onRange(this.range, this.isAll()), 250);
	}

	zoom(factor, around) {
		const { from, to } = this.range, middle = around ?? (from + to) / 2;
		this.setRange({ from: middle - (middle - from) * factor, to: middle + (to - middle) * factor });
	}

	pan(share) {
		const { from, to } = this.range, by = (to - from) * share;
		this.setRange({ from: from + by, to: to + by });
	}

	x(ms) {
		const { from, to } = this.range;
		return Math.max(-10, Math.min(this.width + 10, ((ms - from) / (to - from)) * this.width));
	}

	// What is drawn is not yet what it should be: that is told to who reads it, be it a person or a program.
	schedule() {
		this.left = this.lanes.length;
		this.svg.setAttribute("aria-busy", "true");
		this.request();
	}

	request() {
		this.frame ??= requestAnimationFrame(() => this.draw());
	}

	// As many lanes as fit into a frame, the others in the next: the page goes on answering.
	draw() {
		this.frame = undefined;
		if (!this.width || !this.range) return;
		const begun = performance.now(), { groups, lanes, svg } = this, tops = [AXIS], isOld = !this.left;
		const focused = svg.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
		for (const lane of lanes) tops.push(tops.at(-1) + TITLE + MARKS + rowsOf(lane).reduce((height, [name]) => height + ROWS[name][0], GAP));
		while (groups.length > lanes.length) groups.pop().remove();
		while (groups.length < lanes.length) svg.insertBefore(groups[groups.push(s("g", { role: "group" })) - 1], this.nowLines);
		const height = tops.at(-1), box = `0 0 ${this.width} ${height}`;
		// Setting it lays out every lane anew.
		if (svg.getAttribute("viewBox") !== box) {
			svg.setAttribute("viewBox", box);
			svg.setAttribute("height", height);
		}
		this.drawLines(height);
		for (; this.left > 0 && performance.now() - begun < BUDGET_MS; this.left--) {
			const at = this.next = ((this.next ?? -1) + 1) % lanes.length;
			this.lane(groups[at], lanes[at], tops[at]);
		}
		if (!this.left) svg.removeAttribute("aria-busy");
		if (isOld) return;
		// One stop for Tab, where the reader was.
		const all = this.rows.flat(), found = all.find((link) => link.dataset.key === (focused ?? this.lastKey)) ?? all[0];
		for (const link of svg.querySelectorAll("[tabindex='0']")) link.setAttribute("tabindex", "-1");
		found?.setAttribute("tabindex", "0");
		if (focused !== undefined) found?.focus({ preventScroll: true });
		if (this.left > 0) this.request();
	}

	get rows() {
		return this.groups.flatMap((group) => group.rows ?? []);
	}

	drawLines(height) {
		const { from, to } = this.range, upright = (ms, name, y1 = 18) => s("line", { class: name, x1: this.x(ms), x2: this.x(ms), y1, y2: height });
		replace(this.grid, ticks(from, to, Math.max(2, Math.floor(this.width / 110))).map(([at, text]) => {
			const x = this.x(at);
			return [upright(at), x < this.width - 70 && s("text", { x: x + 4, y: 13 }, text)];
		}));
		const seen = (ms, name) => ms >= from && ms <= to && upright(ms, name);
		replace(this.nowLines, seen(this.now, "now"), seen(this.at, "then"));
	}

	lane(group, lane, top) {
		const { app } = lane, rows = [this.marks(lane, top + TITLE)], middle = top + TITLE + MARKS + ROWS.states[0] / 2;
		let y = top + TITLE + MARKS;
		for (const [name, pieces] of rowsOf(lane)) {
			rows.push(this.pieces(app, name, pieces, y));
			y += ROWS[name][0];
		}
		group.rows = rows.filter((links) => links.length);
		group.setAttribute("aria-label", app);
		replace(group, s("text", { class: "app", x: 0, y: top + 13, "aria-hidden": "true" }, app),
			s("line", { class: "base", x1: 0, x2: this.width, y1: middle, y2: middle, "aria-hidden": "true" }), rows);
	}

	link(app, row, seq, name, attributes, ...inside) {
		return s("a", { href: recordHref(this.client, seq, this.parameters()), label: name, "data-key": `${app} ${row} ${seq}`, tabindex: "-1", ...attributes }, inside);
	}

	marks({ app, marks }, y) {
		const { from, to } = this.range, groups = [];
		for (const mark of marks) {
			const { ms } = mark.record;
			if (ms < from || ms > to) continue;
			const x = this.x(ms), last = groups.at(-1);
			if (last && x - last.x < 17 + 7 * String(last.marks.length).length) last.marks.push(mark);
			else groups.push({ x, marks: [mark] });
		}
		return groups.map(({ x, marks }) => this.mark(app, x, marks, y));
	}

	mark(app, x, marks, y) {
		const [{ record }] = marks, count = marks.length, wide = 11 + 7 * String(count).length, last = marks.at(-1).record.ms;
		const odd = count > 1 && marks.some(({ change }) => change?.anomalies?.length), isWide = last - record.ms > 1000;
		const [kind, letter] = count > 1 ? [odd ? "anomaly" : "cluster", count] : kindOf(marks[0]), since = showShort(record.ms);
		const name = count > 1 ? `${count} records from ${since} to ${showShort(last)}${odd ? ", anomalies among them" : ""}: ${isWide ? "zoom in" : `open record ${record.seq}`}`
			: `${since}, record ${record.seq}, ${titleOf(marks[0])}`;
		return this.link(app, "m", record.seq, name, { class: `mark ${kind}`, ...(isWide && zoomTo(record.ms, last)) },
			s("rect", { class: "dot", x: x - wide / 2, y: y + 1, width: wide, height: 16, rx: 8 }), s("text", { x, y: y + 12.8 }, letter));
	}

	// Pieces that can be seen: a link each where they are wide enough, else one link for a run of them, in their colours.
	pieces(app, row, pieces, top) {
		const { from, to } = this.range, [, offset, height, base] = ROWS[row], y = top + offset, made = [];
		let run = [];
		const one = (piece, x, width) => {
			const { realm, seq } = piece, { name, texts, kind, words, fill } = this[row](piece, app);
			const fits = texts.find((text) => width > text.length * 7.4 + 11);
			made.push(this.link(app, row, seq, name, { class: piece.kind }, s("rect", { class: kind, colour: realm && colour(realm), x, y, width, height, rx: 3, fill }),
				fits && s("text", { class: words, x: Math.max(x, 0) + (row === "products" ? 0 : 6), y: top + base }, fits)));
		};
		const flush = () => {
			if (run.length === 1) one(run[0].piece, run[0].x, SMALLEST);
			else if (run.length) made.push(this.run(app, row, run, { y, height }));
			run = [];
		};
		for (const piece of pieces) {
			// What goes on is drawn up to now, or to the moment that is seen.
			const end = piece.to === Infinity ? this.end() : piece.to;
			if (end < from || piece.from > to) continue;
			const x = this.x(piece.from), width = this.x(end) - x;
			if (width >= NARROW || (run.length && x - run[0].x > RUN)) flush();
			if (width >= NARROW) one(piece, x, width);
			else run.push({ piece, x, width, end });
		}
		flush();
		return made;
	}

	run(app, row, run, { y, height }) {
		const { x, piece: first } = run[0], last = run.at(-1), paths = new Map();
		for (const { piece: { kind, realm }, x: at, width } of run) {
			const name = `${kind === "window" ? "open " : ""}${realm ?? "unknown"}`, { d = "" } = paths.get(name) ?? {};
			paths.set(name, { realm, kind, d: `${d}M${at.toFixed(1)} ${y}h${width.toFixed(1)}v${height}h${-width.toFixed(1)}z` });
		}
		const name = `${run.length} ${row} (${[...paths.keys()].join(", ")}) from ${showShort(first.from)} to ${showShort(last.end)}: zoom in`;
		return this.link(app, row, first.seq, name, { class: "run", ...zoomTo(first.from, last.end) },
			[...paths.values()].map(({ realm, kind, d }) => s("path", { class: `${realm ? "realm" : "many"} ${kind}`, colour: realm && colour(realm), d })),
			s("rect", { class: "seg", x, y, width: Math.max(SMALLEST, last.x + last.width - x), height, rx: 3 }));
	}

	end() {
		return Math.max(this.now, this.at ?? 0);
	}

	span({ from, to }) {
		return `from ${showShort(from)} ${to >= this.end() ? "until now" : `until ${showShort(to)}`}`;
	}

	states(piece) {
		const { kind, realm, from, to, end, doubtful } = piece, doubt = doubtful ? " As recorded at the time; a later event corrected it." : "";
		if (kind === "installed") {
			return { name: `Realm ${realm ?? "unknown"} ${this.span(piece)}.${doubt}`, texts: [realm ?? "?"], words: realm && "onbar", kind: `seg ${realm ? "realm" : "unknown"} ${doubtful ? "doubtful" : ""}` };
		}
		const left = end === Infinity ? "without end" : this.now < end && to >= this.now ? `${duration(end - this.now)} left` : `${duration(end - from)} window`;
		const label = `${realm ?? "?"} · ${left}`, until = end === Infinity ? "without end" : `until ${show(end)}`;
		return { name: `${label}: persistence window, opened ${showShort(from)}, ${until}.${doubt}`, texts: [label, left, realm ?? "?"], words: "windowname", kind: "seg", fill: realm ? `url(#hatch${colour(realm)})` : "none" };
	}

	products(piece) {
		const texts = [`product ${piece.realm}`, piece.realm];
		return { name: `${texts[0]} ${this.span(piece)}`, texts, words: "rowname", kind: "seg realm" };
	}

	migrations(piece, app) {
		const word = piece.to === Infinity && this.overdue.split(",").includes(app) ? "overdue" : piece.phase.toLowerCase(), target = `${word} → ${piece.realm ?? "?"}`;
		return { name: `migration ${target}, ${this.span(piece)}`, texts: [`migration ${target}`, target], words: "rowname", kind: `span ${word}` };
	}

	overrides(piece) {
		const text = `override → ${piece.realm}`;
		return { name: `${text}, ${this.span(piece)}`, texts: [text, `→ ${piece.realm}`], words: "rowname", kind: "span override" };
	}

	tell(link) {
		if (link) this.hint.textContent = link.getAttribute("aria-label");
	}

	click(event) {
		const link = event.target.closest("a");
		if (!link) return;
		const { from, to } = link.dataset, zooms = from !== undefined && !event.ctrlKey && !event.metaKey;
		if (this.dragged || zooms) event.preventDefault();
		if (!this.dragged && zooms) this.setRange({ from: Number(from), to: Number(to) });
	}

	key(event) {
		const { key, shiftKey } = event;
		const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity] }[key];
		const run = { "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.setRange(this.all) }[key];
		if (event.ctrlKey || event.metaKey || event.altKey || (!move && !run)) return;
		event.preventDefault();
		if (run) run();
		else if (shiftKey && Math.abs(move[1]) === 1) this.pan(move[1] * 0.2);
		else {
			this.drawNow();
			this.walk(...move);
		}
	}

	// Keys that come faster than frames walk in the range that was asked for, not in the one that is still seen.
	drawNow() {
		while (this.frame !== undefined) {
			cancelAnimationFrame(this.frame);
			this.draw();
		}
	}

	walk(down, along) {
		const here = document.activeElement, { rows } = this, row = rows.findIndex((links) => links.includes(here));
		if (row < 0) return;
		const distance = (link) => Math.abs(link.getBBox().x - here.getBBox().x);
		const next = down ? rows[row + down]?.reduce((best, link) => (distance(link) < distance(best) ? link : best))
			: rows[row][Math.max(0, Math.min(rows[row].length - 1, rows[row].indexOf(here) + along))];
		if (!next || next === here) return;
		here.setAttribute("tabindex", "-1");
		next.setAttribute("tabindex", "0");
		this.lastKey = next.dataset.key;
		next.focus();
	}

	wheel(event) {
		const zooms = event.ctrlKey || event.metaKey;
		if (!zooms && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
		event.preventDefault();
		if (!zooms) return this.pan(event.deltaX / this.width);
		const { from, to } = this.range, share = (event.clientX - this.svg.getBoundingClientRect().left) / this.width;
		return this.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))), from + share * (to - from));
	}

	drag(down) {
		if (down.button !== 0) return;
		const { from, to } = this.range, perPixel = (to - from) / this.width, done = new AbortController(), { signal } = done;
		this.dragged = false;
		addEventListener("pointermove", ({ clientX }) => {
			const by = clientX - down.clientX;
			this.dragged ||= Math.abs(by) > 5;
			if (this.dragged) this.setRange({ from: from - by * perPixel, to: to - by * perPixel });
		}, { signal });
		for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => done.abort(), { signal });
		this.svg.addEventListener("dragstart", (event) => event.preventDefault(), { once: true });
	}
}

function rowsOf({ bars, products, migrations, overrides }) {
	return [["states", bars], ["products", products], ["migrations", migrations], ["overrides", overrides]].filter(([, pieces], at) => at < 2 || pieces.length);
}

function zoomTo(from, to) {
	const pad = Math.max((to - from) * 0.15, CLOSEST);
	return { "data-from": from - pad, "data-to": to + pad };
}

function hatches() {
	return s("defs", {}, Array.from({ length: 13 }, (_, at) => s("pattern", { id: `hatch${at}`, width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
		s("rect", { class: "realm", colour: at, width: 3, height: 8 }))));
}

// Everything there is, up to now and to the end of windows that are open, with room at both ends.
export function wholeRange(lanes, { first, last }, now) {
	let end = Math.max(last, now);
	for (const { bars } of lanes) {
		const window = bars.findLast((bar) => bar.kind === "window");
		if (window && window.end !== Infinity && window.end > now) end = Math.max(end, Math.min(window.end, now + 400 * DAY));
	}
	const from = Number.isFinite(first) ? first : now - DAY, pad = Math.max((end - from) * 0.03, DAY / 24);
	return { from: from - pad, to: end + pad };
}
