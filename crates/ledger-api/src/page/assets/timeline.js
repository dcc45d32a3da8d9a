// The lanes as SVG: every bar and mark is a link with a name. Arrow keys walk, plus and minus zoom, Shift with arrows pans.

import { debounced, h, replace, s } from "./dom.js";
import { titleOf } from "./history.js";
import { recordHref } from "./route.js";
import { DAY, MINUTE, duration, show, showShort, ticks } from "./time.js";
import { colour } from "./words.js";

const TITLE = 20, MARKS = 20, BAR = 26, PRODUCT = 15, SPAN = 17, GAP = 16, AXIS = 26;
const MARK_WIDTH = 23, SMALLEST = 3, CLOSEST = 10 * MINUTE;

export class Timeline {
	// `onRange` is told what is seen.
	constructor(client, { onRange, parameters }) {
		Object.assign(this, { client, onRange, parameters, lanes: [], now: Date.now(), width: 0, rows: [] });
		this.svg = s("svg", { role: "group", label: "Timeline. Arrow keys walk along the records and bars, Enter opens one, plus and minus zoom, Shift with arrows moves in time." });
		this.hatches = hatches();
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

	show(lanes, { all, range, at, now }) {
		// Who sees everything goes on seeing everything when there is more.
		const follows = this.range ? this.isAll() : !range;
		Object.assign(this, { lanes, all, at, now });
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
		this.frame ??= requestAnimationFrame(() => {
			this.frame = undefined;
			if (this.width && this.range) this.draw();
		});
	}

	draw() {
		const focused = this.svg.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
		this.rows = [];
		let y = AXIS;
		const drawn = this.lanes.map((lane) => {
			const made = this.lane(lane, y);
			y += made.height;
			return made.element;
		});
		this.svg.setAttribute("viewBox", `0 0 ${this.width} ${y}`);
		this.svg.setAttribute("height", y);
		replace(this.svg, this.hatches, this.axis(y), drawn, this.lines(y));
		const all = this.rows.flat(), found = all.find((link) => link.dataset.key === (focused ?? this.lastKey));
		(found ?? all[0])?.setAttribute("tabindex", "0");
		if (focused !== undefined) (found ?? all[0])?.focus({ preventScroll: true });
	}

	axis(height) {
		const { from, to } = this.range;
		const marks = ticks(from, to, Math.max(2, Math.floor(this.width / 110)));
		return s("g", { class: "axis", "aria-hidden": "true" }, marks.map(([at, text]) => {
			const x = this.x(at);
			return [s("line", { x1: x, x2: x, y1: 18, y2: height }), x < this.width - 70 && s("text", { x: x + 4, y: 13 }, text)];
		}));
	}

	lines(height) {
		const line = (ms, name) => ms >= this.range.from && ms <= this.range.to && s("line", { class: name, x1: this.x(ms), x2: this.x(ms), y1: 18, y2: height });
		return s("g", { "aria-hidden": "true" }, line(this.now, "now"), this.at !== undefined && line(this.at, "then"));
	}

	lane(lane, top) {
		const kinds = [...new Set(lane.spans.map((span) => span.kind))];
		const marksAt = top + TITLE, barAt = marksAt + MARKS, productAt = barAt + BAR, spansAt = productAt + PRODUCT + 3;
		const parts = [
			this.row(this.marks(lane, marksAt)),
			this.row(this.bars(lane, barAt)),
			this.row(this.products(lane, productAt)),
			...kinds.map((kind, at) => this.row(this.spans(lane, kind, spansAt + at * SPAN))),
		];
		const base = s("line", { class: "base", x1: 0, x2: this.width, y1: barAt + BAR / 2, y2: barAt + BAR / 2, "aria-hidden": "true" });
		const title = s("text", { class: "app", x: 0, y: top + 13, "aria-hidden": "true" }, lane.app);
		return { element: s("g", { role: "group", label: lane.app }, title, base, parts), height: TITLE + MARKS + BAR + PRODUCT + 3 + kinds.length * SPAN + GAP };
	}

	row(made) {
		const links = made.filter((element) => element.localName === "a");
		if (links.length) this.rows.push(links);
		return made;
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
			if (mark.at < from || mark.at > to) continue;
			const x = this.x(mark.at), last = groups.at(-1);
			if (last && x - last.x < MARK_WIDTH) last.marks.push(mark);
			else groups.push({ x, marks: [mark] });
		}
		return groups.map((group) => (group.marks.length === 1 ? this.mark(app, group, y) : this.cluster(app, group, y)));
	}

