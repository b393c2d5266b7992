// The page: what it knows, which view is visible, and what the buttons do.

import { Api, readConfig } from "./api.js";
import { renderDashboard } from "./dashboard.js";
import { byId, element } from "./dom.js";
import { currentLanguage, formatSeconds, LANGUAGES, preferredLanguage, rememberLanguage, setLanguage, text } from "./language.js";
import { Problem } from "./problem.js";
import { Session } from "./session.js";
import { renderStrip } from "./strip.js";
import { OwnWrites, PAUSE_MILLISECONDS, WAIT_MILLISECONDS } from "./writes.js";

/** Problems after which nothing of the user's data may stay on the screen. */
const FINAL_PROBLEMS = ["expired", "suspended", "missing"];

let config;
let session;
let api;
/** The `sub` of the user who is signed in. */
let user;
/** The changes of the user that the page waits for. */
let writes;
/** What the dashboard shows. */
let shown;
/** The problem that the view or the banner shows. */
let problem;
let view = "loading";
/** Counts how often the data was forgotten: a change of it ends `watchWrites`. */
let round = 0;
/** The round in which `watchWrites` runs. */
let watchedRound;
/** Numbers of the latest request for the dashboard, and of the latest one whose answer is shown. */
let requested = 0;
let answered = 0;

function forgetData() {
  shown = { dashboard: undefined, profile: undefined, orders: undefined, exchanges: [], marks: new Map(), isLate: false };
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
  // A shop in the same page. In the sandbox, it is the page around this one.
  addEventListener("own-write", ({ detail }) => attempt(() => waitForWrite(detail)));
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
  if (await session.resume()) {
    user = await session.user();
    writes = new OwnWrites({ storage: sessionStorage, user, maxCacheLifetimeSeconds: config.maxCacheLifetimeSeconds ?? 0 });
    for (const { kind, id } of writes.pending()) if (kind === "notification") shown.marks.set(id, "pending");
    return load();
  }
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
  // After a new sign-in, the same user still waits for a change.
  if (isSolvedBySignOut(problem)) writes?.clear();
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
  const pending = writes?.pending() ?? [];
  byId("change").hidden = pending.length === 0 && !shown.isLate;
  byId("change").textContent = pending.length > 0 ? text("change.pending") : lateSentence();
  renderDashboard({ ...shown, pendingOrders: pending.filter(({ kind }) => kind === "order").map(({ id }) => id) });
  if (shown.exchanges.length > 0) attempt(renderEngineers);
}

function problemWords({ kind, detail }) {
  const texts = text(`problem.${kind}.text`, { detail });
  return { title: text(`problem.${kind}.title`), text: texts.trim() };
}

const lateSentence = () => text("change.late", { time: formatSeconds(WAIT_MILLISECONDS / 1000) });

