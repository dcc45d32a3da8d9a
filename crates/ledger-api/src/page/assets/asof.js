// Two sliders: as of which moment, and as it was known at which moment. At their right end they are "now".

import { button, h } from "./dom.js";
import { fromInput, iso, parse, show, showShort, zoneName } from "./time.js";

const STEPS = 2000;

class Slider {
	constructor({ label, help, onChange }) {
		Object.assign(this, { label, onChange, value: undefined, from: 0, to: 1 });
		this.range = h("input", { type: "range", min: 0, max: STEPS, step: 1, label: label, input: () => this.slid() });
		this.field = h("input", { plain: true, label: `${label}, date and time in ${zoneName()}`, change: () => this.typed() });
		this.now = button("now", () => this.set(undefined, true));
		this.element = h("div", { class: "slider" },
			h("div.what", h("b", label), h("span.actions", this.field, this.now)), this.range, h("p.small.soft", help));
	}

	span(from, to) {
		Object.assign(this, { from, to: Math.max(to, from + 1000) });
		this.draw();
	}

	slid() {
		const at = Number(this.range.value);
		this.set(at === STEPS ? undefined : Math.round(this.from + ((this.to - this.from) * at) / STEPS), true);
	}

	typed() {
		const at = fromInput(this.field.value);
		if (at === undefined) this.field.value = this.written;
		else this.set(at, true);
	}

	set(value, tell) {
		this.value = value;
		this.draw();
		if (tell) this.onChange();
	}

	draw() {
		const shown = this.value ?? this.to;
		const at = Math.round(((shown - this.from) / (this.to - this.from)) * STEPS);
		this.range.value = this.value === undefined ? STEPS : Math.max(0, Math.min(STEPS - 1, at));
		this.range.setAttribute("aria-valuetext", this.value === undefined ? "now" : `${show(shown)} ${zoneName()}`);
		this.field.value = this.written = this.value === undefined ? showShort(Date.now()) : show(this.value);
		this.now.disabled = this.value === undefined;
	}
}

export class AsOf {
	constructor({ at, knownAt }, onChange) {
		this.at = new Slider({ label: "As of", help: "What had happened by then.", onChange });
		this.known = new Slider({ label: "As known at", help: "What this ledger had been told by then.", onChange });
		this.at.set(parse(at));
		this.known.set(parse(knownAt));
		this.element = h("div.sliders", this.at.element, this.known.element);
	}

	span({ first, last, recordedFirst }) {
		const now = Date.now();
		if (!Number.isFinite(first)) return;
		this.at.span(first, Math.max(now, last));
		this.known.span(Math.min(recordedFirst, now - 1000), now);
	}

	parameters() {
		const text = (slider) => (slider.value === undefined ? undefined : iso(slider.value));
		return { at: text(this.at), knownAt: text(this.known) };
	}

	isPast() {
		return this.at.value !== undefined || this.known.value !== undefined;
	}
}
