// Hashes, trees, notes and signatures of the audit trail (proto/AUDIT.md, 3 to 5), by the browser's own WebCrypto.

import { Invalid, Undecided, isControl, need } from "./canonical.js";

const utf8 = new TextEncoder();
export const ZERO = new Uint8Array(32);

export function bytes(text) {
	return utf8.encode(text);
}

export function joined(...parts) {
	const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
	let at = 0;
	for (const part of parts) {
		whole.set(part, at);
		at += part.length;
	}
	return whole;
}

export function equal(a, b) {
	return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

export async function sha256(...parts) {
	return new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
}

export async function hmac(key, ...parts) {
	const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
	return new Uint8Array(await crypto.subtle.sign("HMAC", imported, joined(...parts)));
}

export function fromBase64(text) {
	let raw;
	try { raw = atob(text); } catch { throw new Invalid("not the one spelling of base64"); }
	need(btoa(raw) === text, "not the one spelling of base64");
	return Uint8Array.from(raw, (c) => c.charCodeAt(0));
}

// A hash as text: base64url without padding.
export function digest(text) {
	need(!/[+/=]/.test(text), "not the one spelling of base64");
	return fromBase64(`${text.replaceAll("-", "+").replaceAll("_", "/")}=`);
}

export function toBase64(raw) {
	return btoa(String.fromCharCode(...raw));
}

// Parents are the same for many leaves, so they are kept while a bundle is verified.
export class Hasher {
	#parents = new Map();

	async parent(left, right) {
		const name = String.fromCharCode(...left, ...right);
		let found = this.#parents.get(name);
		if (!found) this.#parents.set(name, found = sha256([1], left, right));
		return found;
	}

	leaf(line) {
		return sha256([0], bytes(line));
	}

	// Roots of the old and the new tree, as RFC 9162 (2.1.3.2 and 2.1.4.2) walks a proof.
	async walk(at, last, start, proof, what) {
		let before = start, after = start;
		for (const sibling of proof) {
			need(last, what);
			if (at & 1n || at === last) {
				[before, after] = [await this.parent(sibling, before), await this.parent(sibling, after)];
				while (!(at & 1n) && at) [at, last] = [at >> 1n, last >> 1n];
			} else {
				after = await this.parent(after, sibling);
			}
			[at, last] = [at >> 1n, last >> 1n];
		}
		need(!last, what);
		return [before, after];
	}

	async inclusion(leaf, index, size, proof, root, what) {
		need(index < size && root.length === 32, what);
		const [, found] = await this.walk(index, size - 1n, leaf, proof, what);
		need(equal(found, root), what);
	}

	async consistency(from, to, oldRoot, newRoot, proof) {
		const what = "the log does not go on from the pinned checkpoint";
		if (from === 0n || from === to) return need(!proof.length && (from !== to || equal(oldRoot, newRoot)), what);
		const whole = (from & (from - 1n)) === 0n ? [oldRoot, ...proof] : proof;
		need(from < to && whole.length, what);
		// Whole subtrees of the old log that end it.
		const full = from & -from;
		const [before, after] = await this.walk((from - 1n) / full, (to - 1n) / full, whole[0], whole.slice(1), what);
		need(equal(before, oldRoot) && equal(after, newRoot), what);
	}
}

const P = 2n ** 255n - 19n, Y8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
const LOW_ORDER = [0n, 1n, P - 1n, Y8, P - Y8];

// An Ed25519 point in its one encoding, and not of low order.
function isSound(raw) {
	const y = [...raw].reverse().reduce((all, byte) => (all << 8n) | BigInt(byte), 0n) & (2n ** 255n - 1n);
	return y < P && !LOW_ORDER.includes(y);
}

export async function isSigned(publicKey, signature, message) {
	if (signature.length !== 64 || publicKey.length !== 32) return false;
	if (!isSound(signature.slice(0, 32)) || !isSound(publicKey)) return false;
	try {
		const key = await crypto.subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
		return await crypto.subtle.verify("Ed25519", key, signature, message);
	} catch (failed) {
		if (failed.name === "NotSupportedError") throw new Undecided("this browser has no Ed25519: use a newer one, or the command line");
		return false;
	}
}

function isName(text) {
	return text !== "" && !text.includes("+") && !/\p{White_Space}/u.test(text) && !isControl(text);
}

export function hex(raw) {
	return [...raw].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// `<name>+<key id>+<base64>`
export async function parseKey(text) {
	const no = () => new Undecided(`this is no verifier key, is it mistyped? ${text}`);
	const [, name, id, encoded] = /^([^+]*)\+([^+]*)\+(.*)$/s.exec(text) ?? [];
	let raw;
	try { raw = fromBase64(encoded ?? ""); } catch { throw no(); }
	if (encoded === undefined || !isName(name) || raw.length !== 33 || raw[0] !== 1) throw no();
	const expected = hex((await sha256(bytes(`${name}\n`), raw)).slice(0, 4));
	if (id !== expected) throw no();
	return { name, id, publicKey: raw.slice(1) };
}

export async function openNote(note, keys) {
	const end = note.lastIndexOf("\n\n");
	const signatures = note.slice(end + 2);
	need(end >= 0 && signatures.endsWith("\n") && !isControl(note.replaceAll("\n", "")), "the note is malformed");
	const text = note.slice(0, end + 1), seen = new Set();
	let verified = false;
	for (const line of signatures.slice(0, -1).split("\n")) {
		const [, dash, name, encoded] = /^([^ ]*) ?([^ ]*) ?(.*)$/s.exec(line);
		const raw = fromBase64(encoded), id = hex(raw.slice(0, 4)), signer = `${name} ${id}`;
		need(dash === "\u2014" && isName(name) && raw.length > 4 && !seen.has(signer) && seen.size < 64, "malformed note");
		seen.add(signer);
		for (const key of keys.filter((key) => key.name === name && key.id === id)) {
			need(await isSigned(key.publicKey, raw.slice(4), bytes(text)), "wrong signature");
			verified = true;
		}
	}
	if (!verified) throw new Undecided("not signed by a known key");
	const [whole, origin, size, root] = /^([^\n]+)\n(0|[1-9][0-9]*)\n([^\n]{44})\n$/.exec(text) ?? [];
	need(whole, "not a checkpoint");
	need(BigInt(size) < 2n ** 64n, "too large");
	return { origin, size: BigInt(size), root: fromBase64(root) };
}
