// How fast the page is with a tenant of ten thousand records: figures, no verdict, beside the load of the machine. Tasks are
// those of the browser's own trace, by the clock and by the processor's time; a slider has answered when the frame after
// the new cards is on the screen.

import os from "node:os";
import { readFileSync } from "node:fs";
import { launch, open, settled, view } from "./browser.mjs";

const [, , url, trace] = process.argv;
const BUSY = "#/tenant/busy.atlassian.net", ROUNDS = 3, STEPS = 5;
const browser = await launch();
const { page, close } = await open(browser, url);
await settled(page);
await view(page, BUSY);
await page.getByText("10,000 records").waitFor();

// From the request of the page to its lanes, as someone who opens a bookmark sees it.
const fresh = await browser.newPage();
await fresh.goto(`${url}/${BUSY}`);
await fresh.locator(".timeline a").first().waitFor({ state: "attached" });
const firstPaint = await fresh.evaluate(() => new Promise((resolve) => {
  const paint = performance.getEntriesByType("paint").map(({ name, startTime }) => [name, Math.round(startTime)]);
  requestAnimationFrame(() => resolve({ ...Object.fromEntries(paint), lanes: Math.round(performance.now()) }));
}));
await fresh.getByText("10,000 records").waitFor();
firstPaint.everything = await fresh.evaluate(() => Math.round(performance.now()));
await fresh.close();

function spread(values) {
  const sorted = values.map((value) => Math.round(value)).sort((a, b) => a - b), at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return { half: at(0.5), ninetyPercent: at(0.9), most: sorted.at(-1) };
}

async function longestTasks(run) {
  const [byClock, byProcessor] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    await browser.startTracing(page, { path: trace, categories: ["toplevel", "devtools.timeline"] });
    await run();
    await browser.stopTracing();
    const { traceEvents } = JSON.parse(readFileSync(trace, "utf8"));
    const main = new Set(traceEvents.filter((event) => event.name === "thread_name" && event.args.name === "CrRendererMain").map(({ pid, tid }) => `${pid} ${tid}`));
    const tasks = traceEvents.filter((event) => event.ph === "X" && main.has(`${event.pid} ${event.tid}`));
    byClock.push(Math.max(...tasks.map((task) => task.dur / 1000)));
    byProcessor.push(Math.max(...tasks.map((task) => (task.tdur ?? 0) / 1000)));
  }
  return { longestTaskMs: spread(byClock), ofThemProcessorMs: spread(byProcessor) };
}

const scroll = await longestTasks(async () => {
  await page.locator(".virtual").hover();
  for (let turn = 0; turn < 20; turn++) await page.mouse.wheel(0, turn < 10 ? 8000 : -8000);
  await page.waitForTimeout(300);
});
const zoom = await longestTasks(async () => {
  await page.locator(".timeline svg").hover();
  await page.keyboard.down("Control");
  for (let turn = 0; turn < 20; turn++) {
    await page.mouse.wheel(0, turn < 10 ? -60 : 60);
    await page.waitForTimeout(16);
  }
  await page.keyboard.up("Control");
  await page.waitForTimeout(300);
});

const sliders = {};
for (const [at, name] of ["As of", "As known at"].entries()) {
  const answers = [];
  for (let step = 0; step < ROUNDS * STEPS; step++) {
    if (step % STEPS === 0) {
      await page.evaluate((at) => document.querySelectorAll(".slider button")[at].click(), at);
      await page.waitForTimeout(500);
    }
    await page.evaluate((label) => {
      const slider = document.querySelector(`input[type=range][aria-label="${label}"]`);
      slider.focus();
      globalThis.answered = new Promise((resolve) => slider.addEventListener("input", () => {
        const begun = performance.now();
        const observer = new MutationObserver(() => {
          observer.disconnect();
          requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - begun)));
        });
        observer.observe(document.querySelector("main > .cards"), { childList: true });
      }, { once: true, capture: true }));
    }, name);
    await page.keyboard.press("PageDown");
    answers.push(await page.evaluate(() => globalThis.answered));
    await page.waitForTimeout(200);
  }
  sliders[name] = spread(answers);
  await page.evaluate((at) => document.querySelectorAll(".slider button")[at].click(), at);
}
console.log(JSON.stringify({ load: os.loadavg().map((load) => Math.round(load * 10) / 10), firstPaintMs: firstPaint, scroll, zoom, slidersMs: sliders }, undefined, 1));
await close();
await browser.close();
