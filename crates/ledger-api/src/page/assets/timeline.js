// The lanes as SVG: every bar and mark is a link with a name. Arrow keys walk, plus and minus zoom, Shift with arrows pans.

import { debounced, h, replace, s } from "./dom.js";
import { kindOf, titleOf } from "./history.js";
import { recordHref } from "./route.js";
import { DAY, MINUTE, duration, show, showShort, ticks } from "./time.js";
import { colour } from "./words.js";

const TITLE = 20, MARKS = 20, BAR = 26, PRODUCT = 15, SPAN = 17, GAP = 16, AXIS = 26;
const SMALLEST = 3, NARROW = 14, RUN = 72, CLOSEST = 10 * MINUTE, FRESH = 4000, BUDGET = 8;

export class Timeline {
	// `onRange` is told what is seen.
	constructor(client, { onRange, parameters }) {
		Object.assign(this, { client, onRange, parameters, lanes: [], groups: [], now: Date.now(), width: 0, left: 0 });
		this.svg = s("svg", { role: "group", label: "Timeline. Arrow keys walk along the records and bars, Enter opens one, plus and minus zoom, Shift with arrows moves in time." });
		this.grid = s("g", { class: "axis", "aria-hidden": "true" });
		this.nowLines = s("g", { "aria-hidden": "true" });
		this.svg.append(hatches(), this.grid, this.nowLines);
		this.hint = h("p.hint.small.soft");
		const button = (text, name, run) => h("button", { type: "button", label: name, title: name, click: run }, text);
		this.controls = h("div.actions", button("−", "Zoom out", () => this.zoom(2)), button("+", "Zoom in", () => this.zoom(0.5)),
			button("◂", "Earlier", () => this.pan(-0.4)), button("▸", "Later", () => this.pan(0.4)), button("All", "All: show everything", () => this.setRange(this.all)));
		this.element = h("div.timeline", this.svg);
		this.svg.addEventListener("keydown", (event) => this.key(event));
		for (const name of ["focusin", "pointerover"]) this.svg.addEventListener(name, (event) => this.tell(event.target.closest("a")));
		this.svg.addEventListener("click", (event) => this.click(event));
		this.svg.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
		this.svg.addEventListener("pointerdown", (event) => this.drag(event));
		this.observer = new ResizeObserver(([entry]) => {
			this.width = Math.floor(entry.contentRect.width);
			this.schedule();
		});
		this.observer.observe(this.element);
		this.report = debounced(250, () => this.onRange(this.range, this.isAll()));
	}

	stop() {
		this.observer.disconnect();
	}

	show(lanes, { all, range, at, now }, isMarked) {
		// Drawing costs, so lanes that are the same are left, until time went on.
		const isSame = lanes === this.lanes && now - this.now < FRESH && !isMarked && !(at > now);
		this.at = at;
		if (isSame) {
			this.frame ??= requestAnimationFrame(() => this.draw());
			return;
		}
		// Who sees everything goes on seeing everything when there is more.
		const follows = this.range ? this.isAll() : !range;
		Object.assign(this, { lanes, all, now });
		this.range = follows ? all : (this.range ?? range);
		this.schedule();
	}

	isAll() {
		return this.range.from === this.all.from && this.range.to === this.all.to;
	}

