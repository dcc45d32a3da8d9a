// How fast the page is with a tenant of ten thousand records: figures, no verdict. Frames are those of the browser's own trace.

import { readFileSync } from "node:fs";
import { launch, open, settled, view } from "./browser.mjs";

const [, , url, trace] = process.argv;
const BUSY = "#/tenant/busy.atlassian.net";
const browser = await launch();
const { page, close } = await open(browser, url);
await settled(page);
await view(page, BUSY);
await page.getByText("10,000 records").waitFor();

// From the request of the page to its lanes, as someone who opens a bookmark sees it.
const fresh = await browser.newPage();
await fresh.goto(`${url}/${BUSY}`);
await fresh.locator(".timeline a").first().waitFor({ state: "attached" });
const timing = await fresh.evaluate(() => new Promise((resolve) => {
  const paint = performance.getEntriesByType("paint").map(({ name, startTime }) => [name, Math.round(startTime)]);
  requestAnimationFrame(() => resolve({ ...Object.fromEntries(paint), lanes: Math.round(performance.now()) }));
}));
await fresh.getByText("10,000 records").waitFor();
timing.everything = await fresh.evaluate(() => Math.round(performance.now()));
await fresh.close();

async function traced(name, run) {
  await browser.startTracing(page, { path: trace, categories: ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline.frame"] });
  await run();
  await browser.stopTracing();
  const { traceEvents } = JSON.parse(readFileSync(trace, "utf8"));
  const main = traceEvents.find((event) => event.name === "thread_name" && event.args.name === "CrRendererMain" && traceEvents.some((other) => other.tid === event.tid && other.pid === event.pid && other.name === "FireAnimationFrame"));
  const tasks = traceEvents.filter((event) => event.ph === "X" && /RunTask|ThreadControllerImpl::RunTask/.test(event.name) && (!main || (event.pid === main.pid && event.tid === main.tid)));
  const longest = Math.max(0, ...tasks.map((event) => event.dur / 1000));
  const frames = traceEvents.filter((event) => event.name === "FireAnimationFrame").length;
  return [name, { frames, longestTaskMs: Math.round(longest * 10) / 10 }];
}

const scroll = await traced("scroll", async () => {
  await page.locator(".virtual").hover();
  for (let turn = 0; turn < 40; turn++) await page.mouse.wheel(0, 4000);
  await page.waitForTimeout(300);
});
const zoom = await traced("zoom", async () => {
  await page.locator(".timeline svg").hover();
  await page.keyboard.down("Control");
  for (let turn = 0; turn < 20; turn++) {
    await page.mouse.wheel(0, turn < 10 ? -60 : 60);
    await page.waitForTimeout(16);
  }
  await page.keyboard.up("Control");
  await page.waitForTimeout(300);
});
const slide = [];
for (const name of ["As of", "As known at"]) {
  const slider = page.getByRole("slider", { name });
  for (let step = 0; step < 5; step++) {
    const before = await page.evaluate(() => performance.now());
    const answered = page.waitForResponse((response) => /\/v1\/tenants\/busy\.atlassian\.net\?/.test(response.url()));
    await slider.focus();
    await page.keyboard.press("PageDown");
    await answered;
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))));
    slide.push(Math.round((await page.evaluate(() => performance.now())) - before));
  }
  await page.getByRole("button", { name: "now" }).nth(name === "As of" ? 0 : 1).click();
}
console.log(JSON.stringify({ firstPaint: timing, ...Object.fromEntries([scroll, zoom]), slidersMs: slide }));
await close();
await browser.close();
