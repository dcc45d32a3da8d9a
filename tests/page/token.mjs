// A ledger with access control: without a token nothing of a tenant is in any answer, cache or storage of the browser, and
// a token is gone with its tab. What a token does not grant is not shown, and the page says so in words.

import { assert, launch, open, settled, view } from "./browser.mjs";

const [, , url] = process.argv;
const TOKENS = JSON.parse(process.env.PAGE_TOKENS);
const TENANT = "wonka.atlassian.net", GRANTED = "com.example.roadmap", OTHER = "com.example.timesheets";

const kept = (page) => page.evaluate(async () => JSON.stringify({
  local: { ...localStorage }, session: { ...sessionStorage }, cookies: document.cookie, history: history.state,
  caches: await caches.keys(), databases: (await indexedDB.databases()).map((one) => one.name), workers: (await navigator.serviceWorker.getRegistrations()).length,
}));
const asksForToken = (page) => page.getByRole("heading", { name: "A token, please" }).waitFor();
const said = (page, words) => page.locator("main").getByText(words).first().waitFor();

async function giveToken(page, token) {
  await asksForToken(page);
  await page.getByLabel("Bearer token").fill(token);
  await page.keyboard.press("Enter");
}

const browser = await launch();

// A page that has been given a token, at a view; `seen` are all answers that came.
async function opened(hash, token) {
  const { page, context, close } = await open(browser, url);
  const seen = [];
  page.on("response", async (response) => seen.push(await response.text().catch(() => "")));
  await page.goto(`${url}/${hash}`);
  await page.reload();
  if (token) {
    await giveToken(page, token);
    await settled(page);
  }
  return { page, context, close, seen };
}

{
  const { page, context, close, seen } = await opened(`#/tenant/${TENANT}`);
  await asksForToken(page);
  await page.waitForLoadState("networkidle");
  assert.ok(seen.some((body) => body.includes("unauthenticated")), "the real gate was asked");
  for (const secret of [TENANT, GRANTED, OTHER]) assert.ok(!seen.some((body) => body.includes(secret)), `an answer without a token has ${secret}`);
  await giveToken(page, "wrong");
  await said(page, "That token was refused");
  await giveToken(page, TOKENS.operator);
  await page.getByRole("heading", { name: GRANTED }).waitFor();
  await page.waitForLoadState("networkidle");
  const stored = await kept(page);
  for (const secret of [TOKENS.operator, TENANT, GRANTED]) assert.ok(!stored.includes(secret), stored);
  assert.ok(!page.url().includes(TOKENS.operator));

  // What the browser would take from its cache: nothing of the API.
  await context.setOffline(true);
  const cached = await page.evaluate((tenant) => fetch(`/v1/tenants/${tenant}`, { cache: "force-cache" }).then(() => "answered", () => "nothing"), TENANT);
  assert.equal(cached, "nothing");
  await context.setOffline(false);

  await page.getByRole("button", { name: "Forget token" }).click();
  await giveToken(page, TOKENS.operator);
  await page.getByRole("heading", { name: GRANTED }).waitFor();
  // Another tab, and the same one loaded again, know nothing of it.
  const other = await context.newPage();
  await other.goto(`${url}/#/tenant/${TENANT}`);
  await asksForToken(other);
  await page.reload();
  await asksForToken(page);
  await close();
  console.log("ok  a token is kept in memory, and nothing without it");
}

{
  const { page, close, seen } = await opened(`#/tenant/${TENANT}`, TOKENS.oneApp);
  await page.getByRole("heading", { name: GRANTED }).waitFor();
  await said(page, "8 records, in the order of arrival");
  assert.equal(await page.locator(".virtual tbody").getByText("not granted").count(), 3);
  await view(page, `#/tenant/${TENANT}/record/6`);
  await said(page, "of an app that this token is not granted");
  await view(page, `#/tenant/${TENANT}/statement`);
  await said(page, "Where it was");
  await view(page, "#/list/installations");
  const rows = await page.locator("main tbody tr").allInnerTexts();
  assert.ok(rows.length > 0 && rows.every((row) => row.includes(GRANTED)), rows.join("\n"));
  await view(page, `#/search?q=${TENANT}`);
  await said(page, "1 found");
  assert.ok(!seen.some((body) => body.includes(OTHER)), "an answer has an app that is not granted");
  await close();
  console.log("ok  a grant of one app: nothing of another in any answer");
}

{
  const { page, close } = await opened(`#/tenant/${TENANT}`, TOKENS.reader);
  await page.getByRole("heading", { name: OTHER }).waitFor();
  await said(page, "takes the scope audit; this token does not have it");
  assert.ok(!(await page.getByRole("region", { name: "Timeline" }).isVisible()));
  await view(page, "#/list/quarantine");
  await said(page, "this takes the scope audit");
  await view(page, "#/operate");
  await said(page, "takes the scope operate, which this token does not have");
  assert.equal(await page.locator("main form").count(), 0);
  await close();
  console.log("ok  the scope read alone: what it does not show is said, and there is no form to operate");
}

{
  const { page, close } = await opened("#/operate", TOKENS.operator);
  await page.getByRole("button", { name: "See what it would change" }).waitFor();
  await close();
  console.log("ok  the scope operate: there is a form");
}
await browser.close();
