// The strip for engineers: where the dashboard came from, and how fast.

import { byId, element, written } from "./dom.js";
import { formatMilliseconds, formatSeconds, formatTimeWithSeconds, formatDateAndTime, text } from "./language.js";

/** Answers in the picture of the latest requests. */
const MAX_HISTORY = 24;

/**
 * Shows the latest of the `exchanges` (see `describe` in api.js), and all of them as bars. `write` is the
 * latest own write (see writes.js), `isLate` says that one has not arrived.
 */
export function renderStrip({ exchanges, write, isLate, lastChangedAt, expiresAt }) {
  const { cache, age, etag, milliseconds } = exchanges.at(-1);
  const pairs = [
    ["strip.cache", element("span", { class: `cache ${cache}` }, text(`cache.${cache}`))],
    ["strip.age", cache === "hit" ? formatSeconds(age) : "–"],
    ["strip.answer", formatMilliseconds(milliseconds)],
    ["strip.write", describeWrite(write, isLate)],
    ["strip.changed", lastChangedAt === undefined ? "–" : moment(lastChangedAt)],
    ["strip.token", expiresAt === undefined ? "–" : moment(expiresAt)],
    ["strip.etag", etag === undefined ? "–" : element("code", { title: etag }, written(etag))],
  ];
  byId("strip").replaceChildren(
    ...pairs.map(([key, value]) => element("div", {}, element("dt", {}, text(key)), element("dd", {}, value))),
  );
  renderHistory(exchanges.slice(-MAX_HISTORY));
}

function describeWrite(write, isLate) {
  if (write === undefined) return isLate ? text("write.late") : "–";
  if (write.confirmedAt === undefined) return text("write.pending");
  return text("write.shown", { time: formatMilliseconds(write.confirmedAt - write.sentAt) });
}

function renderHistory(exchanges) {
  const slowest = Math.max(...exchanges.map(({ milliseconds }) => milliseconds));
  const bars = exchanges.map(({ cache, milliseconds }) => {
    const bar = element("span", { class: cache, title: description({ cache, milliseconds }) });
    bar.style.setProperty("--height", milliseconds / slowest);
    return bar;
  });
  const history = byId("strip-history");
  history.replaceChildren(...bars);
  history.setAttribute("aria-label", text("strip.history", { list: exchanges.map(description).join(", ") }));
}

const description = ({ cache, milliseconds }) => `${text(`cache.${cache}`)} ${formatMilliseconds(milliseconds)}`;

const moment = (time) => {
  const date = new Date(time);
  return element("time", { datetime: date.toISOString(), title: formatDateAndTime(date) }, formatTimeWithSeconds(date));
};
