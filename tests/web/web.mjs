// Drives the page in Chromium: `node tests/web/web.mjs [--screenshots FOLDER] [NAME...]`.
// Prints one line per check. Exits with 1 if one fails. Names select checks that contain them.

import { mkdir, mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { strict as assert } from "node:assert";

import { chromium } from "playwright-core";

import { reference, startStack } from "./stack.mjs";
import { checks as checksOfWrites } from "./writes.mjs";

const FOLDER = fileURLToPath(new URL("../../web", import.meta.url));
const LANGUAGES = ["de", "en", "es", "fr", "ja", "pt"];
const MARKUP = `<img src=x onerror="document.title='broken'"><b>bold</b>&amp;`;

const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: { screenshots: { type: "string" }, chromium: { type: "string", default: "/usr/bin/chromium" } },
});
const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const englishTexts = JSON.parse(await readFile(join(FOLDER, "locales/en.json"), "utf8"));

const checks = [];
const check = (name, run, context = {}) => checks.push({ name, run, context });

for (const [name, run] of checksOfWrites) check(name, run, { isPure: true });

// Sign-in and sign-out

check("signs in with code and PKCE, and leaves no code in the address", async ({ page, stack }) => {
  await page.goto(stack.page);
  await heading(page, "Tea & Paper");
  await axe(page);
  await page.getByRole("button", { name: "Sign in or sign up" }).click();
  await heading(page, "Hello, Ana Martínez");
  const [request] = stack.log.authorize;
  assert.equal(request.scope, "openid email profile");
  assert.equal(request.code_challenge_method, "S256");
  assert.equal(request.lang, "en");
  assert.equal(stack.log.token[0].grant_type, "authorization_code");
  assert.equal(page.url(), `${stack.page}/`);
  assert.equal(await page.title(), "Tea & Paper");
});

check("keeps the session when the page is loaded again, and in no other storage", async ({ page, stack }) => {
  await signIn(page, stack);
  await page.reload();
  await heading(page, "Hello, Ana Martínez");
  assert.equal(stack.log.token.length, 1);
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), []);
  assert.equal(await page.evaluate(() => document.cookie), "");
});

check("signs out: revokes the refresh token, ends the login's session, forgets the tokens", async ({ page, stack }) => {
  await signIn(page, stack);
  await page.getByRole("button", { name: "Sign out" }).click();
  await heading(page, "Tea & Paper");
  assert.equal(stack.log.revoked[0].token_type_hint, "refresh_token");
  assert.deepEqual(stack.log.logout, [{ client_id: "web-test-client", logout_uri: `${stack.page}/` }]);
  assert.deepEqual(await page.evaluate(() => Object.keys(sessionStorage)), []);
  await page.goBack();
  await page.waitForLoadState();
  assert.equal(await page.getByText("Ana Martínez").count(), 0);
});

check("shows why the login denied a sign-in, as text", async ({ page, stack }) => {
  stack.settings.loginError = { error: "access_denied", error_description: `Sign-in is not possible ${MARKUP}` };
  await page.goto(stack.page);
  await page.getByRole("button", { name: "Sign in or sign up" }).click();
  await page.getByRole("alert").getByText(`Sign-in is not possible ${MARKUP}`).waitFor();
  await axe(page);
});

check("a link cannot put words into the page or sign in with a foreign code", async ({ page, stack }) => {
  await page.goto(`${stack.page}/?error=access_denied&error_description=Call+this+number&state=forged`);
  await notice(page, "The sign-in was interrupted");
  assert.equal(await page.getByText("Call this number").count(), 0);
  await page.goto(`${stack.page}/?code=stolen&state=forged`);
  await notice(page, "The sign-in was interrupted");
  assert.equal(stack.log.token.length, 0);
});

// Tokens

check("refreshes the token before it expires, without a click", async ({ page, stack }) => {
  stack.settings.tokenSeconds = 62;
  await signIn(page, stack);
  await until(() => stack.log.token.length === 2);
  assert.equal(stack.log.token[1].grant_type, "refresh_token");
  const before = stack.log.api.at(-1).token;
  await reload(page);
  assert.notEqual(stack.log.api.at(-1).token, before);
});

check("a token that the API refuses is refreshed once", async ({ page, stack }) => {
  await signIn(page, stack);
  const old = stack.log.api.at(-1).token;
  stack.settings.fault = ({ token }) => (token === old ? { status: 401 } : undefined);
  await reload(page);
  assert.equal(await page.locator("#banner").isVisible(), false);
  assert.equal(stack.log.token.filter(({ grant_type }) => grant_type === "refresh_token").length, 1);
}, { expectsFailures: true });

