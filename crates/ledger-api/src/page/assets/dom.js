// Elements: `h("p.note", {attributes}?, …)` for HTML, `s` for SVG. Text is always text, never markup, so no value of an event can become an element.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
	for (const [name, value] of Object.entries(attributes ?? {})) {
		if (value === undefined || value === null || value === false) continue;
		if (typeof value === "function") element.addEventListener(name, value);
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

// A name and what it is, of a <dl>.
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

// Read by screen readers, seen by no one.
export function announce(text) {
	document.getElementById("live").textContent = text;
}

export function debounced(wait, run) {
	let timer;
	return (...given) => {
		clearTimeout(timer);
		timer = setTimeout(() => run(...given), wait);
	};
}

export function download(name, type, parts) {
	const url = URL.createObjectURL(new Blob(parts, { type }));
	h("a", { href: url, download: name }).click();
	setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
