// Drives Chromium for tests/e2e/browser.py. Reads one command per line from standard input, as JSON, and writes one
// line with its result to standard output: {"result": …} or {"error": "…"}. Ends when standard input ends.
//
//     node browser.mjs PORT
//
// The page keeps its production host names: Chromium resolves them to MiniStack, which listens on PORT.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// Installed once, for the tests of the page and for this one.
const { chromium } = createRequire(new URL("../../web/", import.meta.url))("playwright-core");

const PROGRAMS = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"];
const HOSTS = ["*.cloudfront.net", "*.amazonaws.com", "*.amazoncognito.com"];
const TIMEOUT_MILLISECONDS = 15_000;

/** Tabs by name. Each is a browser profile of its own. */
const tabs = new Map();

const commands = {
  /** Opens the page as a new visitor. */
  async open({ tab, url, dark = false, width = 1100, height = 900 }) {
    const context = await browser.newContext({
      ignoreHTTPSErrors: true,
      locale: "en-GB",
      timezoneId: "Europe/Berlin",
      colorScheme: dark ? "dark" : "light",
      viewport: { width, height },
    });
    context.setDefaultTimeout(TIMEOUT_MILLISECONDS);
    const page = await context.newPage();
    // Time passes as usual, until `advance` moves it.
    await page.clock.install();
    const complaints = [];
    page.on("console", (message) => {
      const { url: source } = message.location();
      // MiniStack's login pages have no icon.
      if (message.type() === "error" && source.startsWith(url)) complaints.push(`${message.text()} ${source}`);
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    tabs.set(tab, { context, page, complaints });
    await page.goto(url);
    await visibleView(page);
  },

  /** Signs in at managed login, whose pages MiniStack serves. Returns the host of the form. */
  async signIn({ tab, email, password }) {
    const { page } = tabs.get(tab);
    await page.click("#sign-in-action");
    await page.fill("#username", email);
    const { host } = new URL(page.url());
    await page.fill("#password", password);
    await page.click("button[type=submit]");
    await visibleView(page);
    return host;
  },

  /** Reloads the data of the dashboard, with its button. */
  async reload({ tab }) {
    const { page } = tabs.get(tab);
    await page.click("#reload");
    await page.waitForFunction(() => !document.getElementById("reload").hasAttribute("aria-disabled"));
  },

  /** Reloads the page, with the browser's button. */
  async reloadPage({ tab }) {
    const { page } = tabs.get(tab);
    await page.reload();
    await visibleView(page);
  },

  async markAsRead({ tab, id }) {
    await tabs.get(tab).page.click(`#notifications button[data-key="${id}"]`);
  },

  /** Says to the page what a shop in it would say after a write: `{ sub, after, kind, id }`. */
  async ownWrite({ tab, detail }) {
    await tabs.get(tab).page.evaluate((value) => dispatchEvent(new CustomEvent("own-write", { detail: value })), detail);
  },

  /** Moves the clock of the tab, as if the laptop had slept: timers that are due fire once. */
  async advance({ tab, seconds }) {
    await tabs.get(tab).page.clock.fastForward(seconds * 1000);
  },

  /** Signs out, through managed login and back. */
  async signOut({ tab }) {
    const { page } = tabs.get(tab);
    await page.click("#sign-out");
    await page.waitForSelector("#sign-in", { state: "visible" });
  },

  /** What a person sees. */
  async read({ tab }) {
    const { page } = tabs.get(tab);
    return page.evaluate(readPage);
  },

  /** The tokens of the session, which an attacker could take from another device. Null without a session. */
  async tokens({ tab }) {
    return tabs.get(tab).page.evaluate(() => {
      const key = Object.keys(sessionStorage).find((name) => name.startsWith("oidc.user:"));
      return key ? JSON.parse(sessionStorage.getItem(key)) : null;
    });
  },

  async screenshot({ tab, path, dark }) {
    const { page } = tabs.get(tab);
    if (dark !== undefined) await page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
    await page.screenshot({ path, animations: "disabled" });
  },

  /** Errors of the console and of scripts since the last call. */
  async complaints({ tab }) {
    return tabs.get(tab).complaints.splice(0);
  },

  async close({ tab }) {
    await tabs.get(tab).context.close();
    tabs.delete(tab);
  },
};

/** Waits until one of the page's views is visible. */
async function visibleView(page) {
  await page.waitForSelector("#sign-in:not([hidden]), #problem:not([hidden]), #dashboard:not([hidden])");
}

/** Runs in the page. */
function readPage() {
  const words = (node) => node?.textContent.replace(/\s+/g, " ").trim() ?? "";
  const pairs = (id) =>
    Object.fromEntries(
      [...document.querySelectorAll(`#${id} > div`)].map((pair) => [
        words(pair.querySelector("dt")),
        [...pair.querySelectorAll("dd")].map(words).join(", "),
      ]),
    );
  const texts = (selector) => [...document.querySelectorAll(selector)].map(words);
  const view = [...document.querySelectorAll(".view")].find((node) => !node.hidden);
  const banner = document.getElementById("banner");
  return {
    view: view.id,
    heading: words(view.querySelector("h1")),
    text: words(view.querySelector(".lead")),
    notice: words(view.querySelector(".notice:not([hidden])")),
    banner: banner.hidden ? "" : words(banner),
    figures: pairs("figures"),
    strip: pairs("strip"),
    profile: pairs("profile"),
    activities: texts("#activities li"),
    notifications: texts("#notifications li strong"),
    buttons: texts("#notifications li button"),
    orders: texts("#orders li:not(.pending)"),
    pendingOrders: texts("#orders li.pending"),
  };
}

const program = PROGRAMS.find((path) => path && existsSync(path));
if (!program) throw new Error("No Chromium. Install it, such as with apt-get install chromium, or set CHROMIUM to its path.");
const port = process.argv[2];
const browser = await chromium.launch({
  executablePath: program,
  args: [
    "--no-sandbox",
    `--host-resolver-rules=${HOSTS.map((host) => `MAP ${host} 127.0.0.1:${port}`).join(", ")}, MAP * ~NOTFOUND`,
  ],
});
for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...options } = JSON.parse(line);
  let answer;
  try {
    answer = { result: (await commands[command](options)) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
