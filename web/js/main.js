// The page: what it knows, which view is visible, and what the buttons do.

import { Api, readConfig } from "./api.js";
import { renderDashboard } from "./dashboard.js";
import { byId, element } from "./dom.js";
import { currentLanguage, LANGUAGES, preferredLanguage, rememberLanguage, setLanguage, text } from "./language.js";
import { Problem } from "./problem.js";
import { Session } from "./session.js";
import { renderStrip } from "./strip.js";

/**
 * Pauses in seconds between reads of the dashboard after "mark as read": 30 seconds in total. The page
 * changes when the event is applied and the cached answer is invalidated, usually after 15 to 20 seconds.
 */
const POLL_SECONDS = [1, 2, 3, 4, 5, 7, 8];
/** Problems after which nothing of the user's data may stay on the screen. */
const FINAL_PROBLEMS = ["expired", "suspended", "missing"];

let config;
let session;
let api;
/** What the dashboard shows. */
let shown;
/** The problem that the view or the banner shows. */
let problem;
let view = "loading";
/** Counts the rounds of `watchMarks`: a new one ends the one before. */
let round = 0;
/** Numbers of the latest request for the dashboard, and of the latest one whose answer is shown. */
let requested = 0;
let answered = 0;

function forgetData() {
  shown = { dashboard: undefined, profile: undefined, orders: undefined, exchanges: [], marks: new Map() };
  round += 1;
  answered = requested += 1;
}

async function start() {
  await setLanguage(preferredLanguage());
  for (const [code, name] of Object.entries(LANGUAGES)) {
    byId("language").append(element("option", { value: code, lang: code }, name));
  }
  byId("language").value = currentLanguage();
  byId("language").addEventListener("change", chooseLanguage);
  byId("sign-in-action").addEventListener("click", () => attempt(() => session.signIn(currentLanguage())));
  byId("sign-out").addEventListener("click", () => attempt(signOut));
  byId("problem-action").addEventListener("click", solve);
  byId("reload").addEventListener("click", () => attempt(reload));
  byId("more-orders").addEventListener("click", () => attempt(showMoreOrders));
  byId("notifications").addEventListener("click", ({ target }) => {
    const button = target.closest("button[data-key]");
    if (button && !button.hasAttribute("aria-disabled")) attempt(() => markAsRead(button.dataset.key));
  });
  addEventListener("online", () => problem?.kind === "offline" && solve());
  // Back after a sign-out must not show the page as the browser kept it.
  addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
  await attempt(begin);
}

/** Reads the settings, then shows the dashboard or the sign-in. */
async function begin() {
  config ??= await readConfig();
  document.title = config.productName;
  byId("product").textContent = config.productName;
  if (session === undefined) {
    session = new Session(config);
    api = new Api(session);
    session.keepFresh((refreshProblem) => {
      // A refresh without a network is tried again with the next request.
      if (refreshProblem?.kind === "expired") report(refreshProblem);
      else attempt(renderEngineers);
    });
  }
  if (await session.resume()) return load();
  problem = undefined;
  show("sign-in");
}

/** Runs an action. Every problem is shown in words. */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Problem)) console.error(error);
    report(error instanceof Problem ? error : new Problem("failed"));
  }
}

function report(newProblem) {
  problem = newProblem;
  if (FINAL_PROBLEMS.includes(problem.kind)) forgetData();
  if (["expired", "denied", "interrupted"].includes(problem.kind)) show("sign-in");
  else if (shown.dashboard === undefined) show("problem");
  // The data stays on the screen, with the problem above it.
  else show("dashboard");
}

/**
 * Makes one view visible, in the current language. A view that replaces another one gets the focus.
 * The first view does not: a new page is read from its start.
 */
function show(name) {
  const isNew = view !== name && view !== "loading";
  view = name;
  for (const node of document.querySelectorAll(".view")) node.hidden = node.id !== name;
  byId("sign-out").hidden = !["dashboard", "problem"].includes(name) || session === undefined;
  render();
  if (isNew) byId(name).querySelector("h1")?.focus();
}

function render() {
  const words = problem && problemWords(problem);
  byId("sign-in-heading").textContent = config?.productName ?? "";
  byId("sign-in-notice").hidden = problem === undefined;
  byId("sign-in-notice").textContent = words?.text ?? "";
  byId("problem-heading").textContent = words?.title ?? "";
  byId("problem-text").textContent = words?.text ?? "";
  byId("problem-action").textContent = text(isSolvedBySignOut(problem) ? "signOut" : "retry");
  byId("banner").hidden = problem === undefined;
  byId("banner").textContent = words === undefined ? "" : `${words.title}. ${words.text}`;
  renderDashboard(shown);
  if (shown.exchanges.length > 0) attempt(renderEngineers);
}

