// Every view, in both themes, wide and narrow: no rule of axe is broken, nothing is wider than the screen, and a picture is
// taken to be looked at.

import { mkdirSync } from "node:fs";
import { NARROW, WIDE, assert, launch, open, view, violations } from "./browser.mjs";

const [, , url, shots] = process.argv;

const VIEWS = [
  ["start", "#/"],
  ["search", "#/search?q=birch"],
  ["nothing", "#/search?q=nobody.atlassian.net"],
  ["tenant", "#/tenant/wonka.atlassian.net"],
  ["past", "#/tenant/late.atlassian.net?at=2026-03-01T00%3A00%3A00.000Z"],
  ["busy", "#/tenant/busy.atlassian.net"],
  ["record", "#/tenant/wonka.atlassian.net/record/4"],
  ["statement", "#/tenant/wonka.atlassian.net/statement"],
  ["installations", "#/list/installations"],
  ["drift", "#/list/drift"],
  ["split-brain", "#/list/split-brain"],
  ["windows", "#/list/windows?within=3000"],
  ["migrations", "#/list/migrations"],
  ["anomalies", "#/list/anomalies"],
  ["quarantine", "#/list/quarantine"],
  ["lineage", "#/list/lineage"],
  ["links", "#/list/links"],
  ["refused", "#/quarantine/TOPIC/0/1"],
  ["what-if", "#/what-if?policies=days%3A30%2Coff"],
  ["verify", "#/verify"],
  ["operate", "#/operate"],
  ["nowhere", "#/nowhere"],
];

mkdirSync(shots, { recursive: true });
const browser = await launch(), wrong = [];
const topic = process.env.PAGE_TOPIC;
for (const theme of ["light", "dark"]) {
  for (const viewport of [WIDE, NARROW]) {
    const { page, close } = await open(browser, url, { viewport, theme });
    for (const [name, hash] of VIEWS) {
      await view(page, hash.replace("TOPIC", topic));
      const where = `${name}, ${theme}, ${viewport.width} px`;
      wrong.push(...(await violations(page)).map((found) => `${where}: ${found}`));
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (over > 0) wrong.push(`${where}: ${over} px too wide`);
      await page.screenshot({ path: `${shots}/${name}-${viewport.width}-${theme}.png`, fullPage: true });
    }
    await close();
  }
}
await browser.close();
assert.deepEqual(wrong, []);
