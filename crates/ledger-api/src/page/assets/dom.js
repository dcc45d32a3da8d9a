// Elements: `h("p.note", {attributes}?, …)` for HTML, `s` for SVG. Text is never markup: no value of an event becomes an element.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
	for (const [name, value] of Object.entries(attributes ?? {})) {
		if (value === undefined || value === null || value === false) continue;
		if (name === "submit") element.addEventListener(name, (event) => (event.preventDefault(), value(event)));
		else if (typeof value === "function") element.addEventListener(name, value);
		else if (name === "value") element.value = value;
		else if (name === "colour") element.classList.add(`r${value}`);
		else if (name === "label") element.setAttribute("aria-label", value);
		// Keys and ids are no words.
		else if (name === "plain") fill(element, { spellcheck: "false", autocomplete: "off" }, []);
		else element.setAttribute(name, value === true ? "" : value);
	}
	append(element, children);
	return element;
}

function append(element, children) {
	for (const child of children.flat(Infinity)) {
		if (child !== undefined && child !== null && child !== false) element.append(child);
	}
}

export function h(name, ...given) {
	const [tag, ...classes] = name.split("."), element = document.createElement(tag);
	if (classes.length) element.className = classes.join(" ");
	const attributes = given[0]?.constructor === Object ? given.shift() : {};
	return fill(element, attributes, given);
}

export function button(text, click, more) {
	return h("button", { type: "button", click, ...more }, text);
}

// `heading` is a title, or [title, what is beside it].
export function card(heading, ...children) {
	const [label, ...beside] = [heading].flat(), title = h("h2", label);
	return h("section.card", { label }, beside.length ? h("div.head", title, beside) : title, children);
}

// What is wider than its place can be scrolled with the keyboard too.
export function scrolled(label, ...children) {
	return h("div.scroll", { tabindex: 0, role: "region", label }, children);
}

export function json(value) {
	return h("pre", { tabindex: 0 }, typeof value === "string" ? value : JSON.stringify(value, null, 2));
}

export function field(label, name, value, more) {
	return h("label", label, h("input", { name, value: value ?? "", plain: true, ...more }));
}

// Options are values, or [value, text].
export function select(attributes, options, wanted) {
	const option = ([value, text = value]) => h("option", { value, selected: value === wanted }, text);
	return h("select", attributes, options.map((one) => option([one].flat())));
}

export function progress(label) {
	return h("progress", { hidden: true, max: 1, value: 0, label });
}

// `kind`: bad, warn, good, or none. What is wrong is read out at once.
export function note(kind, ...text) {
	return h("p", { class: `note ${kind}`, role: kind === "bad" && "alert" }, text);
}

export function fact(name, ...value) {
	return [h("dt", name), h("dd", value)];
}

export function link(href, ...text) {
	return h("a", { href }, text);
}

export function s(tag, attributes, ...children) {
	return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function replace(element, ...children) {
	element.replaceChildren();
	append(element, children);
	return element;
}

export function announce(text) {
	document.getElementById("live").textContent = text;
}

export function downloadLines(name, objects) {
	download(`${name}.ndjson`, "application/x-ndjson", objects.map((object) => `${JSON.stringify(object)}\n`));
}

export function download(name, type, parts) {
	const url = URL.createObjectURL(new Blob(parts, { type }));
	h("a", { href: url, download: name }).click();
	setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
