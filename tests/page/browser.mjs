// A browser, and what every test of the page does with it.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const modules = createRequire(`${process.env.PAGE_MODULES}/`);
const { chromium } = modules("playwright-core");
const AXE = readFileSync(modules.resolve("axe-core/axe.min.js"), "utf8");

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const WIDE = { width: 1280, height: 900 }, NARROW = { width: 360, height: 740 };

export function launch() {
  return chromium.launch({ executablePath: process.env.PAGE_CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}

// A page of its own, without anything of the others. What goes wrong in it fails the test.
export async function open(browser, url, { viewport = WIDE, theme = "light" } = {}) {
  const context = await browser.newContext({ viewport, colorScheme: theme, locale: "en-GB", timezoneId: "America/New_York", acceptDownloads: true });
  const page = await context.newPage(), wrong = [];
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("console", (message) => {
    const expected = /status of (4\d\d|503)|INTERNET_DISCONNECTED/.test(message.text());
    if (message.type() === "error" && !expected) wrong.push(message.text());
  });
  page.setDefaultTimeout(20_000);
  await page.goto(`${url}/`);
  const close = async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  };
  return { page, context, close };
}

// Goes to a view and waits until it has its content.
export async function view(page, hash) {
  await page.evaluate((to) => { location.hash = to; }, hash);
  await settled(page);
}

// Until the view is there with all that it asked for, and what is drawn frame by frame is drawn.
export async function settled(page) {
  const isThere = () => page.waitForFunction(() => document.querySelector("main h1, main .note")
    && [...document.querySelectorAll("[aria-busy]")].every((busy) => !busy.checkVisibility()));
  await isThere();
  await page.waitForLoadState("networkidle");
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  await isThere();
}

// Rules of axe that the view breaks.
export async function violations(page) {
  // The policy of the page forbids scripts that are written into it, so axe comes through the debugger.
  await page.evaluate(AXE);
  const { violations: found } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return found.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
}

export function text(page) {
  return page.locator("main").innerText();
}

export { assert };