check("an expired session is said in words, hides the data, and a sign-in continues", async ({ page, stack }) => {
  await signIn(page, stack);
  stack.settings.fault = () => ({ status: 401 });
  stack.settings.refreshError = "invalid_grant";
  await page.getByRole("button", { name: "Reload" }).click();
  await notice(page, "Your session has expired. Sign in again.");
  assert.equal(await page.locator("body").innerHTML().then((html) => html.includes("Ana")), false);
  assert.deepEqual(await page.evaluate(() => Object.keys(sessionStorage)), []);
  assert.equal(await focused(page), "sign-in-heading");
  await axe(page);
  stack.settings.fault = () => undefined;
  await page.getByRole("button", { name: "Sign in or sign up" }).click();
  await heading(page, "Hello, Ana Martínez");
}, { expectsFailures: true });

check("a session that expires in the background is said in words", async ({ page, stack }) => {
  stack.settings.tokenSeconds = 62;
  stack.settings.refreshError = "invalid_grant";
  await signIn(page, stack);
  await notice(page, "Your session has expired. Sign in again.");
}, { expectsFailures: true });

check("a refresh that fails for a moment does not end the session", async ({ page, stack }) => {
  stack.settings.tokenSeconds = 62;
  stack.settings.refreshError = "temporarily_unavailable";
  await signIn(page, stack);
  await until(() => stack.log.token.length === 2);
  await heading(page, "Hello, Ana Martínez");
  stack.settings.refreshError = undefined;
  await reload(page);
  assert.equal(await page.locator("#banner").isVisible(), false);
}, { expectsFailures: true });

// The dashboard

check("shows figures in the viewer's format, and times in the viewer's zone", async ({ page, stack }) => {
  stack.data.dashboard.activities[0].at = "2026-01-02T23:30:00.000Z";
  stack.data.dashboard.statistics.spent.push({ currency: "USD", amount: "12345678901234567.89" }, { currency: "??", amount: "1" });
  await signIn(page, stack);
  const figures = await page.locator("#figures").innerText();
  for (const text of ["45", "1 storniert", "4.284,15 €", "18.200 ¥", "12.345.678.901.234.567,89 $", "1 ??", "128"]) {
    assert.ok(figures.replaceAll("\u00a0", " ").includes(text), `${text} in ${figures}`);
  }
  const first = page.locator("#activities");
  assert.match(await first.innerText(), /03\.01\.2026\s+08:30/);
  assert.match(await page.locator("#time-zone").innerText(), /Asia\/Tokyo/);
}, { locale: "de-DE", timezoneId: "Asia/Tokyo" });

check("the strip shows miss, then hit with its age, then miss after an eviction", async ({ page, stack }) => {
  await signIn(page, stack);
  const strip = page.locator("#strip");
  assert.match(await strip.innerText(), /Miss/);
  await page.waitForTimeout(1100);
  await reload(page);
  assert.match(await strip.innerText(), /Hit\s+Age\s+[1-9]\d* sec/);
  assert.match(await strip.innerText(), /ETag\s+"[0-9a-f]+/);
  stack.evict();
  await reload(page);
  assert.match(await strip.innerText(), /Miss/);
  assert.match(await page.locator("#strip-history").getAttribute("aria-label"), /Miss .*, Hit .*, Miss /);
  assert.match(await page.getByRole("status").last().innerText(), /Reloaded. Cache: Miss/);
});

check("mark as read is pending until the page shows the change", async ({ page, stack }) => {
  await signIn(page, stack);
  await page.getByRole("button", { name: "Mark as read: We refunded order A-2043" }).click();
  await page.getByRole("button", { name: "Marking as read …: We refunded order A-2043" }).click({ force: true });
  assert.equal(await page.locator("#notifications").getAttribute("aria-busy"), "true");
  await page.locator("#change").getByText("Your change is saved.").waitFor();
  await axe(page);
  await page.locator("#strip", { hasText: "Miss, pending" }).waitFor();
  assert.match(await page.locator("#strip").innerText(), /Own change\s+Pending/);
  await page.getByText("We refunded order A-2043").waitFor({ state: "detached" });
  const posts = stack.log.api.filter(({ method }) => method === "POST");
  assert.deepEqual(posts.map(({ path }) => path), ["/api/notifications/refund%25202043%252F1/read"]);
  assert.equal(await page.locator("#announcement").innerText(), "Marked as read.");
  assert.match(await page.locator("#figures").innerText(), /Unread notifications\s+2/);
  assert.match(await page.locator("#strip").innerText(), /Own change\s+Shown after [1-4],?\d\d\d ms/);
  assert.equal(await page.locator("#notifications").getAttribute("aria-busy"), "false");
  assert.equal(await page.locator("#change").isVisible(), false);
  assert.equal(await focused(page), "notifications-heading");
  const after = reference({ source: "/read-api", id: "read-refund 2043/1" });
  const reads = dashboards(stack).slice(1);
  assert.ok(reads.length >= 2 && reads.every((path) => path === `/api/dashboard?after=${after}`), reads);
  const count = stack.log.api.length;
  await page.waitForTimeout(2500);
  assert.equal(stack.log.api.length, count, "polls go on");
  // The answer without `after` is from before the change, and nothing has invalidated it.
  await reload(page);
  assert.match(await page.locator("#strip").innerText(), /Hit/);
  assert.equal(await page.getByText("We refunded order A-2043").count(), 0);
  const latest = stack.log.api.slice(-3).map(({ path }) => path).sort();
  assert.deepEqual(latest, [`/api/dashboard?after=${after}`, `/api/orders?limit=10&after=${after}`, `/api/profile?after=${after}`]);
});

check("a reload of the page still waits for the change, which only this tab knows", async ({ page, stack }) => {
  stack.settings.applyMilliseconds = 3000;
  await signIn(page, stack);
  await page.getByRole("button", { name: /^Mark as read: Your order/ }).click();
  await until(() => dashboards(stack).length > 1);
  await page.reload();
  await page.getByRole("button", { name: /^Marking as read …: Your order/ }).waitFor();
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), []);
  await page.getByText("Your order A-2045 is on its way").waitFor({ state: "detached" });
  await page.reload();
  await heading(page, "Hello, Ana Martínez");
  assert.equal(await page.getByText("Your order A-2045 is on its way").count(), 0);
  assert.match(dashboards(stack).at(-1), /after=/);
});

