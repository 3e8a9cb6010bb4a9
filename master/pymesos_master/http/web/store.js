// What the page knows of the cluster: asked of the master when a view uses it, and again while it does.

/**
 * @template [Data=unknown]
 * @typedef {{data: Data | null, error: Problem | null, at: number}} Known `at`: when it was answered, 0: not yet
 */
/**
 * @typedef {{status: number, code: string, message: string}} Problem
 * @typedef {{known: Known<any>, ask: () => Promise<any>, everyMs: number, used: boolean, due: number, busy: boolean, touched: boolean, took: number, aborted: AbortController, rows: number}} Entry
 */

export const MOST_ROWS = 2000;
const PAGE = 200;
const SOON_MS = 500; // between an event and the question what it has changed
const SELDOM_MS = 60000; // what is asked no more often hardly changes, and by no event
const GAP_MS = 2000; // between two questions for the same at least,
const BUSY_MS = 5000; // or this while more happens than anybody reads,
const REST = 10; // and so many times as long as the last answer took: who is slow is asked less

/** @type {Map<string, Entry>} */
const entries = new Map();
/** @type {() => void} */
let changed = () => {};
let busyUntil = 0;
let failing = 0; // answers in a row that did not come

/** As another page was answered a moment ago, which is longer where more happens than anybody reads. */
const ofAMomentAgo = () => ({ "Cache-Control": `max-age=${Date.now() < busyUntil ? 2 : 1}` });

/** Say what is to be done when something else is known. @param {() => void} then */
export function onChange(then) {
  changed = then;
}

/** Whether the master is not reached just now. */
export function isAway() {
  return failing > 1;
}

/** @template {string} Path @param {Path} path @param {Record<string, any>} [query] @returns {Path | `${Path}?${string}`} */
export function address(path, query = {}) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== "" && one !== undefined && one !== null && one !== false) params.append(name, String(one));
    }
  }
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * Ask the master. Throws a Problem.
 * @param {string} url
 * @param {RequestInit} [init]
 * @param {{text: string, said: any}} [last] the last answer: where this one says the same, it is that
 */
export async function ask(url, init = {}, last = { text: "", said: null }) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    failing += 1;
    throw problem(0, "UNAVAILABLE", "the master does not answer");
  }
  failing = 0;
  const text = await response.text();
  if (response.ok && text && text === last.text) return last.said;
  let said;
  try {
    said = text ? JSON.parse(text) : null;
  } catch {
    throw problem(response.status, "INTERNAL", "the answer is no JSON");
  }
  if (response.ok) {
    [last.text, last.said] = [text, said];
    return said;
  }
  throw problem(response.status, said?.error?.code ?? "", said?.error?.message ?? response.statusText);
}

/** @param {number} status @param {string} code @param {string} message @returns {Problem} */
function problem(status, code, message) {
  return { status, code, message };
}

/** What a browser that has signed in says with what it changes; empty: it has not. */
export const session = () => /(?:^|; )__Host-pymesos-csrf=(\w+)/.exec(document.cookie)?.[1] ?? "";

