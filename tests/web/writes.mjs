// Checks of web/js/writes.js without a browser: storage and clock are fakes.

import { strict as assert } from "node:assert";
import { readFile } from "node:fs/promises";

import { reference } from "./stack.mjs";

// As a data URL: Node takes a file outside of a package for CommonJS.
const source = await readFile(new URL("../../web/js/writes.js", import.meta.url));
const { OwnWrites, isReference } = await import(`data:text/javascript;base64,${source.toString("base64")}`);

const [A, B, C] = ["a", "b", "c"].map((id) => reference({ source: "/shop", id }));
/** The longest lifetime of an answer is 60 s. A page arrives at most 5 s after it was rendered. */
const KEPT_SECONDS = 65;

function tab() {
  const items = new Map();
  const clock = { seconds: 1_000_000 };
  const storage = {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => items.set(key, value),
    removeItem: (key) => items.delete(key),
  };
  const open = (user = "ana") => new OwnWrites({ storage, user, maxCacheLifetimeSeconds: 60, now: () => clock.seconds * 1000 });
  return { items, clock, open };
}

const ids = (writes) => writes.map(({ id }) => id);
const add = (writes, ...references) => {
  for (const after of references) assert.equal(writes.add({ after, kind: "order", id: after }), true);
};

export const checks = [
  ["own writes: without a write, reads have no after", () => {
    const { items, open } = tab();
    const writes = open();
    assert.equal(writes.after(), undefined);
    assert.equal(writes.confirm(undefined), undefined);
    assert.equal(items.size, 0);
  }],
  ["own writes: a confirmed write is the key until no answer from before the change is left", () => {
    const { items, clock, open } = tab();
    const writes = open();
    add(writes, A);
    clock.seconds += 2;
    assert.deepEqual([writes.after(), ids(writes.pending())], [A, [A]]);
    const confirmed = writes.confirm(A);
    assert.equal(confirmed.confirmedAt - confirmed.sentAt, 2000);
    assert.deepEqual([writes.after(), ids(writes.pending())], [A, []]);
    assert.equal(writes.confirm(A), undefined, "it is confirmed once");
    clock.seconds += KEPT_SECONDS - 0.001;
    assert.equal(writes.after(), A);
    clock.seconds += 0.001;
    assert.equal(writes.after(), undefined);
    assert.deepEqual(writes.expire(), [], "it has arrived");
    assert.equal(items.size, 0);
  }],
  ["own writes: the oldest pending one is asked for first, and the latest confirmed one stays as the key", () => {
    const { open } = tab();
    const writes = open();
    add(writes, A, B);
    const asked = [];
    for (let count = 0; count < 2; count += 1) {
      asked.push(writes.after());
      writes.confirm(writes.after());
    }
    asked.push(writes.after());
    add(writes, C);
    asked.push(writes.after());
    assert.deepEqual(asked, [A, B, B, C]);
    writes.confirm(C);
    assert.deepEqual([writes.after(), writes.latest().id], [C, C]);
  }],
  ["own writes: pending ones take turns, so that one that never arrives hides no other", () => {
    const { clock, open } = tab();
    const writes = open();
    add(writes, A);
    clock.seconds += 0.3;
    add(writes, B, C);
    const asked = [];
    for (let count = 0; count < 5; count += 1) {
      const after = writes.after();
      asked.push(after);
      if (after === B) writes.confirm(B);
      else writes.isStillPending(after);
      clock.seconds += 1;
    }
    assert.deepEqual(asked, [A, B, C, A, C]);
    writes.confirm(C);
    clock.seconds += 57;
    assert.deepEqual(writes.expire(), []);
    writes.isStillPending(A);
    assert.deepEqual(ids(writes.expire()), [A]);
    assert.equal(writes.after(), C);
  }],
  ["own writes: one that does not arrive is given up after 60 seconds, and the others are not", () => {
    const { clock, open } = tab();
    const writes = open();
    add(writes, A);
    clock.seconds += 10;
    add(writes, B);
    clock.seconds += 49.999;
    writes.isStillPending(A);
    assert.deepEqual(writes.expire(), []);
    clock.seconds += 0.001;
    assert.deepEqual(writes.expire(), [], "it was not asked for since");
    writes.isStillPending(A);
    assert.deepEqual(ids(writes.expire()), [A]);
    assert.deepEqual([writes.expire(), writes.after()], [[], B]);
  }],
  ["own writes: one that is given up leaves the confirmed one as the key", () => {
    const { clock, open } = tab();
    const writes = open();
    add(writes, A);
    writes.confirm(A);
    add(writes, B);
    assert.equal(writes.after(), B);
    clock.seconds += 60;
    writes.isStillPending(B);
    assert.deepEqual(ids(writes.expire()), [B]);
    assert.equal(writes.after(), A);
  }],
  ["own writes: a page that is loaded again has them, and silently drops those that are over", () => {
    const { items, clock, open } = tab();
    add(open(), A);
    clock.seconds += 59;
    assert.deepEqual(ids(open().pending()), [A]);
    open().confirm(A);
    clock.seconds += KEPT_SECONDS - 1;
    assert.equal(open().after(), A);
    clock.seconds += 1;
    assert.equal(open().after(), undefined);
    add(open(), B);
    clock.seconds += 3600;
    const writes = open();
    assert.deepEqual(ids(writes.pending()), [B], "it may have arrived in the meantime");
    assert.deepEqual([writes.expire(), writes.after()], [[], B]);
    writes.isStillPending(B);
    assert.deepEqual([ids(writes.expire()), items.size], [[B], 0]);
  }],
  ["own writes: without room in the storage, the page waits until it is loaded again", () => {
    const { items } = tab();
    const full = { getItem: () => null, removeItem: () => {}, setItem: () => { throw new Error("full"); } };
    const writes = new OwnWrites({ storage: full, user: "ana", maxCacheLifetimeSeconds: 60, now: () => 1 });
    add(writes, A);
    assert.deepEqual([writes.after(), items.size], [A, 0]);
    assert.equal(writes.confirm(A).after, A);
  }],
  ["own writes: another user does not get them, and their own are not mixed with them", () => {
    const { items, open } = tab();
    add(open("ana"), A);
    const ben = open("ben");
    assert.deepEqual([ben.after(), items.size], [undefined, 0]);
    add(ben, B);
    assert.deepEqual([open("ana").after(), items.size], [undefined, 0]);
    add(open("ana"), A);
    OwnWrites.forget({ removeItem: (key) => items.delete(key) });
    assert.equal(open("ana").after(), undefined);
  }],
  ["own writes: a second write of the same event is one write", () => {
    const { clock, open } = tab();
    const writes = open();
    add(writes, A);
    writes.confirm(A);
    clock.seconds += 5;
    add(writes, A);
    assert.deepEqual(ids(writes.pending()), [A]);
  }],
  ["own writes: a clock that is set back ends the wait, and what another version stored is ignored", () => {
    const { items, clock, open } = tab();
    add(open(), A);
    clock.seconds -= 3600;
    assert.equal(open().after(), undefined);
    for (const stored of ["", "null", "[]", "{", '{"user":"ana"}', '{"user":"ana","writes":[{"after":"?","sentAt":1}]}', '{"user":"ana","writes":[null]}']) {
      items.set("own-writes", stored);
      assert.equal(open().after(), undefined, stored);
    }
  }],
  ["own writes: what is no reference is not waited for", () => {
    const encode = (text) => Buffer.from(text).toString("base64url");
    for (const after of [A, encode("/shop/orders#order-1001-placed"), encode("é#\u{1f4a1}"), encode("a%23b#c#d"), encode(`/s#${"x".repeat(1015)}`)]) {
      assert.equal(isReference(after), true, after);
    }
    const wrong = [
      undefined, null, 7, {}, "", "#", "a b", encode("/shop"), encode("#1"), encode("/shop#"), `${encode("/shop#10")}=`, "L3N+", "L3NoI2B",
      Buffer.from([0x2f, 0x23, 0xff]).toString("base64url"), encode(`/shop#${"x".repeat(1024)}`),
    ];
    for (const after of wrong) {
      assert.equal(isReference(after), false, String(after));
      assert.equal(tab().open().add({ after, kind: "order", id: "1" }), false);
    }
  }],
];