check("a confirmed change is the key of the cache until no old answer is left", async ({ page, stack }) => {
  stack.settings.applyMilliseconds = 10;
  await page.clock.install();
  await signIn(page, stack);
  await page.getByRole("button", { name: /^Mark as read: Your order/ }).click();
  await until(() => stack.log.api.some(({ method }) => method === "POST"));
  // Two seconds, in case the answer of the POST is still on its way.
  await page.clock.runFor(2000);
  await page.getByText("Your order A-2045 is on its way").waitFor({ state: "detached" });
  await page.clock.fastForward(62_000);
  await reload(page);
  assert.match(dashboards(stack).at(-1), /after=/);
  await page.clock.fastForward(4000);
  stack.evict();
  await reload(page);
  assert.equal(dashboards(stack).at(-1), "/api/dashboard");
  assert.equal(await page.getByText("Your order A-2045 is on its way").count(), 0);
  assert.deepEqual(await storedWrites(page), null);
});

check("several changes in a row are asked for in turn, and the one that was confirmed last stays as the key", async ({ page, stack }) => {
  await signIn(page, stack);
  for (const title of ["Your order A-2045 is on its way", "We refunded order A-2043"]) {
    await page.getByRole("button", { name: `Mark as read: ${title}` }).click();
  }
  await until(async () => (await page.locator("#notifications li").count()) === 1);
  await until(async () => (await storedWrites(page)).writes.every(({ confirmedAt }) => confirmedAt !== undefined));
  const [first, second] = ["read-shipped-2045", "read-refund 2043/1"].map((id) => `/api/dashboard?after=${reference({ source: "/read-api", id })}`);
  const order = dashboards(stack).slice(1);
  assert.deepEqual(order.slice(0, 2), [first, second], order);
  assert.ok(order.every((path) => [first, second].includes(path)) && order.length <= 4, order);
  await reload(page);
  assert.equal(dashboards(stack).at(-1), order.at(-1));
});

check("an order of the shop shows as pending, then as placed", async ({ page, stack }) => {
  await signIn(page, stack);
  const after = reference({ source: "/shop", id: "order-7" });
  stack.change(after, ({ orders, dashboard }) => {
    orders.unshift({ at: new Date().toISOString(), type: "order.placed", orderId: "A-3000", amount: "5.00", currency: "EUR" });
    dashboard.statistics.orders += 1;
  });
  await announceWrite(page, { sub: stack.data.profile.sub, after, kind: "order", id: "A-3000" });
  await page.locator("#orders li.pending", { hasText: "A-3000" }).filter({ hasText: "Pending …" }).waitFor();
  assert.equal(await page.locator("#orders").getAttribute("aria-busy"), "true");
  await axe(page);
  await page.locator("#orders li:not(.pending)", { hasText: "A-3000" }).waitFor();
  assert.equal(await page.locator("#orders li.pending").count(), 0);
  assert.match(await page.locator("#figures").innerText(), /Orders\s+46/);
  assert.equal(await page.locator("#announcement").innerText(), "Your order is shown.");
});

