// What can go wrong, by kind. locales/*.json have `problem.{kind}.title` and `problem.{kind}.text`.

/**
 * - `offline`: the browser has no network.
 * - `unreachable`: no answer, or not in time.
 * - `busy`: the service says: later.
 * - `expired`: the session is over. Only a sign-in helps.
 * - `suspended`, `missing`: the account is suspended, or does not exist (any more).
 * - `failed`: everything else.
 */
export class Problem extends Error {
  constructor(kind, detail = "") {
    super(detail || kind);
    this.kind = kind;
    /** A sentence of the service, to show as text. */
    this.detail = detail;
  }
}

/** The problem of a request that got no answer. */
export const noAnswer = () => new Problem(navigator.onLine ? "unreachable" : "offline");