	mark(app, { x, marks: [mark] }, y) {
		return this.link(`${app} m ${mark.seq}`, `${showShort(mark.at)}, record ${mark.seq}, ${titleOf(mark)}`, this.record(mark.seq), { class: `mark ${mark.kind}` },
			s("circle", { class: "dot", cx: x, cy: y + 9, r: 7.5 }), s("text", { x, y: y + 12.6 }, mark.letter));
	}

	cluster(app, { x, marks }, y) {
		const first = marks[0].at, last = marks.at(-1).at, pad = Math.max((last - first) * 0.15, CLOSEST);
		const odd = marks.some((mark) => mark.kind === "anomaly"), count = marks.length;
		const name = `${count} records from ${showShort(first)} to ${showShort(last)}${odd ? ", anomalies among them" : ""}: ${last - first > 1000 ? "zoom in" : `open record ${marks[0].seq}`}`;
		const zoom = last - first > 1000 ? { "data-from": first - pad, "data-to": last + pad } : {};
		const wide = 9 + 3 * String(count).length;
		return this.link(`${app} m ${marks[0].seq}`, name, this.record(marks[0].seq), { class: `mark ${odd ? "anomaly" : "cluster"}`, ...zoom },
			s("rect", { class: "dot", x: x - wide / 2 - 2, y: y + 2, width: wide + 4, height: 15, rx: 7 }), s("text", { x, y: y + 13 }, count));
	}

	// Pieces that can be seen; what is too narrow is drawn together.
	pieces(pieces, drawOne, drawMany) {
		const { from, to } = this.range, made = [];
		let narrow = [];
		const flush = () => {
			if (narrow.length) made.push(narrow.length === 1 ? drawOne(narrow[0], this.x(narrow[0].from), SMALLEST) : drawMany(narrow));
			narrow = [];
		};
		for (const piece of pieces) {
			if (piece.to < from || piece.from > to) continue;
			const start = this.x(piece.from), end = this.x(piece.to);
			if (end - start < SMALLEST) {
				narrow.push(piece);
				continue;
			}
			flush();
			made.push(drawOne(piece, start, end - start));
		}
		flush();
		return made;
	}

	// What goes on is drawn up to now, or to where the view ends if that is in the past.
	end() {
		return Math.max(this.now, this.at ?? 0);
	}

	// A window without end stays so; its name says it.
	open(pieces) {
		return pieces.map((piece) => (piece.to === Infinity ? { ...piece, to: this.end() } : piece));
	}

	until(to) {
		return to >= this.end() ? "until now" : `until ${showShort(to)}`;
	}

	words(name, x, y, label) {
		return s("text", { class: name, x: Math.max(x, 0) + 6, y }, label);
	}

	bars({ app, bars }, y) {
		const open = this.open(bars.filter((piece) => piece.kind !== "gone"));
		const many = (narrow) => this.many(app, narrow, y + 2, BAR - 4, "states");
		return this.pieces(open, (piece, x, width) => this.bar(app, piece, x, width, y + 2), many);
	}

	many(app, narrow, y, height, what) {
		const [first, last] = [narrow[0], narrow.at(-1)], x = this.x(first.from);
		const realms = [...new Set(narrow.map((piece) => piece.realm ?? "unknown"))].join(", ");
		const name = `${narrow.length} ${what} (${realms}) from ${showShort(first.from)} to ${showShort(last.to)}: zoom in`;
		const pad = Math.max((last.to - first.from) * 0.15, CLOSEST);
		return this.link(`${app} b ${first.seq}`, name, this.record(first.seq), { "data-from": first.from - pad, "data-to": Math.min(last.to, this.end()) + pad },
			s("rect", { class: "seg many", x, y, width: Math.max(SMALLEST, this.x(Math.min(last.to, this.end())) - x), height, rx: 3 }));
	}