check("a change of another user, or without a valid reference, is not waited for", async ({ page, stack }) => {
  await signIn(page, stack);
  const count = stack.log.api.length;
  const after = reference({ source: "/shop", id: "order-7" });
  for (const detail of [{ sub: "another-user", after }, { after }, { sub: stack.data.profile.sub, after: "no reference" }, { sub: stack.data.profile.sub }]) {
    await announceWrite(page, { kind: "order", id: "A-3000", ...detail });
  }
  await page.waitForTimeout(1500);
  assert.equal(stack.log.api.length, count);
  assert.deepEqual([await storedWrites(page), await page.locator("#orders li.pending").count()], [null, 0]);
});

check("a notification that was read on another device is not waited for", async ({ page, stack }) => {
  stack.settings.wasRead = true;
  await signIn(page, stack);
  await page.getByRole("button", { name: /^Mark as read: Your order/ }).click();
  await page.getByRole("button", { name: /^Marked. Shows later: Your order/ }).waitFor();
  assert.deepEqual([dashboards(stack), await storedWrites(page)], [["/api/dashboard", "/api/dashboard"], null]);
});

check("a service that fails while a change is pending is asked again", async ({ page, stack }) => {
  await signIn(page, stack);
  let failures = 0;
  stack.settings.fault = ({ path }) => (path.includes("after=") && (failures += 1) <= 2 ? { status: 503 } : undefined);
  await page.getByRole("button", { name: /^Mark as read: Your order/ }).click();
  await page.getByText("Your order A-2045 is on its way").waitFor({ state: "detached" });
  assert.equal(failures >= 3, true);
  assert.equal(await page.locator("#banner").isVisible(), false);
}, { expectsFailures: true });

check("a token that is refused while a change is pending is refreshed, and the wait goes on", async ({ page, stack }) => {
  await signIn(page, stack);
  const old = stack.log.api.at(-1).token;
  stack.settings.fault = ({ token, path }) => (token === old && path.includes("after=") ? { status: 401 } : undefined);
  await page.getByRole("button", { name: /^Mark as read: Your order/ }).click();
  await page.getByText("Your order A-2045 is on its way").waitFor({ state: "detached" });
}, { expectsFailures: true });

check("after a session that expired, only the same user waits on", async ({ page, stack }) => {
  stack.settings.applyMilliseconds = 10_000_000;
  await signIn(page, stack);
  await page.getByRole("button", { name: /^Mark as read: Your order/ }).click();
  await until(() => dashboards(stack).length > 1);
  stack.settings.fault = () => ({ status: 401 });
  stack.settings.refreshError = "invalid_grant";
  await notice(page, "Your session has expired. Sign in again.");
  const count = stack.log.api.length;
  stack.settings.fault = () => undefined;
  await page.waitForTimeout(1500);
  assert.equal(stack.log.api.length, count, "polls go on");
  await page.getByRole("button", { name: "Sign in or sign up" }).click();
  await page.getByRole("button", { name: /^Marking as read …: Your order/ }).waitFor();
  assert.match(dashboards(stack).at(-1), /after=/);
  stack.settings.fault = () => ({ status: 401 });
  await notice(page, "Your session has expired. Sign in again.");
  stack.settings.fault = () => undefined;
  stack.settings.sub = "another-user";
  await page.getByRole("button", { name: "Sign in or sign up" }).click();
  await heading(page, "Hello");
  assert.equal(dashboards(stack).at(-1), "/api/dashboard");
  assert.deepEqual(await storedWrites(page), null);
}, { expectsFailures: true });

check("a sign-out forgets the changes that the page waited for", async ({ page, stack }) => {
  stack.settings.applyMilliseconds = 10_000_000;
  await signIn(page, stack);
  await page.getByRole("button", { name: /^Mark as read: Your order/ }).click();
  await until(async () => (await storedWrites(page)) !== null);
  await page.getByRole("button", { name: "Sign out" }).click();
  await heading(page, "Tea & Paper");
  assert.deepEqual(await page.evaluate(() => Object.keys(sessionStorage)), []);
});

check("every id reaches the API as one segment of the path", async ({ page, stack }) => {
  stack.settings.applyMilliseconds = 10;
  const { dashboard } = stack.data;
  dashboard.notifications = ["a/b?c#d", "..", "100%", "ключ"].map((id) => ({ id, title: `Title of ${id}`, at: dashboard.lastChangedAt }));
  await signIn(page, stack);
  for (const { title } of [...dashboard.notifications]) {
    await page.getByRole("button", { name: `Mark as read: ${title}` }).click();
    await page.getByText(title).waitFor({ state: "detached" });
  }
});