	setRange({ from, to }) {
		const span = Math.max(CLOSEST, Math.min(to - from, 4 * (this.all.to - this.all.from)));
		const middle = (from + to) / 2;
		const isGiven = to - from === span;
		this.range = isGiven ? { from, to } : { from: middle - span / 2, to: middle + span / 2 };
		this.schedule();
		this.report();
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

	schedule() {
		this.left = this.lanes.length;
		this.frame ??= requestAnimationFrame(() => this.draw());
	}

	// As many lanes as fit into a frame, the others in the next: however many there are, the page goes on answering.
	draw() {
		this.frame = undefined;
		if (!this.width || !this.range) return;
		const begun = performance.now(), isWhole = !this.left, focused = this.svg.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
		const tops = [AXIS];
		for (const lane of this.lanes) tops.push(tops.at(-1) + TITLE + MARKS + BAR + PRODUCT + 3 + kindsOf(lane).length * SPAN + GAP);
		const height = tops.at(-1), { groups } = this;
		while (groups.length > this.lanes.length) groups.pop().remove();
		while (groups.length < this.lanes.length) this.svg.insertBefore(groups[groups.push(s("g", { role: "group" })) - 1], this.nowLines);
		this.svg.setAttribute("viewBox", `0 0 ${this.width} ${height}`);
		this.svg.setAttribute("height", height);
		replace(this.grid, this.axis(height));
		replace(this.nowLines, this.lines(height));
		for (; this.left > 0 && performance.now() - begun < BUDGET; this.left--) {
			const at = this.next = ((this.next ?? -1) + 1) % this.lanes.length;
			this.lane(groups[at], this.lanes[at], tops[at]);
		}
		if (isWhole) return;
		const all = this.rows.flat(), found = all.find((link) => link.dataset.key === (focused ?? this.lastKey)) ?? all[0];
		for (const link of this.svg.querySelectorAll("[tabindex='0']")) link.setAttribute("tabindex", "-1");
		found?.setAttribute("tabindex", "0");
		if (focused !== undefined) found?.focus({ preventScroll: true });
		if (this.left > 0) this.frame = requestAnimationFrame(() => this.draw());
	}

	get rows() {
		return this.groups.flatMap((group) => group.rows ?? []);
	}

	axis(height) {
		const { from, to } = this.range;
		const marks = ticks(from, to, Math.max(2, Math.floor(this.width / 110)));
		return marks.map(([at, text]) => {
			const x = this.x(at);
			return [s("line", { x1: x, x2: x, y1: 18, y2: height }), x < this.width - 70 && s("text", { x: x + 4, y: 13 }, text)];
		});
	}

	lines(height) {
		const line = (ms, name) => ms >= this.range.from && ms <= this.range.to && s("line", { class: name, x1: this.x(ms), x2: this.x(ms), y1: 18, y2: height });
		return [line(this.now, "now"), this.at !== undefined && line(this.at, "then")];
	}

	lane(group, lane, top) {
		const marksAt = top + TITLE, barAt = marksAt + MARKS, productAt = barAt + BAR, spansAt = productAt + PRODUCT + 3;
		const rows = [this.marks(lane, marksAt), this.bars(lane, barAt), this.products(lane, productAt), ...kindsOf(lane).map((kind, at) => this.spans(lane, kind, spansAt + at * SPAN))];
		group.rows = rows.filter((links) => links.length);
		group.setAttribute("aria-label", lane.app);
		replace(group, s("text", { class: "app", x: 0, y: top + 13, "aria-hidden": "true" }, lane.app),
			s("line", { class: "base", x1: 0, x2: this.width, y1: barAt + BAR / 2, y2: barAt + BAR / 2, "aria-hidden": "true" }), rows);
	}

	link(key, name, to, attributes, ...inside) {
		return s("a", { href: to, label: name, "data-key": key, tabindex: "-1", ...attributes }, inside);
	}

	record(seq) {
		return recordHref(this.client, seq, this.parameters());
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
		const [{ record }] = marks, count = marks.length, wide = 11 + 7 * String(count).length, first = record.ms, last = marks.at(-1).record.ms;
		const odd = count > 1 && marks.some(({ change }) => change?.anomalies?.length), zoom = last - first > 1000 ? zoomTo(first, last) : {};
		const [kind, letter] = count > 1 ? [odd ? "anomaly" : "cluster", count] : kindOf(marks[0]);
		const opens = zoom["data-from"] ? "zoom in" : `open record ${record.seq}`;
		const name = count > 1 ? `${count} records from ${showShort(first)} to ${showShort(last)}${odd ? ", anomalies among them" : ""}: ${opens}` : `${showShort(first)}, record ${record.seq}, ${titleOf(marks[0])}`;
		return this.link(`${app} m ${record.seq}`, name, this.record(record.seq), { class: `mark ${kind}`, ...zoom },
			s("rect", { class: "dot", x: x - wide / 2, y: y + 1, width: wide, height: 16, rx: 8 }), s("text", { x, y: y + 12.8 }, letter));
	}

	// Pieces that can be seen: a link each where they are wide enough, else one link for a run of them, in their colours.
	pieces(app, pieces, { y, height, what, draw }) {
		const { from, to } = this.range, made = [];
		let run = [];
		const flush = () => {
			if (run.length === 1) made.push(draw(run[0].piece, run[0].x, SMALLEST));
			else if (run.length) made.push(this.run(app, run, { y, height, what }));
			run = [];
		};
		for (const piece of pieces) {
			// What goes on is drawn up to now, or to where the view ends if that is in the past.
			const end = piece.to === Infinity ? this.end() : piece.to;
			if (end < from || piece.from > to) continue;
			const x = this.x(piece.from), width = this.x(end) - x;
			if (width >= NARROW || (run.length && x - run[0].x > RUN)) flush();
			if (width >= NARROW) made.push(draw(piece, x, width));
			else run.push({ piece, x, width, end });
		}
		flush();
		return made;
	}

	run(app, run, { y, height, what }) {
		const { x, piece: first } = run[0], last = run.at(-1), paths = new Map();
		for (const { piece: { kind, realm }, x: at, width } of run) {
			const name = `${kind === "window" ? "open " : ""}${realm ?? "unknown"}`, { d = "" } = paths.get(name) ?? {};
			paths.set(name, { realm, kind, d: `${d}M${at.toFixed(1)} ${y}h${width.toFixed(1)}v${height}h${-width.toFixed(1)}z` });
		}
		const text = `${run.length} ${what} (${[...paths.keys()].join(", ")})`;
		return this.link(`${app} ${what} ${first.seq}`, `${text} from ${showShort(first.from)} to ${showShort(last.end)}: zoom in`, this.record(first.seq), { class: "run", ...zoomTo(first.from, last.end) },
			[...paths.values()].map(({ realm, kind, d }) => s("path", { class: `${realm ? "realm" : "many"} ${kind}`, colour: realm && colour(realm), d })),
			s("rect", { class: "seg", x, y, width: Math.max(SMALLEST, last.x + last.width - x), height, rx: 3 }));
	}

	end() {
		return Math.max(this.now, this.at ?? 0);
	}

	until(to) {
		return to >= this.end() ? "until now" : `until ${showShort(to)}`;
	}

	// The longest of these texts that fits.
	words(name, x, y, width, ...texts) {
		const text = texts.find((text) => width > text.length * 7.4 + 11);
		return text && s("text", { class: name, x: Math.max(x, 0) + 6, y }, text);
	}

	bars({ app, bars }, y) {
		return this.pieces(app, bars.filter((piece) => piece.kind !== "gone"), { y: y + 2, height: BAR - 4, what: "states", draw: (piece, x, width) => this.bar(app, piece, x, width, y + 2) });
	}

	bar(app, { kind, realm = "unknown", seq, from, to, end, doubtful }, x, width, y) {
		const doubt = doubtful ? " As recorded at the time; a later event corrected it." : "", known = realm !== "unknown";
		const box = { colour: known && colour(realm), x, y, width, height: BAR - 4, rx: 3 };
		if (kind === "installed") {
			return this.link(`${app} states ${seq}`, `Realm ${realm} from ${showShort(from)} ${this.until(to)}.${doubt}`, this.record(seq), {},
				s("rect", { class: `seg ${known ? "realm" : "unknown"} ${doubtful ? "doubtful" : ""}`, ...box }), this.words(known ? "onbar" : "", x, y + 15.5, width, known ? realm : "?"));
		}
		const left = end === Infinity ? "without end" : this.now < end && to >= this.now ? `${duration(end - this.now)} left` : `${duration(end - from)} window`;
		const label = `${realm} · ${left}`, until = end === Infinity ? "without end" : `until ${show(end)}`;
		return this.link(`${app} states ${seq}`, `${label}: persistence window, opened ${showShort(from)}, ${until}.${doubt}`, this.record(seq), { class: "window" },
			s("rect", { class: "seg", ...box, fill: known ? `url(#hatch${colour(realm)})` : "none" }), this.words("windowname", x, y + 15.5, width, label, left, realm));
	}

	products({ app, products }, y) {
		const draw = ({ realm, seq, from, to }, x, width) => this.link(`${app} product realms ${seq}`, `product ${realm} from ${showShort(from)} ${this.until(to)}`, this.record(seq), {},
			s("rect", { class: "seg realm", colour: colour(realm), x, y: y + 9, width, height: 5, rx: 2 }), this.words("rowname", x - 6, y + 7, width, `product ${realm}`, realm));
		return this.pieces(app, products, { y: y + 9, height: 5, what: "product realms", draw });
	}

	spans({ app, spans }, kind, y) {
		const draw = ({ realm, seq, from, to, phase, overdue }, x, width) => {
			const target = realm ? ` → ${realm}` : "", word = kind === "migration" ? (overdue ? "overdue" : (phase ?? "").toLowerCase()) : "";
			const label = `${kind} ${word}`.trim() + target;
			return this.link(`${app} ${kind}s ${seq}`, `${label}, from ${showShort(from)} ${this.until(to)}`, this.record(seq), {},
				s("rect", { class: `span ${kind} ${overdue ? "overdue" : ""}`, x, y: y + 2, width, height: SPAN - 3, rx: 3 }), this.words("rowname", x, y + 12.5, width, label, word + target));
		};
		return this.pieces(app, spans.filter((span) => span.kind === kind), { y: y + 2, height: SPAN - 3, what: `${kind}s`, draw });
	}

	tell(link) {
		if (link) this.hint.textContent = link.getAttribute("aria-label");
	}

	click(event) {
		const link = event.target.closest("a");
		if (!link) return;
		if (this.dragged) event.preventDefault();
		else if (link.dataset.from !== undefined && !event.ctrlKey && !event.metaKey) {
			event.preventDefault();
			this.setRange({ from: Number(link.dataset.from), to: Number(link.dataset.to) });
		}
	}

	key(event) {
		const { key, shiftKey } = event;
		const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key];
		const run = { "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.setRange(this.all), Home: () => this.walk(0, -Infinity), End: () => this.walk(0, Infinity) }[key];
		if (event.ctrlKey || event.metaKey || event.altKey || (!move && !run)) return;
		event.preventDefault();
		if (run) run();
		else if (shiftKey && move[1]) this.pan(move[1] * 0.2);
		else this.walk(...move);
	}

	walk(down, along) {
		const here = document.activeElement, { rows } = this, row = rows.findIndex((links) => links.includes(here));
		if (row < 0) return;
		const at = rows[row].indexOf(here);
		let next;
		if (down) {
			const x = here.getBBox().x, others = rows[row + down] ?? [];
			next = others.reduce((best, link) => (!best || Math.abs(link.getBBox().x - x) < Math.abs(best.getBBox().x - x) ? link : best), undefined);
		} else {
			next = rows[row][Math.max(0, Math.min(rows[row].length - 1, at + along))];
		}
		if (!next || next === here) return;
		here.setAttribute("tabindex", "-1");
		next.setAttribute("tabindex", "0");
		this.lastKey = next.dataset.key;
		next.focus();
	}

	wheel(event) {
		if (event.ctrlKey || event.metaKey) {
			event.preventDefault();
			const { from, to } = this.range, share = (event.clientX - this.svg.getBoundingClientRect().left) / this.width;
			this.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))), from + share * (to - from));
		} else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
			event.preventDefault();
			this.pan(event.deltaX / this.width);
		}
	}

	drag(down) {
		if (down.button !== 0) return;
		const { from, to } = this.range, perPixel = (to - from) / this.width;
		this.dragged = false;
		const move = (event) => {
			const by = event.clientX - down.clientX;
			this.dragged ||= Math.abs(by) > 5;
			if (!this.dragged) return;
			this.setRange({ from: from - by * perPixel, to: to - by * perPixel });
		};
		const up = () => {
			removeEventListener("pointermove", move);
			removeEventListener("pointerup", up);
			removeEventListener("pointercancel", up);
		};
		addEventListener("pointermove", move);
		addEventListener("pointerup", up);
		addEventListener("pointercancel", up);
		this.svg.addEventListener("dragstart", (event) => event.preventDefault(), { once: true });
	}
}

function kindsOf({ spans }) {
	return [...new Set(spans.map((span) => span.kind))];
}

// What a link that stands for more than one thing shows when it is opened.
function zoomTo(from, to) {
	const pad = Math.max((to - from) * 0.15, CLOSEST);
	return { "data-from": from - pad, "data-to": to + pad };
}

// One hatched pattern for each colour.
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
