// Verify: a bundle is dropped, a verifier key pasted, and the verdict is made here. Nothing is uploaded.

import { fact, h, link, note, progress, replace } from "./dom.js";
import { keysField, keysIn, verdictNote } from "./proof.js";
import { tenantHref } from "./route.js";
import { when } from "./time.js";
import { INVALID, VALID, verify } from "./verify.js";

async function readText(file) {
	try {
		return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer());
	} catch {
		return undefined;
	}
}

function found(verdict) {
	const { origin, size, root, sealedAt, clientKey, records } = verdict;
	return h("dl", fact("Client key", link(tenantHref(clientKey), clientKey)), fact("Records", `${records}`), fact("Log", origin),
		fact("Checkpoint", `${size} leaves, sealed at `, when(sealedAt)), fact("Root", root));
}

function wrongTenant(expected, verdict) {
	return expected !== "" && verdict.code === VALID && verdict.clientKey !== expected && note("bad", `It is a bundle of ${verdict.clientKey}, not of ${expected}.`);
}

export function verifyView() {
	let file;
	const name = h("p", { role: "status" }), result = h("div", { role: "status" });
	const wait = progress("Verified so far");
	const picker = h("input", { type: "file", id: "bundle", change: () => take(picker.files[0]) });
	const keys = keysField("keys"), pinned = h("textarea", { id: "pinned", rows: 2, plain: true }), client = h("input", { id: "expected", plain: true });
	const take = (given) => {
		if (!given) return;
		file = given;
		name.textContent = `${given.name}, ${given.size.toLocaleString("en")} bytes`;
	};
	const over = (is) => (event) => {
		event.preventDefault();
		drop.classList.toggle("over", is);
		if (event.type === "drop") take(event.dataTransfer.files[0]);
	};
	const drop = h("div.drop", { dragover: over(true), dragleave: over(false), drop: over(false) }, h("label", { for: "bundle" }, "Drop a bundle here, or choose its file"), picker, name);
	const submit = async () => {
		if (!file) return replace(result, note("bad", "Choose a bundle first."));
		wait.hidden = false;
		const text = await readText(file), note = pinned.value.trim() === "" ? undefined : `${pinned.value.replace(/\s+$/, "")}\n`;
		const verdict = text === undefined ? { code: INVALID, reason: "it is not UTF-8" } : await verify(text, keysIn(keys.value), note, (done, total) => { wait.value = done / total; });
		wait.hidden = true;
		return replace(result, h("section.card", { label: "Verdict" }, verdictNote(verdict), wrongTenant(client.value.trim(), verdict), verdict.code === VALID && found(verdict)));
	};
	const element = [
		h("h1", "Verify a bundle"),
		h("p.soft", "A bundle proves that these are all records of a client key, unchanged. It is checked in this browser: nothing leaves it."),
		h("form.card", { submit }, drop,
			h("label", { for: "keys" }, "Verifier keys, one a line"), keys,
			h("label", { for: "expected" }, "Client key that was asked for (optional)"), client,
			h("details", h("summary", "Compare with a checkpoint that was kept"), h("label", { for: "pinned" }, "The signed note"), pinned),
			h("div.actions", h("button.main", "Verify")), wait),
		result,
	];
	return { title: "Verify", element };
}