check("a change that does not arrive within 60 seconds is said in words", async ({ page, stack }) => {
  stack.settings.applyMilliseconds = 10_000_000;
  await page.clock.install();
  await signIn(page, stack);
  await page.getByRole("button", { name: /^Mark as read: Your order/ }).click();
  await page.getByRole("button", { name: /^Marking as read/ }).waitFor();
  await until(() => stack.log.api.some(({ method }) => method === "POST"));
  for (let second = 0; second < 62; second += 1) {
    const seen = dashboards(stack).length;
    await page.clock.runFor(1000);
    await Promise.race([until(() => dashboards(stack).length > seen), new Promise((resolve) => setTimeout(resolve, 60))]).catch(() => {});
  }
  await page.getByRole("button", { name: /^Marked. Shows later/ }).waitFor();
  await page.locator("#change").getByText("Your change has not arrived after 60 sec.").waitFor();
  assert.match(await page.locator("#announcement").innerText(), /^Your change has not arrived/);
  assert.match(await page.locator("#strip").innerText(), /Own change\s+Not arrived/);
  await axe(page);
  const count = dashboards(stack).length;
  assert.ok(count >= 40 && count <= 62, `${count} reads`);
  await page.clock.runFor(60_000);
  assert.equal(dashboards(stack).length, count);
  await reload(page);
  assert.equal(dashboards(stack).at(-1), "/api/dashboard", "the reference is dropped");
  assert.equal(await page.locator("#change").isVisible(), false);
});

check("a mark that the service refuses is said in words, and can be tried again", async ({ page, stack }) => {
  await signIn(page, stack);
  stack.settings.fault = ({ method }) => (method === "POST" ? { status: 503 } : undefined);
  await page.getByRole("button", { name: /^Mark as read: Your order/ }).click();
  await page.getByRole("alert").getByText("The service is busy").waitFor();
  await page.getByRole("button", { name: /^Mark as read: Your order/ }).waitFor();
  assert.deepEqual([await storedWrites(page), dashboards(stack).length], [null, 1], "nothing is pending");
}, { expectsFailures: true });

check("a notification that is gone disappears", async ({ page, stack }) => {
  await signIn(page, stack);
  stack.data.dashboard.notifications.shift();
  stack.evict();
  await page.getByRole("button", { name: /^Mark as read: Your order/ }).click();
  await page.getByText("Your order A-2045 is on its way").waitFor({ state: "detached" });
  assert.equal(await page.locator("#problem").isVisible(), false);
}, { expectsFailures: true });

check("orders come in pages, and the focus goes to the first new one", async ({ page, stack }) => {
  await signIn(page, stack);
  const orders = page.locator("#orders li");
  const more = page.getByRole("button", { name: "Show more" });
  assert.equal(await orders.count(), 10);
  await more.click();
  await until(async () => (await orders.count()) === 20);
  assert.match(await page.evaluate(() => document.activeElement.textContent), /A-2035/);
  for (const count of [30, 40, 45]) {
    await more.click();
    await until(async () => (await orders.count()) === count);
  }
  assert.equal(await more.isVisible(), false);
  assert.equal(new Set(await orders.locator("strong").allInnerTexts()).size, 45);
  assert.match(await orders.nth(2).innerText(), /-€25\.90/);
});

check("a user without any data reads so", async ({ page, stack }) => {
  stack.data.dashboard = {
    user: { sub: stack.data.profile.sub },
    statistics: { orders: 0, ordersCancelled: 0, spent: [], activities: 0, passwordResets: 0, unreadNotifications: 0 },
    activities: [],
    notifications: [],
  };
  const { sub } = stack.data.profile;
  stack.data.dashboard.user.username = sub;
  stack.data.profile = { sub, username: sub };
  stack.data.orders = [];
  await signIn(page, stack, "Hello");
  assert.equal(await page.locator("#greeting").innerText(), "Hello");
  assert.equal(await page.locator("#profile").innerText(), `User ID\n${sub}`);
  for (const text of ["Nothing has happened yet.", "You have read everything.", "You have no orders yet."]) {
    await page.getByText(text).waitFor();
  }
  await axe(page);
});

check("markup in every field shows as text", async ({ page, stack }) => {
  const { data } = stack;
  data.productName = MARKUP;
  data.dashboard.user.name = MARKUP;
  data.dashboard.statistics.spent = [{ currency: MARKUP, amount: MARKUP }];
  data.dashboard.activities = [{ at: data.dashboard.lastChangedAt, type: MARKUP, detail: MARKUP }];
  data.dashboard.notifications = [{ id: MARKUP, title: MARKUP, at: data.dashboard.lastChangedAt }];
  data.orders = [{ at: data.dashboard.lastChangedAt, type: MARKUP, orderId: MARKUP, amount: "1", currency: MARKUP }];
  data.profile = { sub: MARKUP, name: MARKUP, username: MARKUP, preferredUsername: MARKUP, email: MARKUP };
  await signIn(page, stack, `Hello, ${MARKUP}`, MARKUP);
  assert.equal(await page.locator("img, b").count(), 0);
  assert.equal(await page.title(), MARKUP.trim());
  for (const id of ["product", "greeting", "figures", "activities", "notifications", "orders", "profile"]) {
    assert.ok((await page.locator(`#${id}`).innerText()).includes(MARKUP), id);
  }
  stack.settings.applyMilliseconds = 100;
  await page.getByRole("button", { name: /^Mark as read/ }).click();
  await page.getByText("You have read everything.").waitFor();
  await narrow(page);
});