/** Sign in with a code of `pymesos-cli web --code`. Throws a Problem. @param {string} code */
export async function signIn(code) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${code}` };
  await ask("/v1/sign-in", { method: "POST", headers, body: "{}" });
  location.reload(); // with nothing left of who was here before
}

/** End the session, here and on the master. Throws a Problem. */
export async function signOut() {
  await tell("/v1/sign-out", {});
  location.reload();
}

/**
 * Do something: a POST with JSON. Throws a Problem.
 * @template {string} Path
 * @param {Path} url
 * @param {import("./types.js").Body<Path>} body
 * @returns {Promise<import("./types.js").Done<Path>>}
 */
export async function tell(url, body) {
  const answer = await ask(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(session() && { "Pymesos-Csrf": session() }) },
    body: JSON.stringify(body),
  });
  touch("/v1/");
  return answer;
}

/**
 * What the answer at an address is, as far as it is known. While views use it, it is asked again.
 * @template {string} Address
 * @param {Address} url
 * @param {number} [everyMs]
 * @returns {Known<import("./types.js").Answer<Address>>}
 */
export function use(url, everyMs = 5000) {
  const last = { text: "", said: null };
  return entry(url, everyMs, (aborted) => ask(url, { signal: aborted.signal, headers: ofAMomentAgo() }, last)).known;
}

/**
 * A list that comes in pages: the first `rows` of it. `more`: there are others.
 * @template {string} Path
 * @template {keyof import("./types.js").Answer<Path> & string} Name
 * @param {Path} path
 * @param {Record<string, any>} query
 * @param {Name} name of the list in an answer
 * @param {number} [rows]
 * @param {number} [everyMs]
 * @param {number} [most] that are held
 * @returns {Known & {rows: import("./types.js").Answer<Path>[Name], more: boolean}}
 */
export function useList(path, query, name, rows = PAGE, everyMs = 5000, most = MOST_ROWS) {
  const url = address(path, query);
  const asked = entry(`${url} [list of ${most}]`, everyMs, async (aborted) => {
    const wanted = Math.min(asked.rows, most);
    /** @type {any[]} */
    const found = [];
    let token = "";
    // A page may be short, or empty, and more to come: the master looks at so many at a time.
    for (let page = 0; page < 100; page += 1) {
      const limit = Math.min(1000, Math.max(Math.min(PAGE, most), wanted - found.length));
      const answer = await ask(address(path, { ...query, limit, page_token: token }), { signal: aborted.signal, headers: ofAMomentAgo() });
      found.push(...answer[name]);
      token = answer.next_page_token ?? "";
      if (!token || found.length >= wanted) break;
    }
    return { rows: found.slice(0, most), more: Boolean(token) || found.length > most };
  });
  if (rows > asked.rows) {
    asked.rows = rows;
    if (asked.known.at) refresh(asked);
  }
  return { ...asked.known, rows: asked.known.data?.rows ?? [], more: asked.known.data?.more ?? false };
}

/**
 * @param {string} key @param {number} everyMs @param {(aborted: AbortController) => Promise<any>} how
 * @returns {Entry}
 */
function entry(key, everyMs, how) {
  const known = entries.get(key);
  if (known) {
    known.used = true;
    return known;
  }
  const aborted = new AbortController();
  /** @type {Entry} */
  const fresh = {
    known: { data: null, error: null, at: 0 },
    ask: () => how(aborted),
    everyMs,
    used: true,
    due: 0,
    busy: false,
    touched: false,
    took: 0,
    aborted,
    rows: PAGE,
  };
  entries.set(key, fresh);
  queueMicrotask(() => refresh(fresh));
  return fresh;
}

/** @param {Entry} one */
async function refresh(one) {
  if (one.busy) return;
  one.busy = true;
  one.touched = false;
  const [began, before] = [Date.now(), one.known];
  try {
    one.known = { data: await one.ask(), error: null, at: Date.now() };
  } catch (error) {
    if (one.aborted.signal.aborted) return;
    one.known = { ...one.known, error: /** @type {Problem} */ (error), at: Date.now() };
  } finally {
    one.busy = false;
  }
  one.took = Date.now() - began;
  const away = one.known.error ? Math.min(4, failing + 1) : 1;
  // What was asked before something was done here may not know of it.
  one.due = one.touched ? 0 : Date.now() + Math.max(one.everyMs * away, one.took * REST);
  if (!before.at || before.error || one.known.error || one.known.data !== before.data) changed();
}

/** Call before a view says what it uses. */
export function begin() {
  for (const one of entries.values()) one.used = false;
  looksOn = false;
}

/** Call after it: what is used no more is forgotten. */
export function end() {
  for (const [key, one] of entries) {
    if (!one.used) {
      one.aborted.abort();
      entries.delete(key);
    }
  }
}

/** A part of a file. Throws a Problem. @param {string} url */
export async function askBytes(url) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin" });
  } catch {
    throw problem(0, "UNAVAILABLE", "the master does not answer");
  }
  if (!response.ok) {
    const said = await response.json().catch(() => null);
    throw problem(response.status, said?.error?.code ?? "", said?.error?.message ?? response.statusText);
  }
  return {
    bytes: new Uint8Array(await response.arrayBuffer()),
    offset: Number(response.headers.get("Pymesos-Offset") ?? 0),
    size: Number(response.headers.get("Pymesos-Size") ?? 0),
  };
}

/** @type {Record<string, string[]>} what an event of a kind may have changed */
const CHANGES = {
  task: ["/v1/tasks", "/v1/jobs", "/v1/overview", "/v1/agents", "/v1/frameworks"],
  agent: ["/v1/agents", "/v1/overview", "/v1/jobs"],
  maintenance: ["/v1/agents"],
  framework: ["/v1/frameworks", "/v1/overview", "/v1/roles"],
  offer: ["/v1/offers"],
  quota: ["/v1/roles"],
  weight: ["/v1/roles"],
};

/** Something was done here: what begins so is asked again at once. @param {string} prefix */
export function touch(prefix) {
  for (const [key, one] of entries) if (key.startsWith(prefix) && one.everyMs < SELDOM_MS) [one.due, one.touched] = [0, true];
}

/** Something has happened: what that may have changed is asked again soon. @param {string} kind */
function happened(kind) {
  const now = Date.now();
  for (const prefix of CHANGES[kind.split("_")[0]] ?? []) {
    for (const [key, one] of entries) {
      if (!key.startsWith(prefix) || one.everyMs >= SELDOM_MS) continue;
      const gap = now < busyUntil ? BUSY_MS : GAP_MS;
      const soon = Math.max(now + SOON_MS, one.known.at + Math.max(gap, one.took * REST));
      one.due = Math.min(one.due, soon);
    }
  }
}

const MOST_EVENTS = 1000;
const LATEST = 100; // events of two seconds, of which nobody reads more
const HUSH_MS = 30000; // after which a page that is hidden hears nothing
/** What happened while the page was open, the latest first. @type {any[]} */
const recent = [];
let looksOn = false; // whether a view shows it: only then it is drawn as it comes
let live = false;
let heard = 0;

/** What happened while the page was open, for a view that shows it as it comes. */
export function useEvents() {
  looksOn = true;
  return recent;
}

/** What happened to a task while the page was open, the earliest first. @param {{framework_id: string, task_id: string}} of */
export const heardOf = (of) => recent.filter((e) => e.task_id === of.task_id && e.framework_id === of.framework_id).reverse();

/** Whether what happens is told as it happens. */
export const isLive = () => live;

/** @type {EventSource | null} */
let source = null;
let quiet = 0; // when nobody looks for long, nothing is heard
let cursor = ""; // of what was heard last

/** Hear of what happens: then what is shown is asked again, and no sooner than that is of use. */
export function listen() {
  if (document.hidden || (source && source.readyState !== EventSource.CLOSED)) return;
  source = new EventSource(address("/v1/events", { without_state: true, latest: LATEST, cursor }));
  source.addEventListener("open", () => {
    live = true;
    changed();
  });
  source.addEventListener("reset", () => {
    if (cursor) note({ kind: "left_out", timestamp: new Date().toISOString(), message: "what happened before this is not known here" });
  });
  source.addEventListener("complete", (event) => {
    live = true;
    cursor = event.lastEventId;
    changed();
  });
  source.addEventListener("message", (event) => {
    const said = JSON.parse(event.data);
    cursor = event.lastEventId;
    note(said);
    happened(said.kind);
    if (looksOn) changed();
  });
  source.addEventListener("left_out", (event) => {
    busyUntil = Date.now() + BUSY_MS;
    const said = JSON.parse(event.data);
    const many = Object.values(said).reduce((sum, more) => sum + more, 0);
    note({ kind: "left_out", timestamp: new Date().toISOString(), message: `${many} events more than are shown here` });
    for (const kind of Object.keys(said)) happened(kind);
  });
  source.addEventListener("error", () => {
    live = false;
    changed();
    if (source?.readyState === EventSource.CLOSED) setTimeout(listen, 10000);
  });
}

/** @param {any} said */
function note(said) {
  recent.unshift({ ...said, number: (heard += 1) });
  if (recent.length > MOST_EVENTS) recent.length = MOST_EVENTS;
}

/** Nobody looks: events are heard again when somebody does. */
function hush() {
  source?.close();
  source = null;
  live = false;
}

setInterval(() => {
  if (document.hidden) return;
  const now = Date.now();
  for (const one of entries.values()) if (!one.busy && one.known.at && one.due <= now) refresh(one);
}, 250);
document.addEventListener("visibilitychange", () => {
  clearTimeout(quiet);
  if (document.hidden) {
    quiet = setTimeout(hush, HUSH_MS);
    return;
  }
  listen();
  touch("");
});
