// What the page needs, on the loopback interface: a server for web/, the read API behind a small model
// of CloudFront, and a login like Cognito's. The checks change `stack.settings` and read `stack.log`.

import { createHash, createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const SUB = "7d8ca528-4931-4254-9273-ea5ee853f271";
const CLIENT_ID = "web-test-client";
const SECRET = "signs the tokens of this test";
const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

/** Serves `folder`. Each test gets a stack of its own. */
export async function startStack(folder) {
  const stack = {
    settings: {
      tokenSeconds: 3600,
      /** How long the workers take until a change shows, in milliseconds. */
      applyMilliseconds: 1200,
      /** The lifetime of each answer in the cache, and the longest one of /api/config. */
      cacheSeconds: 60,
      /** True if each notification was read before, on another device. */
      wasRead: false,
      /** The user who signs in. */
      sub: SUB,
      /** Answer of the login instead of a code: `{ error, error_description }`. */
      loginError: undefined,
      /** Answer of the token endpoint to a refresh: an OAuth error code. */
      refreshError: undefined,
      /** `({ method, path, token }) => { status, body, type } | undefined`: an answer instead of the API's. */
      fault: () => undefined,
    },
    data: exampleData(),
    log: { authorize: [], token: [], revoked: [], logout: [], api: [] },
    cache: new Map(),
    /** The references of the events that are counted. */
    counted: new Set(),
    evict: () => stack.cache.clear(),
    /** A change of the data that `after` waits for. Nothing invalidates the cache. */
    change: (after, apply) => setTimeout(() => {
      apply(stack.data);
      stack.counted.add(after);
    }, stack.settings.applyMilliseconds).unref(),
  };
  const codes = new Map();
  const login = await listen((request, response, url) => answerLogin(stack, codes, request, response, url));
  const page = await listen(async (request, response, url) => {
    if (url.pathname.startsWith("/api/")) return answerApi(stack, login.address, request, response, url);
    return answerFile(folder, login.address, response, url);
  });
  stack.page = page.address;
  stack.login = login.address;
  stack.close = () => Promise.all([page.close(), login.close()]);
  return stack;
}

async function listen(answer) {
  const server = createServer(async (request, response) => {
    try {
      await answer(request, response, new URL(request.url, "http://127.0.0.1"));
    } catch (error) {
      console.error(error);
      response.writeHead(500).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return { address: `http://127.0.0.1:${server.address().port}`, close };
}

async function answerFile(folder, login, response, url) {
  const path = url.pathname === "/" ? "index.html" : normalize(url.pathname);
  const body = await readFile(join(folder, path)).catch(() => undefined);
  if (body === undefined) return response.writeHead(404).end();
  const policy = [
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", `connect-src 'self' ${login}`,
    "font-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
    // No text of the API can become markup: the browser refuses innerHTML and its like.
    "require-trusted-types-for 'script'",
  ];
  response.writeHead(200, {
    "Content-Type": TYPES[extname(path)] ?? "text/plain",
    "Content-Security-Policy": policy.join("; "),
    "X-Content-Type-Options": "nosniff",
  });
  response.end(body);
}

// The login

async function answerLogin(stack, codes, request, response, url) {
  const { settings, log } = stack;
  const cors = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*" };
  const json = (status, body) => response.writeHead(status, { ...cors, "Content-Type": "application/json" }).end(JSON.stringify(body));
  const redirect = (location) => response.writeHead(302, { Location: location }).end();
  if (request.method === "OPTIONS") return response.writeHead(204, cors).end();
  if (url.pathname === "/oauth2/authorize") {
    const query = Object.fromEntries(url.searchParams);
    log.authorize.push(query);
    const isValid = query.client_id === CLIENT_ID && query.response_type === "code" && query.code_challenge_method === "S256"
      && query.redirect_uri === `${stack.page}/`;
    if (!isValid) return response.writeHead(400).end("invalid request");
    if (settings.loginError) return redirect(`${query.redirect_uri}?${new URLSearchParams({ ...settings.loginError, state: query.state })}`);
    const code = randomUUID();
    codes.set(code, { challenge: query.code_challenge });
    return redirect(`${query.redirect_uri}?${new URLSearchParams({ code, state: query.state })}`);
  }
  if (url.pathname === "/oauth2/token") {
    const form = Object.fromEntries(new URLSearchParams(await bodyOf(request)));
    log.token.push(form);
    if (form.client_id !== CLIENT_ID) return json(400, { error: "invalid_client" });
    if (form.grant_type === "refresh_token") {
      if (settings.refreshError) return json(400, { error: settings.refreshError });
      // As Cognito without rotation: no new refresh token.
      return json(200, tokens(stack, form.refresh_token.split(".")[1]));
    }
    const code = codes.get(form.code);
    codes.delete(form.code);
    const challenge = createHash("sha256").update(form.code_verifier ?? "").digest("base64url");
    if (code?.challenge !== challenge) return json(400, { error: "invalid_grant" });
    const authTime = Math.floor(Date.now() / 1000).toString();
    return json(200, { ...tokens(stack, authTime), refresh_token: `refresh.${authTime}` });
  }
  if (url.pathname === "/oauth2/revoke") {
    log.revoked.push(Object.fromEntries(new URLSearchParams(await bodyOf(request))));
    return response.writeHead(200, cors).end();
  }
  if (url.pathname === "/logout") {
    const query = Object.fromEntries(url.searchParams);
    log.logout.push(query);
    return redirect(query.client_id === CLIENT_ID ? query.logout_uri : "about:blank");
  }
  return response.writeHead(404).end();
}

function tokens(stack, authTime) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: stack.settings.sub, iss: stack.login, iat: now, exp: now + stack.settings.tokenSeconds, auth_time: Number(authTime), jti: randomUUID() };
  return {
    access_token: sign({ ...claims, token_use: "access", client_id: CLIENT_ID }),
    id_token: sign({ ...claims, token_use: "id", aud: CLIENT_ID }),
    expires_in: stack.settings.tokenSeconds,
    token_type: "Bearer",
  };
}

const base64 = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const signature = (text) => createHmac("sha256", SECRET).update(text).digest("base64url");

function sign(claims) {
  const text = `${base64({ alg: "HS256", typ: "JWT" })}.${base64(claims)}`;
  return `${text}.${signature(text)}`;
}

function verify(token) {
  const [header, payload, given] = token.split(".");
  const expected = signature(`${header}.${payload}`);
  if (given?.length !== expected.length || !timingSafeEqual(Buffer.from(given), Buffer.from(expected))) return undefined;
  const claims = JSON.parse(Buffer.from(payload, "base64url"));
  return claims.token_use === "access" && claims.exp > Date.now() / 1000 ? claims : undefined;
}

async function bodyOf(request) {
  let body = "";
  for await (const chunk of request) body += chunk;
  return body;
}

// The API behind CloudFront

function answerApi(stack, login, request, response, url) {
  const path = url.pathname + url.search;
  const token = request.headers.authorization?.replace("Bearer ", "") ?? "";
  stack.log.api.push({ method: request.method, path, token });
  const send = ({ status, body, type = "application/problem+json", headers = {} }) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    response.writeHead(status, { "Content-Type": type, ...headers }).end(text);
  };
  const fault = stack.settings.fault({ method: request.method, path, token });
  if (fault) return fault.hang ? undefined : send({ body: { title: "Fault", status: fault.status }, ...fault });
  const key = `${path} ${token}`;
  const kept = stack.cache.get(key);
  if (request.method === "GET" && kept && Date.now() - kept.storedAt < stack.settings.cacheSeconds * 1000) {
    const age = Math.floor((Date.now() - kept.storedAt) / 1000);
    return send({ ...kept.answer, headers: { ...kept.answer.headers, "X-Cache": "Hit from cloudfront", Age: age } });
  }
  const answer = originAnswer(stack, login, request.method, url, token);
  if (answer.headers?.ETag) stack.cache.set(key, { storedAt: Date.now(), answer });
  send({ ...answer, headers: { ...answer.headers, "X-Cache": "Miss from cloudfront" } });
}

function originAnswer(stack, login, method, url, token) {
  const { data, settings } = stack;
  const after = url.searchParams.get("after");
  const page = (body) => {
    if (after !== null && !stack.counted.has(after)) {
      const headers = { "Cache-Control": "no-store", "Retry-After": "1" };
      return { status: 200, body: { ...body, isChangePending: true }, type: "application/json", headers };
    }
    const etag = `"${createHash("sha256").update(JSON.stringify(body)).digest("hex").slice(0, 32)}"`;
    return { status: 200, body, type: "application/json", headers: { ETag: etag, "Cache-Control": "max-age=0, s-maxage=60, stale-if-error=0" } };
  };
  if (url.pathname === "/api/config") {
    const { cacheSeconds: maxCacheLifetimeSeconds } = settings;
    return page({ issuer: login, clientId: CLIENT_ID, loginUrl: login, productName: data.productName, scopes: ["openid", "email", "profile"], maxCacheLifetimeSeconds });
  }
  if (verify(token) === undefined) return { status: 401, body: { title: "Unauthorized", status: 401 }, headers: { "WWW-Authenticate": "Bearer" } };
  // API Gateway decodes the path once. The read API takes the segment as it is, or decodes it again.
  const read = /^\/api\/notifications\/([^/]+)\/read$/.exec(decodeURIComponent(url.pathname));
  if (read && method === "POST") {
    const ids = [read[1], decodeURIComponent(read[1])];
    const id = data.dashboard.notifications.map((entry) => entry.id).find((known) => ids.includes(known));
    if (id === undefined) return { status: 404, body: { title: "Not found", status: 404 } };
    const event = { source: "/read-api", id: `read-${id}` };
    if (settings.wasRead) return { status: 202, body: event, type: "application/json" };
    const after = reference(event);
    stack.change(after, ({ dashboard }) => {
      dashboard.notifications = dashboard.notifications.filter((entry) => entry.id !== id);
      dashboard.statistics.unreadNotifications = dashboard.notifications.length;
    });
    return { status: 202, body: { ...event, after }, type: "application/json" };
  }
  if (url.pathname === "/api/dashboard") return page(data.dashboard);
  if (url.pathname === "/api/profile") return page(data.profile);
  if (url.pathname === "/api/orders") {
    const start = Number(url.searchParams.get("before") ?? 0);
    const end = start + Number(url.searchParams.get("limit") ?? 20);
    return page({ orders: data.orders.slice(start, end), next: end < data.orders.length ? String(end) : undefined });
  }
  return { status: 404, body: { title: "Not found", status: 404 } };
}

/** The value of `after` for an event. */
export const reference = ({ source, id }) => Buffer.from(`${source}#${id}`).toString("base64url");

// Data

const at = (minutesAgo) => new Date(Date.now() - minutesAgo * 60_000).toISOString();

function exampleData() {
  const items = ["Tea from Uji, second harvest", "Two notebooks, dotted", "Espresso cups, set of four"];
  const orders = Array.from({ length: 45 }, (_, index) => ({
    at: at(47 + index * 1500),
    type: index === 2 ? "order.cancelled" : "order.placed",
    orderId: `A-${2045 - index}`,
    amount: (18.4 + index * 3.75).toFixed(2),
    currency: index % 9 === 4 ? "JPY" : "EUR",
  }));
  return {
    productName: "Tea & Paper",
    orders,
    profile: { sub: SUB, username: "ana", preferredUsername: "ana.m", email: "ana@example.com", isEmailVerified: true, name: "Ana Martínez", createdAt: at(160_000) },
    dashboard: {
      user: { sub: SUB, name: "Ana Martínez", username: "ana", createdAt: at(160_000) },
      statistics: {
        orders: 45, ordersCancelled: 1, activities: 128, passwordResets: 1, unreadNotifications: 3,
        spent: [{ currency: "EUR", amount: "4284.15" }, { currency: "JPY", amount: "18200" }],
        confirmedAt: at(159_990),
      },
      activities: [
        { at: at(5), type: "activity.recorded", detail: `Looked at ${items[2]}` },
        { at: at(47), type: "order.placed", detail: "A-2045" },
        { at: at(52), type: "activity.recorded", detail: `Looked at ${items[0]}` },
        { at: at(1490), type: "notification.created", detail: "shipped-2044" },
        { at: at(1547), type: "order.placed", detail: "A-2044" },
        { at: at(3047), type: "order.cancelled", detail: "A-2043" },
        { at: at(4100), type: "user.password_reset" },
      ],
      notifications: [
        { id: "shipped-2045", title: "Your order A-2045 is on its way", at: at(31) },
        { id: "refund 2043/1", title: "We refunded order A-2043", at: at(2900) },
        { id: "welcome", at: at(159_000) },
      ],
      lastChangedAt: at(5),
    },
  };
}