// Problems

const problem = (code) => ({
  type: "application/problem+json",
  body: { type: `urn:cognito-user-events:problem:${code}`, title: "Title", detail: "A detail." },
});
for (const [name, fault, title, action] of [
  ["a suspended user", { status: 403, ...problem("suspended") }, "Your account is suspended", "Sign out"],
  ["an erased user", { status: 404, ...problem("not-found") }, "There is no such account", "Sign out"],
  ["a throttled request", { status: 429, ...problem("busy") }, "The service is busy", "Try again"],
  ["an unavailable service", { status: 503, ...problem("unavailable") }, "The service is busy", "Try again"],
  ["an error of the service", { status: 500, ...problem("internal") }, "Something went wrong", "Try again"],
  ["a wrong secret of the distribution", { status: 403, ...problem("wrong-origin") }, "Something went wrong", "Try again"],
  ["a firewall's 403", { status: 403, type: "text/html", body: "<h1>Blocked</h1>" }, "Something went wrong", "Try again"],
]) {
  check(`${name} reads what it means and what to do`, async ({ page, stack }) => {
    stack.settings.fault = ({ path }) => (path === "/api/config" ? undefined : fault);
    await signIn(page, stack, title);
    await page.locator("#problem").getByRole("button", { name: action }).waitFor();
    await axe(page);
    await narrow(page);
    stack.settings.fault = () => undefined;
    await page.locator("#problem").getByRole("button", { name: action }).click();
    await heading(page, action === "Sign out" ? "Tea & Paper" : "Hello, Ana Martínez");
  }, { expectsFailures: true });
}

check("a suspension during the visit hides the data", async ({ page, stack }) => {
  await signIn(page, stack);
  stack.settings.fault = () => ({ status: 403, ...problem("suspended") });
  await page.getByRole("button", { name: "Reload" }).click();
  await heading(page, "Your account is suspended");
  assert.equal(await focused(page), "problem-heading");
  assert.equal((await page.locator("body").innerHTML()).includes("Ana"), false);
}, { expectsFailures: true });

check("a failed reload keeps the data on the screen", async ({ page, stack }) => {
  await signIn(page, stack);
  stack.settings.fault = () => ({ status: 503, ...problem("unavailable") });
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByRole("alert").getByText("The service is busy").waitFor();
  assert.equal(await page.locator("#orders li").count(), 10);
  await axe(page);
  stack.settings.fault = () => undefined;
  await reload(page);
  assert.equal(await page.locator("#banner").isVisible(), false);
}, { expectsFailures: true });

check("a part that fails leaves the others", async ({ page, stack }) => {
  stack.settings.fault = ({ path }) => (path.startsWith("/api/orders") ? { status: 500, ...problem("internal") } : undefined);
  await signIn(page, stack);
  await page.getByText("This part could not be loaded.").waitFor();
  await page.getByRole("alert").getByText("Something went wrong").waitFor();
  assert.match(await page.locator("#profile").innerText(), /ana@example.com/);
}, { expectsFailures: true });

check("offline is said in words, and the page continues when it is online", async ({ page, stack, context }) => {
  await signIn(page, stack);
  await context.setOffline(true);
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByRole("alert").getByText("You are offline").waitFor();
  await axe(page);
  await context.setOffline(false);
  await page.getByRole("alert").waitFor({ state: "hidden" });
}, { expectsFailures: true });

check("a service that does not answer is said in words", async ({ page, stack }) => {
  await page.clock.install();
  stack.settings.fault = ({ path }) => (path === "/api/config" ? { hang: true } : undefined);
  await page.goto(stack.page);
  await until(() => stack.log.api.length === 1);
  await stack.close();
  await heading(page, "The service does not answer");
}, { expectsFailures: true });

check("settings that cannot be read are said in words", async ({ page, stack }) => {
  stack.settings.fault = () => ({ status: 404, ...problem("not-found") });
  await page.goto(stack.page);
  await heading(page, "Something went wrong");
  stack.settings.fault = () => undefined;
  await page.getByRole("button", { name: "Try again" }).click();
  await heading(page, "Tea & Paper");
}, { expectsFailures: true });

