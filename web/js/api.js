// Requests to the read API, which is behind the same host as this page.

import { noAnswer, Problem } from "./problem.js";

const TIMEOUT_MILLISECONDS = 15_000;
const ORDERS_PER_PAGE = 10;

/** The settings of the page: /api/config. */
export async function readConfig() {
  try {
    return await (await request("/api/config")).json();
  } catch (error) {
    // There is no user yet, so a 403 or 404 says nothing about an account.
    throw ["busy", "offline", "unreachable"].includes(error.kind) ? error : new Problem("failed", error.message);
  }
}

export class Api {
  #session;

  constructor(session) {
    this.#session = session;
  }

  /**
   * The dashboard, and what its answer says about the cache. The answer shows the write `after`, or has
   * `isChangePending`. The same holds for the other reads.
   */
  async dashboard(after) {
    const started = performance.now();
    const answer = await this.#send("GET", withQuery("/api/dashboard", { after }));
    const data = await answer.json();
    return { data, exchange: describe(answer, performance.now() - started, data.isChangePending) };
  }

  async profile(after) {
    return (await this.#send("GET", withQuery("/api/profile", { after }))).json();
  }

  /** One page of orders, newest first. `before` is the `next` of the page before. */
  async orders(before, after) {
    const path = withQuery("/api/orders", { limit: ORDERS_PER_PAGE, before, after });
    return (await this.#send("GET", path)).json();
  }

  /**
   * Returns when the service has taken the event: its `after`, because the dashboard shows the change later.
   * `undefined` if the notification was read before.
   */
  async markAsRead(id) {
    const answer = await this.#send("POST", `/api/notifications/${pathSegment(id)}/read`);
    return (await answer.json()).after;
  }

  async #send(method, path) {
    const send = async () => {
      const token = await this.#session.accessToken();
      return request(path, { method, headers: { Authorization: `Bearer ${token}` } });
    };
    try {
      return await send();
    } catch (problem) {
      if (problem.kind !== "expired") throw problem;
      // The API refused the token, for example because the clock of this device is wrong.
      await this.#session.refresh();
      return send();
    }
  }
}

/** The path with those parameters that have a value. Their order is fixed: each query is a key of the cache. */
function withQuery(path, parameters) {
  const query = String(new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined)));
  return query === "" ? path : `${path}?${query}`;
}

/**
 * An id as one segment of a path. API Gateway decodes the path once, so `/` and `?` are encoded twice: the
 * read API decodes again. `.` and `..` would be a step in the path, however they are encoded once.
 */
function pathSegment(id) {
  const segment = encodeURIComponent(id).replace(/^\.+$/, (dots) => dots.replaceAll(".", "%2E"));
  return segment.includes("%") ? encodeURIComponent(segment) : segment;
}

/** Sends a request. Throws a `Problem` if the answer is not a success. */
async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      ...options,
      // Personal data stays out of the browser's cache, and X-Cache and Age are those of this answer.
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
    });
  } catch {
    throw noAnswer();
  }
  if (answer.ok) return answer;
  throw await problem(answer);
}

async function problem(answer) {
  const isProblem = answer.headers.get("Content-Type")?.startsWith("application/problem+json");
  const { type, detail } = isProblem ? await answer.json().catch(() => ({})) : {};
  return new Problem(problemKind(answer.status, type), detail ?? `HTTP ${answer.status}`);
}

function problemKind(status, type) {
  if (status === 401) return "expired";
  // A firewall refuses with 403, too, and so does the API if the secret of the distribution is wrong.
  if (status === 403 && type?.endsWith?.(":suspended")) return "suspended";
  if (status === 404) return "missing";
  if (status === 429 || (status >= 502 && status <= 504)) return "busy";
  return "failed";
}

/** What CloudFront and the API say about an answer. */
function describe(answer, milliseconds, isPending) {
  // CloudFront sends "Hit from cloudfront", "RefreshHit from cloudfront", "Miss from cloudfront" and others.
  const word = answer.headers.get("X-Cache")?.split(" ")[0].toLowerCase();
  const cache = word === undefined ? "none" : word.endsWith("hit") ? "hit" : word === "miss" ? "miss" : "other";
  return {
    cache: isPending ? "pending" : cache,
    /** Seconds since CloudFront stored the answer. */
    age: Number(answer.headers.get("Age") ?? 0),
    etag: answer.headers.get("ETag") ?? undefined,
    milliseconds,
  };
}