async function renderEngineers() {
  const expiresAt = await session.expiresAt();
  const { exchanges, isLate, dashboard } = shown;
  if (exchanges.length > 0) {
    renderStrip({ exchanges, write: writes?.latest(), isLate, lastChangedAt: dashboard.lastChangedAt, expiresAt });
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
  writes = undefined;
  OwnWrites.forget(sessionStorage);
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
  shown.isLate = false;
  giveUp(writes.expire());
  const dashboard = loadDashboard();
  // What is read after a dashboard that shows a change shows it, too.
  if (writes.pending().length > 0) await dashboard.catch(() => {});
  await finishLoading(dashboard);
  problem = undefined;
  show("dashboard");
  if (writes.pending().length > 0) attempt(watchWrites);
}

/** Loads what is not on the dashboard. Throws the worst problem of all parts. */
async function finishLoading(dashboard) {
  const target = shown;
  const after = writes.after();
  const parts = await Promise.allSettled([dashboard, api.profile(after), api.orders(undefined, after)]);
  const [, profile, orders] = parts;
  const problems = parts.map(({ reason }) => reason).filter((reason) => reason !== undefined);
  const worst = problems.find(({ kind }) => FINAL_PROBLEMS.includes(kind)) ?? problems[0];
  if (worst === undefined || target.dashboard !== undefined) {
    target.profile = profile.value ?? target.profile;
    target.orders = orders.value === undefined ? target.orders : pageOfOrders([], orders.value);
  }
  if (worst !== undefined) throw worst;
}

/** Loads the dashboard. Returns the write that it is the first one to show. */
async function loadDashboard() {
  const number = (requested += 1);
  const after = writes.after();
  const { data, exchange } = await api.dashboard(after);
  // A slow answer must not replace a newer one, nor appear after a sign-out.
  if (number < answered) return undefined;
  answered = number;
  shown.dashboard = data;
  shown.exchanges.push(exchange);
  if (data.isChangePending) writes.isStillPending(after);
  const write = data.isChangePending ? undefined : writes.confirm(after);
  const listed = new Set(data.notifications.map(({ id }) => id));
  const done = [...shown.marks.keys()].filter((id) => !listed.has(id) || (write?.kind === "notification" && id === write.id));
  for (const id of done) shown.marks.delete(id);
  if (done.length > 0) announce(text("notifications.done"));
  else if (write?.kind === "order") announce(text("orders.shown"));
  return write;
}

const pageOfOrders = (entries, { orders, next }) => ({ entries: [...entries, ...orders], next });

async function showMoreOrders() {
  const { entries, next } = shown.orders;
  const page = await api.orders(next, writes.after());
  // A second click, or a reload, was faster.
  if (shown.orders?.next !== next) return;
  shown.orders = pageOfOrders(entries, page);
  render();
  // The focus goes to the first order that is new.
  byId("orders").querySelectorAll("li")[entries.length]?.focus();
  announce(text("orders.loaded", { number: page.orders.length }));
}

async function markAsRead(id) {
  const { marks } = shown;
  const mine = round;
  const sentAt = Date.now();
  marks.set(id, "pending");
  render();
  announce(text("notifications.pending"));
  let after;
  try {
    after = await api.markAsRead(id);
  } catch (markProblem) {
    marks.delete(id);
    // The notification was erased or has expired: a new dashboard shows that.
    if (markProblem.kind === "missing") return reload();
    throw markProblem;
  }
  if (round !== mine) return;
  if (writes.add({ after, kind: "notification", id, sentAt })) return watchWrites();
  // It was read on another device. A cached answer can still list it.
  marks.set(id, "late");
  await loadDashboard();
  render();
}

/** A shop has placed an order, or changed something else: `{ sub, after, kind, id }`. */
async function waitForWrite({ sub, after, kind, id }) {
  if (writes === undefined || sub !== user || !writes.add({ after, kind, id: String(id) })) return;
  render();
  announce(text("change.pending"));
  await watchWrites();
}

/** Reads the dashboard each second until it shows all writes, or until the page gives up. */
async function watchWrites() {
  shown.isLate = false;
  render();
  if (watchedRound === round) return;
  const mine = (watchedRound = round);
  try {
    let isConfirmed = false;
    while (round === mine && writes.pending().length > 0) {
      // The next write has probably arrived, too.
      if (!isConfirmed) await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
      if (round !== mine) return;
      giveUp(writes.expire());
      isConfirmed = writes.pending().length > 0 && (await askOnce(mine));
      if (round === mine) render();
    }
  } finally {
    if (watchedRound === mine) watchedRound = undefined;
  }
}

/** One read of `watchWrites`. True if it shows a write. A service that fails for a moment is asked again. */
async function askOnce(mine) {
  let write;
  try {
    write = await loadDashboard();
  } catch (readProblem) {
    if (!(readProblem instanceof Problem) || FINAL_PROBLEMS.includes(readProblem.kind)) throw readProblem;
  }
  if (write !== undefined && write.kind !== "notification" && round === mine) await finishLoading();
  return write !== undefined;
}

/** Says that these writes have not arrived. */
function giveUp(late) {
  if (late.length === 0) return;
  for (const { kind, id } of late) if (kind === "notification") shown.marks.set(id, "late");
  shown.isLate = true;
  announce(lateSentence());
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
