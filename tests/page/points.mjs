// What the page is for, point by point, as someone with a mouse does it.

import { readFileSync } from "node:fs";
import { assert, launch, open, settled, text, view } from "./browser.mjs";

const [, , url] = process.argv;
const key = process.env.PAGE_KEY;
const browser = await launch();

async function point(name, run, options) {
  const { page, context, close } = await open(browser, url, options);
  try {
    await settled(page);
    await run(page, context);
  } catch (failed) {
    failed.message = `${name}: ${failed.message}\n${(await text(page).catch(() => "")).slice(0, 1500)}`;
    throw failed;
  }
  await close();
  console.log(`ok  ${name}`);
}

const waitFor = (page, wanted) => page.locator("main").getByText(wanted).first().waitFor();

async function downloaded(page, click) {
  const [download] = await Promise.all([page.waitForEvent("download"), click()]);
  return readFileSync(await download.path(), "utf8");
}

await point("start: counts are those of the lists, and each leads to its list", async (page) => {
  await page.waitForFunction(() => [...document.querySelectorAll("[data-count]")].every((count) => /^\d/.test(count.textContent)));
  for (const [list, path] of [["drift", "/v1/installations?drift=true"], ["windows", `/v1/installations?windowClosingBefore=${new Date(Date.now() + 7 * 864e5).toISOString()}`], ["migrations", "/v1/migrations?overdue=true"]]) {
    const answer = await (await fetch(`${url}${path}&limit=1000`)).json();
    assert.equal(await page.locator(`[data-count=${list}]`).innerText(), String(answer.installations.length), list);
  }
  assert.notEqual(await page.locator("[data-count=anomalies]").innerText(), "0");
  assert.notEqual(await page.locator("[data-count=quarantine]").innerText(), "0");
  assert.match(await page.locator("#searched").innerText(), /Searches client keys/);
  await page.locator("[data-count=drift]").click();
  await waitFor(page, "Installed elsewhere");
});

await point("start: shards with lag are read again without moving what is read", async (page) => {
  await waitFor(page, "0 messages");
  await page.setViewportSize({ width: 800, height: 300 });
  await page.evaluate(() => scrollTo(0, 200));
  const again = page.waitForResponse((response) => response.url().endsWith("/readyz"), { timeout: 8000 });
  await again;
  assert.equal(await page.evaluate(() => scrollY), 200);
});

await point("search: a client key leads to its tenant", async (page) => {
  await page.getByRole("searchbox").fill("wonka.atlassian.net");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "wonka.atlassian.net" }).or(page.getByRole("heading", { name: "wonka.atlassian.net" })).first().waitFor();
});

await point("tenant: realm, product, window, migration, override and anomaly are on the lanes, each a link with a name", async (page) => {
  await view(page, "#/tenant/wonka.atlassian.net");
  const names = await page.locator(".timeline a").evaluateAll((links) => links.map((link) => link.getAttribute("aria-label")));
  const has = (pattern) => assert.ok(names.some((name) => pattern.test(name)), `${pattern} is not among ${names.join("\n")}`);
  for (const pattern of [/^Realm EU from .* until/, /^Realm DE from .* until now/, /^product EU/, /^AU · \d+ d left: persistence window/, /migration overdue → US/, /override → DE/, /anomaly override-without-url/]) has(pattern);
  assert.ok(await page.locator(".timeline text.windowname").first().innerText().catch(() => page.locator(".timeline text.windowname").first().textContent()));
  await page.locator(".timeline a[aria-label*='override PIN DE']").first().click();
  await page.getByRole("heading", { name: "Record 4: override PIN DE" }).waitFor();
});

await point("tenant: what it is now, why, and what a reinstall would get", async (page) => {
  await view(page, "#/tenant/wonka.atlassian.net");
  await waitFor(page, "An install now would get");
  const shown = await text(page);
  assert.match(shown, /drift: it would put the app in EU/);
  assert.match(shown, /by PERSISTED/);
  assert.match(shown, /\d+ d left/);
});

await point("tenant: zoom is kept in the URL and comes back from it", async (page) => {
  await view(page, "#/tenant/wonka.atlassian.net");
  await page.getByRole("button", { name: "Zoom in" }).click();
  await page.waitForFunction(() => /from=.*to=/.test(location.hash));
  const [hash, axis] = [await page.evaluate(() => location.hash), await page.locator(".axis").textContent()];
  await view(page, "#/");
  await view(page, hash);
  await page.waitForFunction((expected) => document.querySelector(".axis")?.textContent === expected, axis);
});

await point("tenant: the log is downloaded as NDJSON, and is what the API has", async (page) => {
  await view(page, "#/tenant/wonka.atlassian.net");
  const log = await downloaded(page, () => page.getByRole("button", { name: "Log (NDJSON)" }).click());
  const { records } = await (await fetch(`${url}/v1/tenants/wonka.atlassian.net/log`)).json();
  assert.deepEqual(log.trim().split("\n").map((line) => JSON.parse(line)), records);
});

await point("as of, as known at: sliders change the page and the URL, and differences are marked", async (page) => {
  await view(page, "#/tenant/late.atlassian.net");
  const late = await (await fetch(`${url}/v1/tenants/late.atlassian.net/log`)).json();
  const [{ recordedAt: before }, { recordedAt: last }] = [late.records[1], late.records[2]];
  assert.ok(Date.parse(before) < Date.parse(last), `${before} is not before ${last}`);
  await page.getByRole("slider", { name: "As of" }).focus();
  for (let press = 0; press < 3; press++) await page.keyboard.press("PageDown");
  await page.waitForFunction(() => /at=/.test(location.hash));
  await waitFor(page, "You are looking at the past");
  await view(page, `#/tenant/late.atlassian.net?at=2026-03-01T00%3A00%3A00.000Z&knownAt=${encodeURIComponent(before)}`);
  await waitFor(page, "What is known now differs");
  await page.locator("mark", { hasText: "known now" }).first().waitFor();
  assert.match(await text(page), /2 records, in the order of arrival/);
});