// Everyone can read it

check("axe finds nothing in light and in dark, and dark is dark", async ({ page, stack }) => {
  await signIn(page, stack);
  const brightness = () => page.evaluate(() => Number(getComputedStyle(document.body).backgroundColor.match(/\d+/)[0]));
  assert.ok((await brightness()) > 200);
  await axe(page);
  // Without transitions, so that axe sees the final colors.
  await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
  assert.ok((await brightness()) < 50);
  await axe(page);
});

check("works with the keyboard only", async ({ page, stack }) => {
  await page.goto(stack.page);
  await heading(page, "Tea & Paper");
  for (const stop of ["content", "language", "sign-in-action"]) {
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.hash?.slice(1) ?? document.activeElement.id), stop);
  }
  await page.keyboard.press("Enter");
  await heading(page, "Hello, Ana Martínez");
  const order = [];
  for (let count = 0; count < 40; count += 1) {
    await page.keyboard.press("Tab");
    order.push(await page.evaluate(() => document.activeElement.id || document.activeElement.dataset.key || document.activeElement.className));
    if (order.at(-1) === "more-orders") break;
  }
  assert.deepEqual(order.filter((id) => id !== ""), [
    "skip", "language", "sign-out", "reload", "shipped-2045", "refund 2043/1", "welcome", "more-orders",
  ]);
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, "solid");
  await page.keyboard.press("Enter");
  await until(async () => (await page.locator("#orders li").count()) === 20);
});

check("the skip link goes to the content", async ({ page, stack }) => {
  await signIn(page, stack);
  await page.locator(".skip").focus();
  await page.keyboard.press("Enter");
  assert.equal(await focused(page), "content");
});

for (const language of LANGUAGES) {
  check(`reads in ${language}, fits 320 pixels, and axe finds nothing`, async ({ page, stack }) => {
    await page.goto(stack.page);
    await page.locator("#sign-in-action:visible").waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), language);
    await narrow(page);
    await page.locator("#sign-in-action").click();
    await page.locator("#dashboard:visible").waitFor();
    await narrow(page);
    await axe(page);
    const shown = (await page.locator("body").innerText()).split(/\s+/);
    assert.deepEqual(shown.filter((word) => word in englishTexts), [], "keys instead of texts");
    assert.equal(stack.log.authorize[0].lang, language === "pt" ? "pt-BR" : language);
  }, { locale: language === "pt" ? "pt-BR" : language, viewport: { width: 320, height: 640 } });
}

check("the chosen language is remembered, and an unknown one is English", async ({ page, stack }) => {
  await signIn(page, stack);
  await page.getByLabel("Language").selectOption("ja");
  await page.getByText("最近のアクティビティ").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "ja");
  await page.reload();
  await heading(page, "こんにちは、Ana Martínez さん");
}, { locale: "fi-FI" });

check("nothing moves if the viewer wants reduced motion", async ({ page, stack }) => {
  await signIn(page, stack);
  stack.settings.fault = () => ({ hang: true });
  await page.getByRole("button", { name: "Reload" }).click();
  const animation = () => page.locator("#reload svg").evaluate((node) => getComputedStyle(node).animationName);
  assert.equal(await animation(), "turn");
  await page.emulateMedia({ reducedMotion: "reduce" });
  assert.equal(await animation(), "none");
});

check("sends requests only to its own host and to the login", async ({ page, stack }) => {
  const hosts = new Set();
  page.on("request", (request) => hosts.add(new URL(request.url()).origin));
  await signIn(page, stack);
  await page.getByRole("button", { name: "Sign out" }).click();
  await heading(page, "Tea & Paper");
  assert.deepEqual([...hosts].sort(), [stack.page, stack.login].sort());
});

check("the vendored library is loaded as it is in the package", async () => {
  const packaged = createRequire(import.meta.url).resolve("oidc-client-ts/package.json").replace("package.json", "dist/browser/oidc-client-ts.min.js");
  assert.deepEqual(await readFile(join(FOLDER, "vendor/oidc-client-ts.min.js")), await readFile(packaged));
  assert.deepEqual((await readdir(join(FOLDER, "locales"))).sort(), LANGUAGES.map((language) => `${language}.json`));
});

// Helpers

const heading = (page, text) => page.locator("h1:visible").getByText(text, { exact: true }).or(page.locator("h1:visible", { hasText: text })).first().waitFor();

/** The paths of the requests for the dashboard, oldest first. */
const dashboards = (stack) => stack.log.api.map(({ path }) => path).filter((path) => path.startsWith("/api/dashboard"));

