// Search, lineage and commands: found by what a ticket has, linked, pinned; each command is seen before it is sent, and its
// record when it is in the log.

import { readFileSync } from "node:fs";
import { assert, launch, open, settled, text, view, violations } from "./browser.mjs";

const [, , url] = process.argv;
const browser = await launch();
const { page, close } = await open(browser, url);
await settled(page);

const api = async (path) => (await fetch(`${url}${path}`)).json();
const records = async (client) => (await api(`/v1/tenants/${client}/log?limit=1000`)).records;
const said = (words) => page.locator("main").getByText(words).first().waitFor();
const rows = () => page.locator("main tbody tr").allInnerTexts();

async function search(words) {
  await view(page, "#/");
  await page.getByRole("searchbox").fill(words);
  await page.keyboard.press("Enter");
  await page.waitForFunction((q) => location.hash.startsWith("#/search") && document.querySelector("main input").value === q, words);
  await settled(page);
  return rows();
}

// Fills the form and asks what it would change; answers the text of the dry run.
async function dryRun(type, fields) {
  // Choosing draws other fields.
  const what = page.locator("select[name=type]");
  if ((await what.inputValue()) !== type) await what.selectOption(type);
  for (const [label, value] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(value);
  await page.getByRole("button", { name: "See what it would change" }).click();
  await page.getByRole("heading", { name: "What it would change" }).waitFor();
  return text(page);
}

async function submit() {
  await page.getByRole("button", { name: "Submit it" }).click();
  await said("Recorded: ");
}

const OLD = "birch-old", NEW = "birch-new", APP = "com.example.roadmap", SIGNED = { "Who orders it": "eva@example.com", "Why": "ticket 7" };
for (const [words, name] of [["birch.atlassian.net", "site"], ["https://www.Birch.atlassian.net/wiki", "site"], ["ent-birch", "entitlement"], ["ari:cloud:ecosystem::installation/birch", "installation"]]) {
  const found = await search(words);
  assert.ok([OLD, NEW].every((client) => found.some((row) => row.includes(client) && row.includes(name))), `${words}: ${found.join("\n")}`);
}
assert.equal((await search("birch-")).length, 2);
assert.equal((await search("birch-nobody")).length, 0);
await said("0 found");
console.log("ok  search by site, entitlement, installation, and the beginning of a client key");

await view(page, "#/list/lineage");
const [proposal] = (await rows()).filter((row) => row.includes(OLD));
for (const wanted of [APP, NEW, "EU", "US", "site birch.atlassian.net", "entitlement ent-birch"]) assert.ok(proposal.includes(wanted), `${wanted}: ${proposal}`);
const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "NDJSON" }).click()]);
const exported = readFileSync(await download.path(), "utf8").trim().split("\n").map((line) => JSON.parse(line));
assert.deepEqual(exported, (await api("/v1/lineage?limit=1000")).proposals);
console.log("ok  lineage: proposals with their evidence");

await page.locator("main tbody tr", { hasText: OLD }).getByRole("link", { name: "link them" }).click();
await settled(page);
assert.equal(await page.getByLabel("From client key", { exact: true }).inputValue(), OLD);
const before = await records(NEW);
const shown = await dryRun("continued", SIGNED);
assert.match(shown, /Goes on from/);
assert.ok(shown.includes(`${OLD}, ${APP}`) && shown.includes("1 installation would be shown otherwise"), shown);
assert.deepEqual(await violations(page), []);
assert.equal((await records(NEW)).length, before.length, "a dry run records nothing");
await submit();
const after = await records(NEW);
assert.equal(after.length, before.length + 1);
assert.deepEqual([after.at(-1).event.type, after.at(-1).event.fromClientKey], ["continued", OLD]);
await page.getByRole("link", { name: `record ${after.at(-1).seq}` }).click();
await page.getByRole("heading", { name: `Record ${after.at(-1).seq}: continued` }).waitFor();
await view(page, `#/tenant/${NEW}`);
await page.getByRole("link", { name: `${OLD}, ${APP}` }).click();
await page.getByRole("heading", { name: OLD }).waitFor();
await view(page, "#/list/links");
assert.ok((await rows()).some((row) => row.includes(OLD) && row.includes("continued")));
await view(page, "#/list/lineage");
assert.ok(!(await rows()).some((row) => row.includes(OLD)));
console.log("ok  operate: a proposal is linked, its record is shown, and predecessor and successor are links");

await view(page, "#/operate?clientKey=tenant-1.atlassian.net");
const pinned = await dryRun("PIN", { "App key": APP, Realm: "au", ...SIGNED });
assert.match(pinned, /Override\s+none\s+AU until an operator releases it/);
await submit();
const { installation } = await api(`/v1/tenants/tenant-1.atlassian.net/apps/${APP}`);
assert.deepEqual([installation.pinnedRealm, installation.override], ["AU", "AU"]);
console.log("ok  operate: a pin, before and after, and then in the log");

await view(page, "#/operate?type=policy-set");
await page.getByLabel("Mode").selectOption("days");
// Windows that are open already stay as they are.
assert.match(await dryRun("policy-set", { "App key": "com.example.timesheets", "Days, or days of grace": "400", ...SIGNED }), /Nothing would be shown otherwise/);
await submit();
await said(/Recorded: position \d+ of /);
console.log("ok  operate: a policy of an app, recorded in its shard");

await view(page, "#/operate?type=PIN&clientKey=wonka.atlassian.net");
for (const [label, value] of Object.entries({ "App key": APP, Realm: "no realm", ...SIGNED })) await page.getByLabel(label, { exact: true }).fill(value);
await page.getByRole("button", { name: "See what it would change" }).click();
await page.getByRole("alert").waitFor();
assert.match(await page.getByRole("alert").innerText(), /realm/);
console.log("ok  operate: what ingestion would refuse is refused before it is sent");
await close();
await browser.close();