	bar(app, piece, x, width, y) {
		const { kind, realm, seq, from, to, end, doubtful } = piece, height = BAR - 4;
		const doubt = doubtful ? " As recorded at the time; a later event corrected it." : "";
		const text = (label, name) => width > label.length * 7.5 + 6 && this.words(name, x, y + 15.5, label);
		if (kind === "installed") {
			const name = `Realm ${realm ?? "unknown"} from ${showShort(from)} ${this.until(to)}.${doubt}`;
			return this.link(`${app} b ${seq}`, name, this.record(seq), {}, s("rect", { class: `seg ${realm ? "realm" : "unknown"} ${doubtful ? "doubtful" : ""}`, colour: realm && colour(realm), x, y, width, height, rx: 3 }),
				text(realm ?? "?", realm ? "onbar" : ""));
		}
		const left = end === Infinity ? "without end" : this.now < end && to >= this.now ? `${duration(end - this.now)} left` : `${duration(end - from)} window`;
		const label = `${realm ?? "?"} · ${left}`, longest = [label, left, realm ?? "?"].find((text) => width > text.length * 7 + 8);
		const name = `${label}: persistence window, opened ${showShort(from)}, ${end === Infinity ? "without end" : `until ${show(end)}`}.${doubt}`;
		return this.link(`${app} b ${seq}`, name, this.record(seq), { class: "window" },
			s("rect", { class: "seg", x, y, width, height, rx: 3, fill: realm ? `url(#hatch${colour(realm)})` : "none" }),
			longest && this.words("windowname", x, y + 15.5, longest));
	}

	products({ app, products }, y) {
		const open = this.open(products);
		const draw = ({ realm, seq, from, to }, x, width) => {
			const label = width > 95 ? `product ${realm}` : realm;
			const name = `product ${realm} from ${showShort(from)} ${this.until(to)}`;
			return this.link(`${app} p ${seq}`, name, this.record(seq), {}, s("rect", { class: "seg realm", colour: colour(realm), x, y: y + 9, width, height: 5, rx: 2 }),
				width > label.length * 6.2 + 4 && this.words("rowname", x, y + 7, label));
		};
		return this.pieces(open, draw, (narrow) => this.many(app, narrow, y + 9, 5, "product realms"));
	}

	spans({ app, spans }, kind, y) {
		const open = this.open(spans.filter((span) => span.kind === kind));
		const draw = ({ realm, seq, from, to, phase, overdue }, x, width) => {
			const target = realm ? ` → ${realm}` : "", word = kind === "migration" ? (overdue ? "overdue" : (phase ?? "").toLowerCase()) : "";
			const label = `${kind} ${word}`.trim() + target, longest = [label, word + target].find((text) => width > text.length * 6.3 + 6);
			const name = `${label}, from ${showShort(from)} ${this.until(to)}`;
			return this.link(`${app} ${kind} ${seq}`, name, this.record(seq), {}, s("rect", { class: `span ${kind} ${overdue ? "overdue" : ""}`, x, y: y + 2, width, height: SPAN - 3, rx: 3 }),
				longest && this.words("rowname", x, y + 12.5, longest));
		};
		return this.pieces(open, draw, (narrow) => this.many(app, narrow, y + 2, SPAN - 3, `${kind}s`));
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
		const here = document.activeElement, row = this.rows.findIndex((links) => links.includes(here));
		if (row < 0) return;
		const at = this.rows[row].indexOf(here);
		let next;
		if (down) {
			const x = here.getBBox().x, others = this.rows[row + down] ?? [];
			next = others.reduce((best, link) => (!best || Math.abs(link.getBBox().x - x) < Math.abs(best.getBBox().x - x) ? link : best), undefined);
		} else {
			next = this.rows[row][Math.max(0, Math.min(this.rows[row].length - 1, at + along))];
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