await point("a late event: the lanes show what is true, not what was believed", async (page) => {
  await view(page, "#/tenant/late.atlassian.net");
  await page.locator(".timeline a[aria-label*='persistence window, opened 2026-02-01']").waitFor();
});

await point("table: ten thousand records, a few rows in the document", async (page) => {
  await view(page, "#/tenant/busy.atlassian.net");
  await waitFor(page, "10,000 records");
  assert.ok((await page.locator(".virtual tbody tr").count()) < 80);
  await page.locator(".virtual").evaluate((box) => { box.scrollTop = box.scrollHeight; });
  await page.locator(".virtual").getByRole("link", { name: "10000", exact: true }).waitFor();
});

await point("lists: filters and sort are in the URL, and what is shown is exported", async (page) => {
  await view(page, "#/list/installations");
  await page.getByLabel("Realm").fill("au");
  await page.getByRole("button", { name: "Filter" }).click();
  await page.waitForFunction(() => /realm=AU/.test(location.hash));
  await settled(page);
  await page.getByRole("button", { name: "Client key" }).click();
  await page.waitForFunction(() => /sort=Client/.test(location.hash));
  const lines = (await downloaded(page, () => page.getByRole("button", { name: "NDJSON" }).click())).trim().split("\n").map((line) => JSON.parse(line));
  assert.ok(lines.length > 0 && lines.every((row) => row.pinnedRealm === "AU"));
  const csv = await downloaded(page, () => page.getByRole("button", { name: "CSV" }).click());
  assert.equal(csv.trim().split("\r\n").length, lines.length + 1);
});

await point("quarantine: a refused message is shown with its reason", async (page) => {
  await view(page, "#/list/quarantine");
  await page.locator("main tbody a").first().click();
  await waitFor(page, "What is kept of it");
});

await point("what-if: policies side by side, gaps as a histogram with a table, and who differs", async (page) => {
  await view(page, "#/what-if?policies=days%3A30%2Coff");
  await waitFor(page, "Installations that would be otherwise");
  const { reports } = await (await fetch(`${url}/v1/whatif`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ policies: [{ mode: "off" }, { mode: "days", days: 30 }] }) })).json();
  const rows = await page.locator("[aria-label='Table: Policies'] tbody tr").allInnerTexts();
  assert.equal(rows.length, 2);
  assert.ok(rows[0].includes(String(reports[0].reinstalls)), rows[0]);
  const bars = await page.locator(".histogram rect").count();
  assert.ok(bars > 0);
});

await point("record: the proof is checked in the browser", async (page) => {
  await view(page, "#/tenant/wonka.atlassian.net/record/2");
  await page.getByLabel("Verifier keys").fill(key);
  await page.getByRole("button", { name: "Prove this record" }).click();
  await waitFor(page, "Valid.");
  await waitFor(page, "Record 2 is among them");
  await page.getByLabel("Verifier keys").fill("realm+00000000+AAAA");
  await page.getByRole("button", { name: "Prove this record" }).click();
  await waitFor(page, "Cannot be judged");
});

await point("verify: a bundle that is dropped, and one that was touched; nothing is uploaded", async (page) => {
  const bundle = await (await fetch(`${url}/v1/tenants/wonka.atlassian.net/proof`)).text();
  await view(page, "#/verify");
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  const give = async (body) => {
    await page.getByLabel("Drop a bundle here").setInputFiles({ name: "bundle", mimeType: "text/plain", buffer: Buffer.from(body) });
    await page.getByRole("button", { name: "Verify" }).click();
  };
  await page.getByLabel("Verifier keys").fill(key);
  await give(bundle);
  await waitFor(page, "Valid.");
  await give(bundle.replace("override", "0verride"));
  await waitFor(page, "Invalid:");
  assert.deepEqual(asked, []);
});

await point("statement: every app, since when, until when, and the checkpoint", async (page) => {
  await view(page, "#/tenant/wonka.atlassian.net/statement");
  const shown = await text(page);
  for (const wanted of ["com.example.roadmap", "com.example.timesheets", "Realm", "left", "Where it was", "What this rests on", "Root"]) assert.ok(shown.includes(wanted), wanted);
  const pdf = await page.pdf();
  assert.ok(pdf.length > 10_000);
});

await point("time zone: one choice changes axis, table and cards", async (page) => {
  await view(page, "#/tenant/wonka.atlassian.net");
  const first = () => page.locator(".virtual tbody time").first().innerText();
  const utc = await first();
  await page.getByLabel("Time zone").selectOption("Asia/Tokyo");
  await settled(page);
  const hours = (text) => Date.parse(`${text.replace(" ", "T")}Z`) / 36e5;
  assert.equal(hours(await first()) - hours(utc), 9);
});

await point("theme: follows the system, and the choice", async (page) => {
  const lightness = () => page.evaluate(() => Number(/\d+/.exec(getComputedStyle(document.documentElement).backgroundColor)[0]));
  assert.ok((await lightness()) < 50);
  await page.getByLabel("Theme").selectOption("light");
  assert.ok((await lightness()) > 200);
}, { theme: "dark" });

await browser.close();
