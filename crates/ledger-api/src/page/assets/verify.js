// Verifies a bundle in the browser, from proto/AUDIT.md alone, with the same verdicts as tests/verifier. Like that one it
// knows neither the events nor the realm rules: whether decisions follow from the records (step 8) is left to others.

import { Invalid, RECORD, SEAL, Undecided, isKey, need, readCanonical, readEntry, readLine } from "./canonical.js";
import { Hasher, ZERO, bytes, digest, equal, hmac, joined, openNote, parseKey, sha256, toBase64 } from "./merkle.js";

export const VALID = 0, UNDECIDED = 1, INVALID = 3;

const ORDER = { checkpoint: ["seal"], seal: ["head"], head: ["record", "app", "consistency"], record: ["record", "app", "consistency"],
	app: ["record", "app", "consistency"], consistency: [] };

function isBefore(a, b) {
	const [left, right] = [bytes(a), bytes(b)];
	const at = left.findIndex((byte, at) => byte !== right[at]);
	return at < 0 ? left.length < right.length : at < right.length && left[at] < right[at];
}

function parse(text) {
	const [first, ...lines] = (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n");
	const parts = [readLine(first, true), ...lines.map((line) => readLine(line, false))];
	const kinds = parts.slice(1).map((part) => part.type);
	const inOrder = kinds[0] === "checkpoint" && kinds.slice(1).every((kind, at) => ORDER[kinds[at]]?.includes(kind));
	need(text.endsWith("\n") && inOrder && kinds.includes("head"), "lines out of order");
	for (const part of parts) {
		for (const name of ["proof", "siblings"]) if (name in part) part[name] = part[name].map(digest);
	}
	const apps = parts.filter((part) => "appKey" in part).map((part) => part.appKey);
	const sorted = apps.every((app, at) => at === 0 || isBefore(apps[at - 1], app));
	need([parts[0].clientKey, ...apps].every(isKey) && sorted, "apps out of order");
	return parts;
}

function streamOf(kind, key) {
	const raw = bytes(key);
	return sha256(bytes("realm-ledger/key/v1\0"), [kind, raw.length >> 8, raw.length & 255], raw);
}

function u64(value) {
	const raw = new Uint8Array(8);
	new DataView(raw.buffer).setBigUint64(0, value);
	return raw;
}

// Heads and tails of one stream: the tenant's, or what was set for an app.
class Section {
	constructor(head, records) {
		Object.assign(this, { head, records, app: head.appKey, last: undefined, apps: new Set() });
	}

	// Step 4.
	async chain(context) {
		const { size, root, end, hasher, progress } = context;
		const whose = this.app === undefined ? "the tenant" : this.app;
		for (const [at, part] of this.records.entries()) {
			const what = `record ${at + 1} of ${whose}: `;
			const entry = part.read = readEntry(part.entry, RECORD);
			const ofApp = this.app === undefined || entry.a === this.app;
			need(equal(digest(entry.k), this.stream) && ofApp && entry.y !== "rejected", `${what}of another stream`);
			const previous = this.last ? this.last.leaf : ZERO;
			need(entry.n === BigInt(at + 1) && equal(digest(entry.p), previous), `${what}not the next one`);
			need((this.last ? this.last.index : -1n) < part.index && part.index < end, `${what}its index does not rise`);
			const leaf = await hasher.leaf(part.entry);
			await hasher.inclusion(leaf, part.index, size, part.proof, root, `${what}not in the log`);
			this.last = { n: entry.n, index: part.index, leaf };
			this.apps.add(entry.a);
			progress();
		}
	}

	// Step 5, as far as it goes without knowing the events.
	async openPayloads(client) {
		for (const part of this.records) {
			if (part.payload === undefined) continue;
			const entry = part.read, what = `a payload of another record: ${part.payload.slice(0, 60)}`;
			const commitment = await hmac(digest(part.salt), bytes("realm-ledger/payload/v1\0"), bytes(part.payload));
			need(equal(commitment, digest(entry.d)), "another payload");
			let event;
			try { event = readCanonical(part.payload, false)?.event; } catch { throw new Invalid(what); }
			need(event !== null && typeof event === "object" && !Array.isArray(event), what);
			const ms = Math.max(-62135596800000, Math.min(Number(entry.t), 253402300799999));
			const told = [event.type, event.appKey ?? "", event.clientKey, event.time];
			const expected = [entry.y, entry.a, this.app === undefined ? client : undefined, new Date(ms).toISOString()];
			need(told.every((value, at) => value === expected[at]), what);
		}
	}

	// Step 6.
	async climb(mapRoot) {
		const what = "the records are not all that the seal knows of";
		const { siblings, other, n } = this.head, stream = this.stream, last = this.last;
		const bit = (key, at) => (key[at >> 3] >> (7 - (at % 8))) & 1;
		const emptyFirst = siblings.length > 0 && equal(siblings[0], ZERO);
		need(siblings.length <= 256 && n === (last ? last.n : 0n) && !emptyFirst && !(last && other), what);
		let node = ZERO;
		const key = other ? digest(other.k) : undefined;
		if (last) {
			const head = await sha256(bytes("realm-ledger/head/v1\0"), u64(last.n), u64(last.index), last.leaf);
			node = await sha256([2], stream, head);
		} else if (key) {
			node = await sha256([2], key, digest(other.c));
		}
		need(!key || (!equal(key, stream) && siblings.every((_, at) => bit(key, at) === bit(stream, at))), what);
		for (const [at, sibling] of siblings.entries()) {
			const isRight = bit(stream, siblings.length - 1 - at);
			node = await sha256([3], isRight ? joined(sibling, node) : joined(node, sibling));
		}
		need(equal(node, mapRoot), what);
	}
}

function sectionsOf(rest) {
	const sections = [];
	for (const part of rest) {
		if ("siblings" in part) sections.push(new Section(part, []));
		else sections.at(-1).records.push(part);
	}
	return sections;
}

async function judgeParts([header, note, seal, ...rest], keys, pinned, report) {
	const origin = header.origin, known = keys.filter((key) => key.name === origin);
	const checkpoint = await openNote(note.note, known), { size, root } = checkpoint;
	need(checkpoint.origin === origin, "the checkpoint is of another log");
	const hasher = new Hasher(), sealed = readEntry(seal.entry, SEAL);
	need(seal.index === sealed.c && seal.index === size - 1n, "the seal is not the last leaf");
	await hasher.inclusion(await hasher.leaf(seal.entry), seal.index, size, seal.proof, root, "the seal is not in the log");
	const end = rest.at(-1).type === "consistency" ? rest.pop() : undefined;
	const sections = sectionsOf(rest), total = rest.length;
	let done = 0;
	const context = { size, root, end: seal.index, hasher, progress: () => report(++done, total) };
	for (const section of sections) {
		section.stream = await streamOf(section.app === undefined ? 1 : 2, section.app ?? header.clientKey);
		await section.chain(context);
	}
	for (const section of sections) await section.openPayloads(header.clientKey);
	for (const section of sections) await section.climb(digest(sealed.m));
	need(sections.slice(1).every((section) => sections[0].apps.has(section.app)), "a section of an app without a record");
	if (pinned === undefined && end) throw new Undecided("goes on from a pinned checkpoint: give it");
	if (pinned !== undefined) {
		const kept = await openNote(pinned, known);
		need(kept.origin === origin, "the pinned checkpoint is of another log");
		if ((end ? end.from : size) !== kept.size) throw new Undecided("made without the pinned checkpoint, see prove --pinned");
		await hasher.consistency(kept.size, size, kept.root, root, end ? end.proof : []);
	}
	const { records } = sections[0];
	return { origin, size: Number(size), root: toBase64(root), records: records.length, parts: records, sealedAt: Number(sealed.t),
		shown: records.filter((part) => part.payload !== undefined).length };
}

// The verdict: `code` as the exit code of the verifiers, and `reason`, or what was found.
export async function verify(text, keyTexts, pinned, report = () => {}) {
	try {
		if (!globalThis.crypto?.subtle) throw new Undecided("the browser verifies only on a page from https or from localhost");
		const parts = parse(text), keys = [];
		for (const key of keyTexts) keys.push(await parseKey(key));
		return { code: VALID, clientKey: parts[0].clientKey, ...await judgeParts(parts, keys, pinned, report) };
	} catch (failed) {
		if (failed instanceof Undecided) return { code: UNDECIDED, reason: failed.message };
		if (failed instanceof Invalid) return { code: INVALID, reason: failed.message };
		throw failed;
	}
}
