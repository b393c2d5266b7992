// Own writes: the changes that this page waits for, and the `after` of its reads. Does no I/O: storage and
// clock are parameters. docs/read-your-writes.md has the protocol.

/** Pause between two reads while a change is pending. */
export const PAUSE_MILLISECONDS = 1000;
/** How long the page waits for a change. */
export const WAIT_MILLISECONDS = 60_000;

/** Maximum time from the read of the table to the arrival of the answer at CloudFront. */
const RENDER_SECONDS = 5;
/** Longest reference of the read API: 1,018 bytes in base64. */
const MAX_REFERENCE_LENGTH = 1358;
const STORAGE_KEY = "own-writes";

/**
 * The writes of one user in this tab. A write is `{ after, kind, id, sentAt, confirmedAt }`: `after` is its
 * reference, `kind` and `id` say what it changes, the times are in milliseconds. Without `confirmedAt` it is
 * pending.
 *
 * They are in `storage`, which is sessionStorage: a reload keeps them, and no other tab has them.
 */
export class OwnWrites {
  #storage;
  #user;
  #keepMilliseconds;
  #now;
  #writes = [];
  /** When a pending write was last asked for in this load of the page, and as which question. */
  #asked = new Map();

  /** Reads the writes of `user`. Forgets those of another user. */
  constructor({ storage, user, maxCacheLifetimeSeconds, now = Date.now }) {
    this.#storage = storage;
    this.#user = user;
    this.#keepMilliseconds = (maxCacheLifetimeSeconds + RENDER_SECONDS) * 1000;
    this.#now = now;
    this.#writes = read(storage, user);
    this.expire();
    this.#save();
  }

  /** Forgets the writes of every user. */
  static forget(storage) {
    storage.removeItem(STORAGE_KEY);
  }

  clear() {
    this.#writes = [];
    this.#save();
  }

  /** Waits for a write that was sent at `sentAt`. False if `after` is no reference, so there is nothing to wait for. */
  add({ after, kind, id, sentAt = this.#now() }) {
    if (!isReference(after)) return false;
    this.#writes = [...this.#writes.filter((write) => write.after !== after), { after, kind, id, sentAt }];
    this.#save();
    return true;
  }

  /** The writes that the page does not show yet, oldest first. */
  pending() {
    return this.#writes.filter(isPending);
  }

  /** The latest write: its state is what a person wants to know. */
  latest() {
    return this.#writes.at(-1);
  }

  /**
   * The `after` of the next reads: of the pending writes, the one that was asked for least recently,
   * otherwise the confirmed one. `undefined` if a read without it shows every write.
   *
   * The oldest one is not always first: if it never arrives, the others still do.
   */
  after() {
    const lastAsked = (write) => this.#asked.get(write.after)?.turn ?? 0;
    const [first] = this.pending().sort((one, other) => lastAsked(one) - lastAsked(other));
    const confirmed = this.#writes.filter((write) => !isPending(write) && !this.#isOver(write));
    return (first ?? confirmed.at(-1))?.after;
  }

  /** An answer to a read with this `after` says that the change is pending. */
  isStillPending(after) {
    const turns = [...this.#asked.values()].map(({ turn }) => turn);
    this.#asked.set(after, { turn: Math.max(0, ...turns) + 1, at: this.#now() });
  }

  /**
   * An answer to a read with this `after` shows the change. Returns the write if it was pending.
   *
   * The key of the cache stays this `after`: an answer from before the change can still have the other keys.
   * Keys of writes that were confirmed before are not needed: an answer for this one shows them, too.
   */
  confirm(after) {
    const write = this.pending().find((pending) => pending.after === after);
    if (write === undefined) return undefined;
    const confirmed = { ...write, confirmedAt: this.#now() };
    this.#writes = [confirmed, ...this.pending().filter((pending) => pending !== write)];
    this.#save();
    return confirmed;
  }

  /** Drops the writes that are over. Returns those that have not arrived. */
  expire() {
    const over = this.#writes.filter((write) => this.#isOver(write));
    if (over.length > 0) {
      this.#writes = this.#writes.filter((write) => !over.includes(write));
      this.#save();
    }
    return over.filter(isPending);
  }

  /**
   * A pending write is over if an answer from after the wait still says that it is pending. The page may have
   * slept, so the time alone says nothing.
   *
   * A time in the future means that the clock was set back: how long ago it was is unknown.
   */
  #isOver(write) {
    const age = this.#now() - (write.confirmedAt ?? write.sentAt);
    if (age < 0) return true;
    if (!isPending(write)) return age >= this.#keepMilliseconds;
    return (this.#asked.get(write.after)?.at ?? 0) - write.sentAt >= WAIT_MILLISECONDS;
  }

  /** Without room in the storage, a reload forgets the writes. */
  #save() {
    try {
      if (this.#writes.length === 0) OwnWrites.forget(this.#storage);
      else this.#storage.setItem(STORAGE_KEY, JSON.stringify({ user: this.#user, writes: this.#writes }));
    } catch {
      // Full, or switched off by the browser.
    }
  }
}

const isPending = ({ confirmedAt }) => confirmedAt === undefined;

/** The stored writes, without those of another user and those that this version cannot read. */
function read(storage, user) {
  try {
    const stored = JSON.parse(storage.getItem(STORAGE_KEY));
    return stored.user === user ? stored.writes.filter(({ after, sentAt }) => isReference(after) && Number.isFinite(sentAt)) : [];
  } catch {
    return [];
  }
}

/** True if the read API takes the text for a reference: `{source}#{id}` in base64url without padding. */
export function isReference(text) {
  if (typeof text !== "string" || text.length > MAX_REFERENCE_LENGTH || !/^[\w-]+$/.test(text)) return false;
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const isCanonical = btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "") === text;
    const name = new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(binary, (byte) => byte.charCodeAt(0)));
    return isCanonical && /^[^#]+#./su.test(name);
  } catch {
    return false;
  }
}
