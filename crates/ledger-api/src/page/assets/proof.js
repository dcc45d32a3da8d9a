// Proofs: a bundle is verified in this browser, with keys that the reader gives.

import { ask, path } from "./api.js";
import { button, download, fact, h, note, progress, replace } from "./dom.js";
import { when } from "./time.js";
import { INVALID, VALID, verify } from "./verify.js";
import { problemNote } from "./words.js";

// Kept while the page is open, as every record is proved with the same keys. They are public.
let keysGiven = "";

function verdictNote({ code, reason, records, clientKey, size, origin, shown }) {
	if (code !== VALID) return note(code === INVALID ? "bad" : "warn", h("b", code === INVALID ? "Invalid: " : "Cannot be judged: "), reason);
	return note("good", h("b", "Valid. "), `These are all ${records} records of ${clientKey} in the log ${origin} of ${size} leaves, unchanged`,
		shown < records ? `; ${records - shown} of them without their content` : "", ". Whether the decisions follow from them was not checked here: realm-ledger verify does.");
}

// A form with keys. `read` gives the text of a bundle and a pinned note, `found` what is shown beside the verdict.
export function verifier({ submit, read, found }, ...fields) {
	const result = h("div.pile", { role: "status" }), wait = progress("Verified so far");
	const keys = h("textarea", { rows: 2, plain: true, placeholder: "realm.lifecycle/0+1a2b3c4d+AY…", value: keysGiven, input: () => { keysGiven = keys.value; } });
	const run = async () => {
		wait.hidden = false;
		replace(result);
		try {
			const { text, pinned } = await read();
			const lines = keys.value.split("\n").map((line) => line.trim()).filter(Boolean);
			const verdict = text === undefined ? { code: INVALID, reason: "it is not UTF-8" } : await verify(text, lines, pinned, (done, total) => { wait.value = done / total; });
			replace(result, verdictNote(verdict), found(verdict, text));
		} catch (failed) {
			replace(result, problemNote(failed));
		}
		wait.hidden = true;
	};
	return h("form.card.noprint", { submit: run }, fields[0], h("label", "Verifier keys, one a line", keys), fields.slice(1), h("div.actions", h("button.main", submit)), wait, result);
}

function leaf({ index, entry, proof }) {
	return h("dl", fact("Leaf", `${index} in the log`), fact("Line", entry),
		fact("Path", h("details", h("summary", `${proof.length} hashes up to the root`), h("ol.mono", proof.map((hash) => h("li", hash))))));
}

export function proofPanel(client, seq) {
	const read = async () => ({ text: await (await ask(path`/v1/tenants/${client}/proof`, {}, { accept: "*/*" })).text() });
	const found = (verdict, text) => {
		const part = text.split("\n").filter((one) => one.startsWith('{"type":"record"')).map((one) => JSON.parse(one)).find(({ entry }) => JSON.parse(entry).n === seq);
		return [verdict.code === VALID && h("p", `Record ${seq} is among them. Sealed at `, when(verdict.sealedAt), "."),
			part ? leaf(part) : note("warn", "This record is newer than the last checkpoint: ask again in a minute."),
			h("p", button("Save the bundle", () => download(`${client}.bundle`, "application/x-ndjson", [text])))];
	};
	return verifier({ submit: "Prove this record", read, found }, [h("h2", "Proof"),
		h("p.soft.small", "The bundle is checked in this browser. The verifier key has to come from the operator by another way than this page, or it proves nothing: ", h("code", "realm-ledger keys show"), ".")]);
}