/** What the tab keeps about its own writes. */
const storedWrites = (page) => page.evaluate(() => JSON.parse(sessionStorage.getItem("own-writes")));

/** What a shop in the same page does after an order. */
const announceWrite = (page, detail) => page.evaluate((value) => dispatchEvent(new CustomEvent("own-write", { detail: value })), detail);

const notice = (page, text) => page.locator("#sign-in-notice:visible", { hasText: text }).waitFor();

const focused = (page) => page.evaluate(() => document.activeElement.id);

async function signIn(page, stack, title = undefined) {
  await page.goto(stack.page);
  await page.locator("#sign-in-action").click();
  if (title === undefined) await page.locator("#dashboard:visible").waitFor();
  else await heading(page, title);
}

/** Presses the button, and waits until all three answers are shown. */
async function reload(page) {
  const answered = page.waitForResponse((response) => response.url().includes("/api/orders") && response.status() === 200);
  await page.locator("#reload").click();
  await answered;
  await page.locator("#reload:not([aria-disabled])").waitFor();
}

async function until(condition, milliseconds = 10_000) {
  const end = Date.now() + milliseconds;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`timeout: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** No horizontal scrolling at 320 pixels. */
async function narrow(page) {
  await page.setViewportSize({ width: 320, height: 640 });
  const [content, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= width, `${content} pixels of content in ${width}`);
}

async function axe(page) {
  await page.evaluate(`${axeSource}; undefined`);
  const violations = await page.evaluate(async () => (await globalThis.axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes[0].html} ${nodes[0].failureSummary}`));
  assert.deepEqual(violations, []);
}

async function runCheck(browser, { name, run, context: { expectsFailures = false, isPure = false, ...contextOptions } }) {
  if (isPure) return run();
  const stack = await startStack(FOLDER);
  const context = await browser.newContext({ locale: "en-US", timezoneId: "Europe/Berlin", ...contextOptions });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // The browser itself reports each answer that is an error.
    const isExpected = expectsFailures && message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !isExpected) complaints.push(message.text());
  });
  try {
    await run({ page, stack, context });
    assert.deepEqual(complaints, [], "console");
  } finally {
    await context.close();
    await stack.close();
  }
}

async function takeScreenshots(browser, folder) {
  await mkdir(folder, { recursive: true });
  for (const [name, colorScheme, width, locale] of [
    ["light", "light", 1240, "en-US"], ["dark", "dark", 1240, "en-US"], ["narrow", "light", 320, "de-DE"], ["ja", "light", 1240, "ja"],
  ]) {
    const stack = await startStack(FOLDER);
    const context = await browser.newContext({ locale, colorScheme, timezoneId: "Europe/Berlin", viewport: { width, height: 820 }, deviceScaleFactor: 1 });
    const page = await context.newPage();
    await page.goto(stack.page);
    await page.locator("#sign-in-action:visible").waitFor();
    await page.screenshot({ path: join(folder, `${name}-sign-in.png`) });
    await page.locator("#sign-in-action").click();
    await page.locator("#dashboard:visible").waitFor();
    for (const isEvicted of [false, false, true, false, false, false]) {
      if (isEvicted) stack.evict();
      await reload(page);
    }
    stack.settings.applyMilliseconds = 100_000;
    await page.locator("#notifications button").first().click();
    await page.evaluate(() => document.activeElement.blur());
    await page.screenshot({ path: join(folder, `${name}-dashboard.png`), fullPage: true });
    stack.settings.fault = () => ({ status: 403, ...problem("suspended") });
    await page.locator("#reload").click();
    await page.locator("#problem:visible").waitFor();
    await page.screenshot({ path: join(folder, `${name}-suspended.png`) });
    await context.close();
    await stack.close();
  }
}

const home = await mkdtemp(join(tmpdir(), "web-tests-"));
const browser = await chromium.launch({
  executablePath: options.chromium,
  // The sandbox of Chromium needs rights that containers do not have. The page comes from this repository.
  args: ["--no-sandbox"],
  env: { ...process.env, HOME: home },
});
let failed = 0;
try {
  if (options.screenshots) await takeScreenshots(browser, options.screenshots);
  else {
    const selected = checks.filter(({ name }) => names.length === 0 || names.some((part) => name.includes(part)));
    for (const one of selected) {
      try {
        await runCheck(browser, one);
        console.log(`ok      ${one.name}`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED  ${one.name}\n${String(error.stack ?? error).replace(/^/gm, "        ")}`);
      }
    }
    console.log(`${selected.length - failed} of ${selected.length} checks passed`);
    if (selected.length === 0) failed = 1;
  }
} finally {
  await browser.close();
  await rm(home, { recursive: true, force: true });
}
process.exitCode = failed > 0 ? 1 : 0;
