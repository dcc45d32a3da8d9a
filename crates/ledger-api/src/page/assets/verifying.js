// Verify: a bundle is dropped, a verifier key pasted, and the verdict is made here. Nothing is uploaded.

import { fact, h, link, note } from "./dom.js";
import { verifier } from "./proof.js";
import { tenantHref } from "./route.js";
import { when } from "./time.js";
import { VALID } from "./verify.js";

export function verifyView() {
	let file;
	const name = h("p", { role: "status" }), picker = h("input", { type: "file", id: "bundle", change: () => take(picker.files[0]) });
	const pinned = h("textarea", { rows: 2, plain: true }), client = h("input", { plain: true });
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
	const read = async () => {
		if (!file) throw new Error("choose a bundle first");
		const bytes = await file.arrayBuffer(), kept = pinned.value.trimEnd();
		let text;
		try { text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes); } catch { /* It is not UTF-8. */ }
		return { text, pinned: kept === "" ? undefined : `${kept}\n` };
	};
	const found = ({ code, origin, size, root, sealedAt, clientKey, records }) => {
		const expected = client.value.trim();
		return code === VALID && [expected !== "" && clientKey !== expected && note("bad", `It is a bundle of ${clientKey}, not of ${expected}.`),
			h("dl", fact("Client key", link(tenantHref(clientKey), clientKey)), fact("Records", `${records}`), fact("Log", origin),
				fact("Checkpoint", `${size} leaves, sealed at `, when(sealedAt)), fact("Root", root))];
	};
	const element = [
		h("h1", "Verify a bundle"),
		h("p.soft", "A bundle proves that these are all records of a client key, unchanged. It is checked in this browser: nothing leaves it."),
		verifier({ submit: "Verify", read, found }, drop, h("label", "Client key that was asked for (optional)", client),
			h("details", h("summary", "Compare with a checkpoint that was kept"), h("label", "The signed note", pinned))),
	];
	return { title: "Verify", element };
}
