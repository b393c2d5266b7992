// Texts and formats in the viewer's language.

export const LANGUAGES = {
  de: "Deutsch",
  en: "English",
  es: "Español",
  fr: "Français",
  ja: "日本語",
  pt: "Português",
};
const REMEMBERED = "language";

let language = "en";
/** The language with the viewer's region, such as en-GB: it decides the formats of dates and numbers. */
let region = "en";
let texts = {};

/** The language that the viewer chose before, else the first of the browser's languages that we have. */
export function preferredLanguage() {
  const tags = [localStorage.getItem(REMEMBERED), ...navigator.languages];
  const codes = tags.map((tag) => tag?.split("-")[0].toLowerCase());
  return codes.find((code) => Object.hasOwn(LANGUAGES, code)) ?? "en";
}

/** Loads the texts of a language and fills the elements that have `data-text`. */
export async function setLanguage(code) {
  const answer = await fetch(`locales/${code}.json`);
  if (!answer.ok) throw new Error(`locales/${code}.json: ${answer.status}`);
  texts = await answer.json();
  language = code;
  region = navigator.languages.find((tag) => tag.split("-")[0].toLowerCase() === code) ?? code;
  document.documentElement.lang = code;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = text(node.dataset.text);
}

export function rememberLanguage(code) {
  localStorage.setItem(REMEMBERED, code);
}

export const currentLanguage = () => language;

/** The text of a key, with the values of its {placeholders}. A missing key shows as the key. */
export function text(key, values = {}) {
  const pattern = texts[key] ?? key;
  return pattern.replace(/\{(\w+)\}/g, (placeholder, name) => values[name] ?? placeholder);
}

/** The text of a key, or `undefined`. */
export const optionalText = (key) => (Object.hasOwn(texts, key) ? texts[key] : undefined);

export const formatNumber = (number) => new Intl.NumberFormat(region).format(number);

/** An amount of money. `amount` is a decimal string, which Intl formats without rounding it to a double. */
export function formatMoney(amount, currency) {
  try {
    return new Intl.NumberFormat(region, { style: "currency", currency }).format(amount);
  } catch {
    return `${amount} ${currency}`; // Not a currency code that Intl accepts.
  }
}

/** A duration in whole units: "42 sec", "5 min". */
export function formatSeconds(seconds) {
  const [value, unit] = seconds < 120 ? [seconds, "second"] : [Math.round(seconds / 60), "minute"];
  return formatUnit(value, unit);
}

export const formatMilliseconds = (value) => formatUnit(Math.round(value), "millisecond");

function formatUnit(value, unit) {
  return new Intl.NumberFormat(region, { style: "unit", unit, unitDisplay: "short" }).format(value);
}

export const formatDate = (time) => format(time, { dateStyle: "medium" });
export const formatTime = (time) => format(time, { timeStyle: "short" });
export const formatTimeWithSeconds = (time) => format(time, { timeStyle: "medium" });
export const formatDateAndTime = (time) => format(time, { dateStyle: "medium", timeStyle: "short" });

/** "today", "yesterday", or the date. */
export function formatDay(time, now = new Date()) {
  const days = Math.round((startOfDay(time) - startOfDay(now)) / 86_400_000);
  if (days < -1 || days > 0) return formatDate(time);
  return new Intl.RelativeTimeFormat(region, { numeric: "auto" }).format(days, "day");
}

/** The viewer's time zone, such as Europe/Berlin. */
export const timeZone = () => new Intl.DateTimeFormat().resolvedOptions().timeZone;

const format = (time, options) => new Intl.DateTimeFormat(region, options).format(new Date(time));

const startOfDay = (time) => new Date(time).setHours(0, 0, 0, 0);
