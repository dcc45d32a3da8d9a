// The proof of one record: the tenant's bundle, checked in this browser, and this record's place in it.

import { ask, path } from "./api.js";
import { button, download, fact, h, note, progress, replace } from "./dom.js";
import { when } from "./time.js";
import { INVALID, VALID, verify } from "./verify.js";
import { problemNote } from "./words.js";

// Kept while the page is open, as every record is proved with the same keys. They are public.
let keysGiven = "";

export function keysField(id) {
	return h("textarea", { id, rows: 2, plain: true, placeholder: "realm.lifecycle/0+1a2b3c4d+AY…", value: keysGiven, input: (event) => { keysGiven = event.target.value; } });
}

export function keysIn(text) {
	return text.split(/\s*\n\s*/).map((line) => line.trim()).filter((line) => line !== "");
}

export function verdictNote(verdict) {
	if (verdict.code === VALID) {
		const { records, clientKey, size, origin, shown } = verdict;
		return note("good", h("b", "Valid. "), `These are all ${records} records of ${clientKey} in the log ${origin} of ${size} leaves, unchanged`,
			shown < records ? `; ${records - shown} of them without their content` : "", ". Whether the decisions follow from them was not checked here: realm-ledger verify does.");
	}
	const invalid = verdict.code === INVALID;
	return note(invalid ? "bad" : "warn", h("b", invalid ? "Invalid: " : "Cannot be judged: "), verdict.reason);
}

function leaf(part) {
	return h("dl", fact("Leaf", `${part.index} in the log`), fact("Line", part.entry),
		fact("Path", h("details", h("summary", `${part.proof.length} hashes up to the root`), h("ol.mono", part.proof.map((hash) => h("li", hash))))));
}

export function proofPanel(client, seq) {
	const result = h("div.pile", { role: "status" }), keys = keysField("proof-keys"), wait = progress("Verified so far");
	const prove = async () => {
		wait.hidden = false;
		replace(result);
		try {
			const text = await (await ask(path`/v1/tenants/${client}/proof`, {}, { accept: "*/*" })).text();
			const verdict = await verify(text, keysIn(keys.value), undefined, (done, total) => { wait.value = done / total; });
			const line = text.split("\n").filter((one) => one.startsWith('{"type":"record"')).map((one) => JSON.parse(one)).find((part) => JSON.parse(part.entry).n === seq);
			const save = () => download(`${client}.bundle`, "application/x-ndjson", [text]);
			replace(result, verdictNote(verdict), verdict.code === VALID && h("p", `Record ${seq} is among them. Sealed at `, when(verdict.sealedAt), "."), line ? leaf(line) : note("warn", "This record is newer than the last checkpoint: ask again in a minute."),
				h("p", button("Save the bundle", save)));
		} catch (failed) {
			replace(result, problemNote(failed));
		}
		wait.hidden = true;
	};
	return h("form.card.noprint", { label: "Proof", submit: prove }, h("h2", "Proof"),
		h("p.soft.small", "The bundle is checked in this browser. The verifier key has to come from the operator by another way than this page, or it proves nothing: ", h("code", "realm-ledger keys show"), "."),
		h("label", { for: "proof-keys" }, "Verifier keys, one a line"), keys, h("div.actions", h("button.main", "Prove this record")), wait, result);
}
