// The sections of the dashboard: figures, activities, notifications, orders, profile.

import { byId, element, replace, written } from "./dom.js";
import {
  formatDate, formatDateAndTime, formatDay, formatMoney, formatNumber, formatTime, optionalText, text, timeZone,
} from "./language.js";

/**
 * Shows what is loaded. `dashboard`, `profile` and `orders` are undefined if they could not be loaded.
 * `pendingOrders` are the ids of orders that the list does not have yet.
 */
export function renderDashboard({ dashboard, profile, orders, marks, pendingOrders }) {
  byId("greeting").replaceChildren(...greeting(dashboard?.user.name ?? usernameOf(dashboard?.user)));
  renderFigures(dashboard?.statistics);
  renderActivities(dashboard?.activities);
  renderNotifications(dashboard?.notifications, marks);
  renderOrders(orders, pendingOrders);
  renderProfile(profile, dashboard?.statistics.confirmedAt);
}

/** A name that the user knows. Users who sign up with an email address have their sub as the username. */
function usernameOf(user) {
  return user?.preferredUsername ?? (user?.username === user?.sub ? undefined : user.username);
}

/** "Hello, Ana" with the name as an element of its own. */
function greeting(name) {
  if (name === undefined) return [text("greeting.unnamed")];
  const [before, after] = text("greeting.named").split("{name}");
  return [before, written(name), after];
}

function renderFigures(statistics) {
  if (statistics === undefined) return byId("figures").replaceChildren();
  const { orders, ordersCancelled, spent, activities, unreadNotifications } = statistics;
  const cancelled = ordersCancelled > 0 ? text("figures.canceled", { number: formatNumber(ordersCancelled) }) : undefined;
  const amounts = spent.map(({ amount, currency }) => element("dd", { class: "amount" }, formatMoney(amount, currency)));
  byId("figures").replaceChildren(
    figure("orders", element("dd", {}, formatNumber(orders)), cancelled && element("dd", { class: "note" }, cancelled)),
    figure("spent", ...(amounts.length > 0 ? amounts : [element("dd", {}, "–")])),
    figure("activities", element("dd", {}, formatNumber(activities))),
    figure("unread", element("dd", {}, formatNumber(unreadNotifications))),
  );
}

const figure = (key, ...values) => element("div", {}, element("dt", {}, text(`figures.${key}`)), ...values);

function renderActivities(activities) {
  const days = groupByDay(activities ?? []);
  const groups = [...days].flatMap(([day, entries]) => [
    element("h3", {}, day),
    element("ul", { class: "timeline" }, ...entries.map(activity)),
  ]);
  byId("activities").replaceChildren(...(groups.length > 0 ? groups : [empty(activities, "activities.none")]));
  byId("time-zone").textContent = text("activities.zone", { zone: timeZone() });
}

function activity({ at, type, detail }) {
  return element(
    "li",
    {},
    element("time", { datetime: at }, formatTime(at)),
    element(
      "span",
      {},
      // Types of later versions have no text yet.
      element("strong", {}, optionalText(`event.${type}`) ?? written(type)),
      detail === undefined ? undefined : element("span", { class: "detail" }, written(detail)),
    ),
  );
}

/** `marks` maps the id of a notification to the state of its "mark as read": `pending` or `late`. */
function renderNotifications(notifications, marks) {
  const entries = (notifications ?? []).map((notification) => notificationEntry(notification, marks.get(notification.id)));
  const list = entries.length > 0 ? element("ul", { class: "notifications" }, ...entries) : empty(notifications, "notifications.none");
  byId("notifications").setAttribute("aria-busy", String([...marks.values()].includes("pending")));
  replace(byId("notifications"), [list], byId("notifications-heading"));
}

function notificationEntry({ id, title, at }, mark) {
  const name = element("strong", {}, title === undefined ? text("notifications.untitled") : written(title));
  const time = element("time", { datetime: at, class: "muted small" }, formatDateAndTime(at));
  // A button that waits keeps the focus, so it is not disabled.
  const attributes = { type: "button", "data-key": id, "aria-disabled": mark === undefined ? undefined : "true" };
  const button = element("button", attributes, text(mark === undefined ? "notifications.read" : `notifications.${mark}`));
  // Screen readers hear which notification the button is for.
  button.setAttribute("aria-label", `${button.textContent}: ${name.textContent}`);
  return element("li", { class: mark }, element("div", {}, name, time), button);
}

function renderOrders(orders, pendingOrders) {
  const listed = new Set((orders?.entries ?? []).map(({ orderId }) => orderId));
  const pending = pendingOrders.filter((id) => !listed.has(id));
  const entries = [...pending.map(pendingOrder), ...(orders?.entries ?? []).map(order)];
  byId("orders").setAttribute("aria-busy", String(pending.length > 0));
  const list = entries.length > 0 ? element("ul", { class: "orders" }, ...entries) : empty(orders, "orders.none");
  byId("orders").replaceChildren(list);
  byId("more-orders").hidden = orders?.next === undefined;
}

/** An order that was placed a moment ago. The amount is not known here. */
const pendingOrder = (id) =>
  element("li", { class: "pending" }, element("strong", {}, written(id)), element("span", { class: "price" }, text("orders.pending")));

function order({ at, type, orderId, amount, currency }) {
  const kind = type === "order.cancelled" ? "canceled" : "placed";
  return element(
    "li",
    { class: kind, tabindex: "-1" },
    element("strong", {}, written(orderId)),
    element("span", { class: "price" }, formatMoney(kind === "canceled" ? `-${amount}` : amount, currency)),
    element(
      "span",
      { class: "muted small" },
      text(`orders.${kind}`),
      " · ",
      element("time", { datetime: at }, formatDateAndTime(at)),
    ),
  );
}

function renderProfile(profile, confirmedAt) {
  if (profile === undefined) return byId("profile").replaceChildren();
  const { name, email, isEmailVerified, createdAt, sub } = profile;
  const username = usernameOf(profile);
  const verified = element("span", { class: "badge" }, text(isEmailVerified ? "profile.verified" : "profile.unverified"));
  const since = createdAt ?? confirmedAt;
  const pairs = [
    ["name", name && written(name)],
    ["username", username && written(username)],
    ["email", email && element("span", {}, written(email), " ", verified)],
    ["since", since && element("time", { datetime: since }, formatDate(since))],
    ["id", element("code", {}, written(sub))],
  ];
  const shown = pairs.filter(([, value]) => value);
  byId("profile").replaceChildren(
    ...shown.map(([key, value]) => element("div", {}, element("dt", {}, text(`profile.${key}`)), element("dd", {}, value))),
  );
}

const empty = (data, key) => element("p", { class: "muted" }, text(data === undefined ? "notLoaded" : key));

function groupByDay(activities) {
  const days = new Map();
  for (const entry of activities) {
    const day = formatDay(entry.at);
    days.set(day, [...(days.get(day) ?? []), entry]);
  }
  return days;
}
