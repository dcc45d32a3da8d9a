// A ledger behind a gate that asks for a bearer token: without it nothing of a tenant is in any answer, cache or storage of
// the browser, and a token is gone with its tab.

import http from "node:http";
import { assert, launch, open } from "./browser.mjs";

const [, , url] = process.argv;
const TOKEN = "rl_of-the-test", TENANT = "wonka.atlassian.net";
const target = new URL(url);

function refuse(response) {
  response.writeHead(401, { "content-type": "application/problem+json", "www-authenticate": "Bearer" });
  response.end(JSON.stringify({ type: "urn:realm-ledger:problem:unauthorized", title: "Unauthorized", status: 401, code: "unauthorized", detail: "a bearer token is needed" }));
}

const gate = http.createServer((request, response) => {
  const isOpen = /^\/($|page\/|livez|readyz)/.test(request.url);
  if (!isOpen && request.headers.authorization !== `Bearer ${TOKEN}`) return refuse(response);
  const passed = http.request({ host: target.hostname, port: target.port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  passed.on("error", () => response.destroy());
  return request.pipe(passed);
});
await new Promise((resolve) => gate.listen(0, "127.0.0.1", resolve));
const gated = `http://127.0.0.1:${gate.address().port}`;

const kept = (page) => page.evaluate(async () => JSON.stringify({
  local: { ...localStorage }, session: { ...sessionStorage }, cookies: document.cookie,
  caches: await caches.keys(), databases: (await indexedDB.databases()).map((one) => one.name), workers: (await navigator.serviceWorker.getRegistrations()).length,
}));
const asksForToken = (page) => page.getByRole("heading", { name: "A token, please" }).waitFor();

const browser = await launch();
const { page, context, close } = await open(browser, gated);
const seen = [];
page.on("response", async (response) => seen.push(await response.text().catch(() => "")));
await page.goto(`${gated}/#/tenant/${TENANT}`);
await page.reload();
await asksForToken(page);
assert.ok(!seen.some((body) => body.includes("com.example.roadmap")), "an answer without a token has an app of the tenant");

await page.getByLabel("Bearer token").fill("wrong");
await page.keyboard.press("Enter");
await page.getByText("That token was refused").waitFor();
await page.getByLabel("Bearer token").fill(TOKEN);
await page.keyboard.press("Enter");
await page.getByRole("heading", { name: "com.example.roadmap" }).waitFor();
await page.waitForLoadState("networkidle");
const stored = await kept(page);
for (const secret of [TOKEN, TENANT, "com.example.roadmap"]) assert.ok(!stored.includes(secret), stored);
assert.ok(!page.url().includes(TOKEN));

// What the browser would take from its cache: nothing of the API.
await context.setOffline(true);
const cached = await page.evaluate((tenant) => fetch(`/v1/tenants/${tenant}`, { cache: "force-cache" }).then(() => "answered", () => "nothing"), TENANT);
assert.equal(cached, "nothing");
await context.setOffline(false);

await page.getByRole("button", { name: "Forget token" }).click();
await asksForToken(page);
await page.getByLabel("Bearer token").fill(TOKEN);
await page.keyboard.press("Enter");
await page.getByRole("heading", { name: "com.example.roadmap" }).waitFor();
// Another tab, and the same one loaded again, know nothing of it.
const other = await context.newPage();
await other.goto(`${gated}/#/tenant/${TENANT}`);
await asksForToken(other);
await page.reload();
await asksForToken(page);
await close();
await browser.close();
gate.close();
gate.closeAllConnections();
console.log("ok  a token is kept in memory, and nothing without it");