function problemWords({ kind, detail }) {
  const texts = text(`problem.${kind}.text`, { detail });
  return { title: text(`problem.${kind}.title`), text: texts.trim() };
}

async function renderEngineers() {
  const expiresAt = await session.expiresAt();
  if (shown.exchanges.length > 0) {
    renderStrip({ exchanges: shown.exchanges, lastChangedAt: shown.dashboard.lastChangedAt, expiresAt });
  }
}

const isSolvedBySignOut = (it) => it?.kind === "suspended" || it?.kind === "missing";

/** The button of the problem. */
function solve() {
  if (isSolvedBySignOut(problem)) return attempt(signOut);
  return attempt(shown.dashboard === undefined ? begin : reload);
}

async function signOut() {
  forgetData();
  problem = undefined;
  show("loading");
  await session.signOut();
}

async function reload() {
  byId("reload").setAttribute("aria-disabled", "true");
  try {
    await load();
  } finally {
    byId("reload").removeAttribute("aria-disabled");
  }
  if (problem === undefined) announce(text("reloaded", { cache: text(`cache.${shown.exchanges.at(-1).cache}`) }));
}

/** Loads everything. A part that fails leaves the others. */
async function load() {
  const parts = await Promise.allSettled([loadDashboard(), api.profile(), api.orders()]);
  const [, profile, orders] = parts;
  const problems = parts.map(({ reason }) => reason).filter((reason) => reason !== undefined);
  const worst = problems.find(({ kind }) => FINAL_PROBLEMS.includes(kind)) ?? problems[0];
  if (worst === undefined || shown.dashboard !== undefined) {
    shown.profile = profile.value ?? shown.profile;
    shown.orders = orders.value === undefined ? shown.orders : pageOfOrders([], orders.value);
  }
  if (worst !== undefined) throw worst;
  problem = undefined;
  show("dashboard");
}

async function loadDashboard() {
  const number = (requested += 1);
  const { data, exchange } = await api.dashboard();
  // A slow answer must not replace a newer one, nor appear after a sign-out.
  if (number < answered) return;
  answered = number;
  shown.dashboard = data;
  shown.exchanges.push(exchange);
  const listed = new Set(data.notifications.map(({ id }) => id));
  const done = [...shown.marks.keys()].filter((id) => !listed.has(id));
  for (const id of done) shown.marks.delete(id);
  if (done.length > 0) announce(text("notifications.done"));
}

const pageOfOrders = (entries, { orders, next }) => ({ entries: [...entries, ...orders], next });

async function showMoreOrders() {
  const { entries, next } = shown.orders;
  const page = await api.orders(next);
  // A second click, or a reload, was faster.
  if (shown.orders?.next !== next) return;
  shown.orders = pageOfOrders(entries, page);
  render();
  // The focus goes to the first order that is new.
  byId("orders").querySelectorAll("li")[entries.length]?.focus();
  announce(text("orders.loaded", { number: page.orders.length }));
}

async function markAsRead(id) {
  shown.marks.set(id, "pending");
  render();
  announce(text("notifications.pending"));
  try {
    await api.markAsRead(id);
  } catch (markProblem) {
    shown.marks.delete(id);
    // The notification was erased or has expired: a new dashboard shows that.
    if (markProblem.kind === "missing") return reload();
    throw markProblem;
  }
  await watchMarks();
}

/** Reads the dashboard with growing pauses until it no longer lists the notifications that were marked. */
async function watchMarks() {
  const mine = (round += 1);
  for (const seconds of POLL_SECONDS) {
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    if (round !== mine) return;
    await loadDashboard();
    if (round !== mine) return;
    render();
    if (shown.marks.size === 0) return;
  }
  for (const id of shown.marks.keys()) shown.marks.set(id, "late");
  render();
  announce(text("notifications.late"));
}

async function chooseLanguage({ target }) {
  await attempt(async () => {
    await setLanguage(target.value).catch(() => {
      target.value = currentLanguage();
      throw new Problem(navigator.onLine ? "unreachable" : "offline");
    });
    rememberLanguage(target.value);
    render();
  });
}

/** Lets a screen reader say a sentence. */
function announce(sentence) {
  // A new element: the same text twice would be no change, and no announcement.
  byId("announcement").replaceChildren(element("span", {}, sentence));
}

forgetData();
await start();
