// Drives `sandbox serve` in Chromium: sign-up, code, sign-in, Hit, an order that the page waits for,
// suspension, invalidation. `node tests/web/sandbox.mjs --sandbox BINARY [--chromium PATH] [--picture FILE]`.
// Takes about 30 seconds, because the worker collects changes for 15 seconds, as on AWS. Exits with 1 at
// the first difference.

import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { chromium } from "playwright-core";

const { values: options } = parseArgs({
  options: {
    sandbox: { type: "string", default: "target/debug/sandbox-under-test" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    picture: { type: "string" },
  },
});
const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const server = spawn(options.sandbox, ["serve", "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
const home = await mkdtemp(join(tmpdir(), "sandbox-"));
const browser = await chromium.launch({
  executablePath: options.chromium,
  args: ["--no-sandbox"],
  env: { ...process.env, HOME: home },
});
try {
  // A new line of the list is tinted for a moment, and axe would measure the contrast in between.
  const page = await browser.newPage({ viewport: { width: 1360, height: 860 }, reducedMotion: "reduce" });
  await drive(page, await address());
  console.log("sandbox serve: passed");
} finally {
  await browser.close();
  server.kill();
  await rm(home, { recursive: true, force: true });
}

/** The address that the server prints. */
async function address() {
  let printed = "";
  for await (const chunk of server.stdout) {
    printed += chunk;
    const found = printed.match(/http:\S+\/sandbox/);
    if (found) return found[0];
  }
  throw new Error(`the server ended: ${printed}`);
}

async function drive(page, url) {
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(`${message.text()} ${message.location().url}`);
  });
  const user = page.frameLocator("#page");
  const list = (text) => page.locator("#list li", { hasText: text });
  const press = (action) => page.locator(`[data-action=${action}]`).click();
  const submit = () => user.locator("button[type=submit]").click();
  // The page asks for three answers, and shows the result of the dashboard.
  const reload = async (expected) => {
    await user.locator("#reload").click();
    await user.locator("#strip .cache", { hasText: expected }).waitFor();
  };

  await page.goto(url);
  await user.locator("#sign-in-action").click();
  await user.getByRole("heading", { name: "Create an account" }).waitFor();
  await axe(page);
  await submit();
  await user.getByRole("heading", { name: "Confirm your account" }).waitFor();
  await list("Confirm your Example Shop account").getByRole("link").click();
  const mail = await page.frameLocator("#mail-frame").locator("body").innerText();
  await page.locator("#close").click();
  await user.getByLabel("Code").fill(mail.match(/\b\d{6}\b/)[0]);
  await submit();
  await user.getByRole("heading", { name: "Sign in" }).waitFor();
  await submit();
  await user.getByRole("heading", { name: "Hello, Ana Example" }).waitFor();
  assert.deepEqual(problems, [], "before the first order");

  // The page has just changed, so it lives for 5 seconds, and its end is near enough: no invalidation.
  await user.locator("#reload").click();
  await reload("Hit");
  await press("second-user");
  await list("Miss: GET /api/dashboard (Ben Example)").waitFor();
  // The order then starts a batch of its own, as most orders do.
  await list("user.signed_in").filter({ hasText: "user-stats" }).first().waitFor();
  const pressed = Date.now();
  await press("order");
  await user.locator("#orders li.pending").waitFor();
  await user.locator("#orders li:not(.pending)").waitFor();
  const seconds = (Date.now() - pressed) / 1000;
  assert.ok(seconds <= 4, `the order showed after ${seconds} s`);
  assert.equal(await user.locator("#figures dd").first().innerText(), "1", "orders");
  assert.match(await user.locator("#strip").innerText(), /Shown after/);
  await list("Miss: GET /api/dashboard?after=… (Ana Example)").first().waitFor();
  await reload("Hit");
  for (const expected of [/(Miss|RefreshHit): GET .api.dashboard .Ben Example/, "Hit: GET /api/dashboard (Ben Example)"]) {
    await press("second-user");
    await list(expected).first().waitFor();
  }
  assert.equal(await list("CreateInvalidation").count(), 0, "no invalidation was paid");
  await axe(page);
  if (options.picture !== undefined) await page.screenshot({ path: options.picture });
  assert.deepEqual(problems, [], "before the suspension");

  await press("suspend");
  await list("CreateInvalidation").first().waitFor({ timeout: 30_000 });
  await user.locator("#reload").click();
  await user.getByRole("heading", { name: "Your account is suspended" }).waitFor();
}

/** Fails if axe finds a barrier. Not in frames: the page has checks of its own. */
async function axe(page) {
  // The policy of the page forbids scripts of others. DevTools may run them.
  const client = await page.context().newCDPSession(page);
  const evaluate = async (expression) => {
    const answer = await client.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    assert.equal(answer.exceptionDetails, undefined, JSON.stringify(answer.exceptionDetails));
    return answer.result.value;
  };
  await evaluate(axeSource);
  const found = await evaluate("axe.run(document, { iframes: false }).then((result) => result.violations)");
  assert.deepEqual(found.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), []);
}
