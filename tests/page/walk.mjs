// From the start to the proof of a record with the keyboard alone, and along the lanes.

import { assert, launch, open, settled } from "./browser.mjs";

const [, , url] = process.argv;
const browser = await launch();
const { page, close } = await open(browser, url);
await settled(page);

const focused = () => page.evaluate(() => {
  const { activeElement: here } = document;
  return { name: here.getAttribute("aria-label") ?? here.labels?.[0]?.innerText ?? here.innerText ?? "", tag: here.localName };
});

// Presses Tab until what has the focus is called so.
async function tabTo(pattern, most = 60) {
  const met = [];
  for (let press = 0; press < most; press++) {
    await page.keyboard.press("Tab");
    const { name } = await focused();
    if (pattern.test(name)) return name;
    met.push(name.slice(0, 40));
  }
  throw new Error(`Tab never comes to ${pattern}, but to ${met.join(" | ")}`);
}

await tabTo(/^Skip to the content$/);
await tabTo(/^Search$/);
await page.keyboard.type("wonka.atlassian.net");
await page.keyboard.press("Enter");
await page.waitForFunction(() => /search|tenant/.test(location.hash));
await settled(page);
if ((await page.evaluate(() => location.hash)).startsWith("#/search")) {
  await tabTo(/^wonka\.atlassian\.net$/);
  await page.keyboard.press("Enter");
}
await page.waitForFunction(() => document.querySelectorAll(".timeline a").length > 5);
await settled(page);

// One stop for the whole timeline; inside of it arrows walk.
await tabTo(/, record \d+, /);
const first = (await focused()).name;
await page.keyboard.press("ArrowRight");
const second = (await focused()).name;
assert.notEqual(first, second);
await page.keyboard.press("ArrowDown");
assert.match((await focused()).name, /^Realm /);
await page.keyboard.press("ArrowDown");
assert.match((await focused()).name, /^product /);
await page.keyboard.press("ArrowUp");
await page.keyboard.press("ArrowUp");
await page.keyboard.press("Home");
assert.equal((await focused()).name, first);
await page.keyboard.press("+");
await page.waitForFunction(() => /from=/.test(location.hash));
await page.keyboard.press("0");
await page.waitForFunction(() => !/from=/.test(location.hash));
await page.keyboard.press("Shift+ArrowRight");
await page.waitForFunction(() => /from=/.test(location.hash));
await page.keyboard.press("0");
for (let row = 0; row < 8; row++) await page.keyboard.press("ArrowUp");
await page.keyboard.press("Home");
assert.equal((await focused()).name, first);
await page.keyboard.press("Enter");
await page.waitForFunction(() => /record\/1/.test(location.hash));
await settled(page);

await tabTo(/^Verifier keys/);
await page.keyboard.insertText(process.env.PAGE_KEY);
await tabTo(/^Prove this record$/);
await page.keyboard.press("Enter");
await page.getByText("Record 1 is among them").waitFor();

// Nothing catches the focus: Tab comes to the end of the page.
let isOut = false;
for (let press = 0; press < 120 && !isOut; press++) {
  await page.keyboard.press("Tab");
  isOut = (await focused()).tag === "body";
}
assert.ok(isOut);
await close();
await browser.close();
console.log("ok  search to proof with the keyboard alone");
