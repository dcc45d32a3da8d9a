// The page's verifier, in the browser: its verdicts on every published vector, one a line, as tests/verifier gives them.

import { readFileSync } from "node:fs";
import { launch, open } from "./browser.mjs";

const [, , url, fixtures] = process.argv;
const lines = (name) => readFileSync(`${fixtures}/${name}`, "utf8").trim().split("\n");
const json = (name) => JSON.parse(readFileSync(`${fixtures}/${name}`, "utf8"));
// Numbers up to 2^64 - 1 do not fit into JSON.parse.
const quoteNumbers = (line) => line.replace(/("(?:leafIdx|treeSize|size1|size2)":)(\d+)/g, '$1"$2"');

const browser = await launch();
const { page, close } = await open(browser, url);

const bundles = await page.evaluate(async (cases) => {
  const { verify } = await import("/page/verify.js");
  const codes = [];
  for (const { bundle, keys, pinned } of cases) codes.push((await verify(bundle, keys, pinned)).code);
  return codes;
}, lines("bundles/cases.ndjson").map((line) => JSON.parse(line)));

const inclusion = await page.evaluate(async (cases) => {
  const { Hasher, fromBase64 } = await import("/page/merkle.js");
  const verdicts = [];
  for (const { leafIdx, treeSize, root, leafHash, proof } of cases) {
    const bytes = (text) => (text ? fromBase64(text) : new Uint8Array());
    const judge = async () => new Hasher().inclusion(bytes(leafHash), BigInt(leafIdx), BigInt(treeSize), (proof ?? []).map(bytes), bytes(root), "");
    verdicts.push(await judge().then(() => true, () => false));
  }
  return verdicts;
}, lines("vectors/rfc6962/inclusion.ndjson").map((line) => JSON.parse(quoteNumbers(line))));

const consistency = await page.evaluate(async (cases) => {
  const { Hasher, fromBase64 } = await import("/page/merkle.js");
  const verdicts = [];
  for (const { size1, size2, root1, root2, proof } of cases) {
    const bytes = (text) => (text ? fromBase64(text) : new Uint8Array());
    const judge = async () => new Hasher().consistency(BigInt(size1), BigInt(size2), bytes(root1), bytes(root2), (proof ?? []).map(bytes));
    verdicts.push(await judge().then(() => true, () => false));
  }
  return verdicts;
}, lines("vectors/rfc6962/consistency.ndjson").map((line) => JSON.parse(quoteNumbers(line))));

const signed = (cases) => page.evaluate(async (cases) => {
  const { isSigned } = await import("/page/merkle.js");
  const raw = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
  const verdicts = [];
  for (const { key, signature, message } of cases) verdicts.push(await isSigned(raw(key), raw(signature), raw(message)));
  return verdicts;
}, cases);
const groups = json("vectors/wycheproof/ed25519_test.json").testGroups;
const wycheproof = groups.flatMap(({ publicKey, tests }) => tests.map(({ msg, sig }) => ({ key: publicKey.pk, signature: sig, message: msg })));
const hex = (text) => Buffer.from(text, "utf8").toString("hex");
const edges = json("vectors/ed25519-edges/ed25519vectors.json").map(({ A, R, S, M }) => ({ key: A, signature: R + S, message: hex(M) }));

console.log(JSON.stringify({ bundles, inclusion, consistency, wycheproof: await signed(wycheproof), edges: await signed(edges) }));
await close();
await browser.close();
