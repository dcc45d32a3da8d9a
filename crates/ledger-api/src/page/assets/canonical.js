// JSON in the one spelling that the audit trail accepts (proto/AUDIT.md, 1 and 2). Nothing is put into this form: text in
// any other form is refused. Integers are read as BigInt, as they go up to 2^64 - 1.

export class Invalid extends Error {}
export class Undecided extends Error {}

export function need(fact, message) {
	if (!fact) throw new Invalid(message);
}

const DEPTH = 500;
const ESCAPED = /[\u007f-\uffff]/g;

function spelled(text, ascii) {
	const json = JSON.stringify(text);
	return ascii ? json.replace(ESCAPED, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`) : json;
}

class Reader {
	constructor(text, ascii) {
		Object.assign(this, { text, ascii, at: 0 });
	}

	fail() {
		throw new Invalid(`malformed: ${this.text.slice(0, 60)}`);
	}

	take(token) {
		if (!this.text.startsWith(token, this.at)) this.fail();
		this.at += token.length;
	}

	takes(token) {
		const found = this.text.startsWith(token, this.at);
		if (found) this.at += token.length;
		return found;
	}

	value(depth) {
		if (depth > DEPTH) this.fail();
		const first = this.text[this.at];
		if (first === "{") return this.object(depth);
		if (first === "[") return this.array(depth);
		if (first === '"') return this.string();
		for (const [word, value] of [["true", true], ["false", false], ["null", null]]) if (this.takes(word)) return value;
		const number = /-?(?:0|[1-9][0-9]*)/y;
		number.lastIndex = this.at;
		const found = number.exec(this.text)?.[0];
		if (!found || found === "-0" || found.length > 400) this.fail();
		this.at += found.length;
		return BigInt(found);
	}

	string() {
		let end = this.at + 1;
		while (end < this.text.length && this.text[end] !== '"') end += this.text[end] === "\\" ? 2 : 1;
		const written = this.text.slice(this.at, end + 1);
		let read;
		try { read = JSON.parse(written); } catch { this.fail(); }
		if (/\p{Surrogate}/u.test(read) || spelled(read, this.ascii) !== written) this.fail();
		this.at = end + 1;
		return read;
	}

	array(depth) {
		const all = [];
		this.take("[");
		if (this.takes("]")) return all;
		do all.push(this.value(depth + 1)); while (this.takes(","));
		this.take("]");
		return all;
	}

	object(depth) {
		const all = Object.create(null);
		let last;
		this.take("{");
		if (this.takes("}")) return all;
		do {
			const name = this.string();
			// The lines of a bundle have a fixed order, which is checked by their fields; payloads are sorted.
			if (name in all || (!this.ascii && last !== undefined && !(last < name))) this.fail();
			this.take(":");
			all[last = name] = this.value(depth + 1);
		} while (this.takes(","));
		this.take("}");
		return all;
	}
}

// `ascii`: as bundles and leaf lines are written; else as payloads are, by RFC 8785.
export function readCanonical(text, ascii) {
	const reader = new Reader(text, ascii);
	const value = reader.value(0);
	if (reader.at !== text.length) reader.fail();
	return value;
}

const TYPES = new Set(("installed uninstalled enabled disabled migration-scheduled migration-started migration-committed " +
	"migration-rolled-back migrated override data-located subscription-observed continued superseded product-moved " +
	"descriptor-published policy-set rejected").split(" "));
const RULES = new Set(["", ..."REFRESH IMPLICIT_REINSTALL OVERRIDDEN CONTINUED FRESH PRIOR_UNKNOWN WINDOW_FORGOTTEN".split(" "),
	..."PERSISTENCE_OFF WINDOW_EXPIRED REALM_WITHDRAWN PERSISTED".split(" ")]);
const NO_REALM = /^(DEFAULT|UNDEFINED|NONE|NULL|NAN|TRUE|FALSE)$/;

const is = {
	text: (v) => typeof v === "string",
	count: (v) => typeof v === "bigint" && v >= 0n,
	integer: (v) => typeof v === "bigint",
	hash: (v) => typeof v === "string" && /^[0-9A-Za-z_-]{43}$/.test(v),
	hashes: (v) => Array.isArray(v) && v.every(is.hash),
	one: (v) => v === 1n,
	seal: (v) => v === "seal",
	type: (v) => TYPES.has(v),
	rule: (v) => RULES.has(v),
	realm: (v) => v === "" || (typeof v === "string" && /^[A-Z][A-Z0-9-]{1,15}$/.test(v) && !NO_REALM.test(v)),
	other: (v) => v !== null && typeof v === "object" && hasFields(v, fields("k:hash c:hash")),
};

function fields(text) {
	return text.split(" ").map((field) => {
		const [name, kind] = field.split(":");
		return { name, kind: kind.replace("?", ""), optional: kind.endsWith("?") };
	});
}

function hasFields(value, expected) {
	const names = Object.keys(value), left = expected.filter(({ name, optional }) => !optional || name in value);
	return names.length === left.length && left.every(({ name, kind }, at) => names[at] === name && is[kind](value[name]));
}

export const RECORD = fields("v:one k:hash n:count p:hash y:type a:text t:integer q:integer o:text r:realm u:rule d:hash");
export const SEAL = fields("v:one y:seal c:count m:hash keys:count next:text dup:count rej:count t:integer");
const TYPED = {
	"realm-ledger-bundle": "v:one clientKey:text origin:text", checkpoint: "note:text",
	head: "n:count siblings:hashes other:other?", consistency: "from:count proof:hashes",
	seal: "index:count entry:text proof:hashes", app: "appKey:text n:count siblings:hashes other:other?",
	record: "index:count entry:text salt:hash? payload:text? proof:hashes",
};
const LINES = new Map(Object.entries(TYPED).map(([type, text]) => [type, fields(`type:text ${text}`)]));

export function isControl(text) {
	return /[\u0000-\u001f\u007f-\u009f]/.test(text);
}

export function isKey(text) {
	const length = new TextEncoder().encode(text).length;
	return length > 0 && length < 256 && !isControl(text);
}

function within(value) {
	if (typeof value !== "bigint") return;
	need(value >= -(2n ** 63n) && value < 2n ** 64n, "too large");
}

// `before` stands before the version, where a line has one: another version than 1 cannot be judged.
function checkVersion(line, before) {
	if (line.split('"v":').length !== 2 || !line.startsWith(before)) return;
	const version = /^(0|[1-9][0-9]{0,19})[,}]/.exec(line.slice(before.length))?.[1];
	if (version === undefined || version === "1") return;
	within(BigInt(version));
	throw new Undecided(`unknown version ${version}`);
}

// A leaf line.
export function readEntry(line, expected) {
	checkVersion(line, '{"v":');
	const value = readCanonical(line, true);
	const malformed = `malformed: ${line.slice(0, 60)}`;
	need(value !== null && typeof value === "object" && hasFields(value, expected), malformed);
	const exact = Object.values(value).every((v) => typeof v !== "bigint" || (v < 2n ** 53n && v > -(2n ** 53n)));
	need(exact && isKey(value.a || "-"), malformed);
	return value;
}

// A line of a bundle.
export function readLine(line, isFirst) {
	const header = '{"type":"realm-ledger-bundle","v":';
	if (isFirst) checkVersion(line, header);
	const value = readCanonical(line, true);
	const expected = value !== null && typeof value === "object" ? LINES.get(value.type) : undefined;
	const fits = expected && hasFields(value, expected) && ("salt" in value) === ("payload" in value);
	need(fits && (!isFirst || value.type === "realm-ledger-bundle"), `malformed: ${line.slice(0, 60)}`);
	Object.values(value).forEach(within);
	return value;
}
