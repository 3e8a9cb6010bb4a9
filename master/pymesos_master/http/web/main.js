// The page: which view is shown, what surrounds it, and its keys.

import { cli, dialog, leave, question } from "./parts.js";
import { h, patch } from "./render.js";
import { go, link, redraw, route, start, to } from "./router.js";
import { address, begin, end, isAway, listen, onChange, session, signIn, signOut, use, useList } from "./store.js";
import * as agents from "./views/agents.js";
import * as alerts from "./views/alerts.js";
import * as events from "./views/events.js";
import * as fairness from "./views/fairness.js";
import * as frameworks from "./views/frameworks.js";
import * as jobs from "./views/jobs.js";
import * as overview from "./views/overview.js";
import * as tasks from "./views/tasks.js";
import * as variables from "./views/variables.js";
import * as whatif from "./views/whatif.js";

/** @typedef {{title: (at: import("./router.js").Route) => string, view: (at: import("./router.js").Route) => any}} View */

/** By the first part of their addresses; the key that goes there behind `g`. @type {[string, string, string, View][]} */
const VIEWS = [
  ["", "Overview", "o", overview],
  ["jobs", "Jobs", "j", jobs],
  ["tasks", "Tasks", "t", tasks],
  ["agents", "Agents", "a", agents],
  ["frameworks", "Frameworks", "f", frameworks],
  ["fairness", "Fairness", "s", fairness],
  ["variables", "Variables", "v", variables],
  ["alerts", "Alerts", "l", alerts],
  ["events", "Events", "e", events],
  ["whatif", "What if", "w", whatif],
];
/** How many parts their addresses have beside those of lists: a thing by its name, a task by its framework and its own. @type {Record<string, number>} */
const PARTS = { jobs: 2, agents: 2, frameworks: 2, tasks: 3, variables: 4 };
const KEYS = [
  ["/", "search everything"],
  ...VIEWS.map(([, name, key]) => [`g ${key}`, `go to ${name.toLowerCase()}`]),
  ["j k", "the next row, the one before"],
  ["d", "dark, light, or as the system is"],
  ["?", "this help"],
  ["Esc", "close what is open"],
];

const app = /** @type {HTMLElement} */ (document.getElementById("app"));
/** @type {"" | "search" | "help"} */
let open = "";
let typed = "";
let wanted = ""; // what is looked for: what was typed, a moment ago
let pending = 0;
let first = ""; // of two keys
const MOST_TASKS = 10; // that a search of everything shows

function draw() {
  begin();
  const at = route();
  const [place = "", ...rest] = at.path;
  const found = !rest.length || at.path.length === PARTS[place] ? VIEWS.find(([path]) => path === place) : undefined;
  const leader = use("/v1/leader", 4000);
  const shown = found ? found[3].view(at) : [h("header", { class: "head" }, h("h1", { tabindex: "-1" }, "Nothing is here")), h("p", { class: "none" }, link("/", "To the overview"))];
  document.title = `${found ? found[3].title(at) : "Not found"} · pymesos`;
  patch(app, h("div", null,
    h(
      "div",
      { class: "bar", role: "banner" },
      h("a", { class: "brand", href: "/", "aria-label": "pymesos, overview" }, mark(), h("span", null, "pymesos")),
      h("button", { class: "find", onclick: () => show("search") }, "Search everything", h("kbd", null, "/")),
      h("span", { class: "grow" }),
      h("button", { class: "quiet", title: "Dark, light, or as the system is (d)", onclick: switchTheme }, theme()),
      session() && leader.data && h("button", { class: "quiet", onclick: () => signOut().catch(redraw) }, "Sign out"),
      h("button", { class: "quiet", title: "Keys (?)", "aria-label": "Help", onclick: () => show("help") }, "?"),
    ),
    h(
      "nav",
      { "aria-label": "Views" },
      VIEWS.map(([path, name, key]) =>
        h("a", { href: `/${path}`, title: `g ${key}`, "aria-current": path === place ? "page" : undefined }, name),
      ),
    ),
    h("main", { id: "main", tabindex: "-1" }, notice(leader), h("div", { key: at.path.join("/") || "overview", class: "view" }, shown)),
    open === "search" && search(),
    open === "help" && help(),
    question(),
  ).kids);
  end();
}

/** What keeps all views from showing anything. @param {import("./store.js").Known} leader */
function notice(leader) {
  if (isAway()) return h("p", { class: "wrong", role: "alert" }, "The master does not answer. What is shown is as it was; it is asked again and again.");
  if (leader.error?.status === 401) {
    return h(
      "section",
      { class: "notice", role: "alert" },
      h("strong", null, "This cluster wants to know who you are."),
      h("p", null, "Open the page with ", h("code", null, "pymesos-cli web"), ", which shows it with the certificate of your context, or sign in here with a code, which is good once:"),
      cli("web --code"),
      location.protocol === "https:" && signing(),
    );
  }
  return null;
}

let wrongCode = "";

function signing() {
  return h(
    "form",
    {
      class: "buttons",
      onsubmit: async (/** @type {SubmitEvent} */ event) => {
        event.preventDefault();
        const code = /** @type {HTMLInputElement} */ (/** @type {HTMLFormElement} */ (event.target).elements.namedItem("code"));
        try {
          await signIn(code.value.trim());
        } catch (error) {
          wrongCode = /** @type {any} */ (error).status === 401 ? "This code is none, was used, or has ended: make another." : /** @type {any} */ (error).message;
        }
        code.value = "";
        redraw();
      },
    },
    h("label", { class: "field" }, h("span", null, "Code"), h("input", { name: "code", type: "password", autocomplete: "one-time-code", maxlength: 100, required: true })),
    h("button", { class: "full" }, "Sign in"),
    wrongCode && h("p", { class: "wrong", role: "alert" }, wrongCode),
  );
}

function mark() {
  return h(
    "svg",
    { viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true" },
    [[1, 1, 1], [11, 1, 0.5], [1, 11, 0.5], [11, 11, 0.8]].map(([x, y, opacity]) => h("rect", { x, y, width: 8, height: 8, rx: 1.5, opacity })),
  );
}

/** @param {"search" | "help"} what */
function show(what) {
  open = what;
  typed = wanted = "";
  draw(); // at once: the next key is for what opens
}

function close() {
  open = "";
  redraw();
}

function search() {
  /** @template {string} Path @param {Path} path */
  const ask = (path) => (wanted ? use(address(path, { search: wanted, limit: 5 }), 10000).data : null);
  // A page of theirs may be empty, and those that are looked for on a later one.
  const tasks = wanted ? useList("/v1/tasks", { search: wanted, completed: true, sort: "-launched" }, "tasks", MOST_TASKS, 10000, MOST_TASKS).rows : [];
  const found = [
    ...(ask("/v1/agents")?.agents ?? []).map((a) => ["agent", a.hostname || a.agent_id, to("agents", a.agent_id)]),
    ...(ask("/v1/jobs")?.jobs ?? []).map((j) => ["job", j.job_id, to("jobs", j.job_id)]),
    ...named().map((f) => ["framework", f.name || f.framework_id, to("frameworks", f.framework_id)]),
    ...tasks.map((t) => ["task", t.task_id, to("tasks", t.framework_id, t.task_id)]),
  ];
  return dialog(
    "palette",
    "Search everything",
    close,
    h("input", {
      type: "search",
      "aria-label": "Search jobs, tasks, agents and frameworks",
      placeholder: "Jobs, tasks, agents, frameworks …",
      maxlength: 200,
      autofocus: true,
      oninput: (/** @type {Event} */ event) => {
        typed = /** @type {HTMLInputElement} */ (event.target).value.trim();
        clearTimeout(pending);
        pending = setTimeout(() => {
          wanted = typed;
          redraw();
        }, 80);
      },
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== "Enter" || !typed) return;
        close();
        go(`/tasks?completed=true&search=${encodeURIComponent(typed)}`);
      },
    }),
    h(
      "ul",
      null,
      found.map(([kind, name, where]) => h("li", { key: where }, h("a", { href: where, onclick: close }, h("span", { class: "faint" }, kind), h("span", { class: "id" }, name)))),
    ),
    h("p", { class: "faint" }, wanted && !found.length ? "Nothing was found yet. " : "", "Enter shows all tasks that have these words."),
  );
}

/** Frameworks that have all words. */
function named() {
  const known = wanted ? use("/v1/frameworks?limit=1000", 10000).data : null;
  return (known?.frameworks ?? []).filter((f) => has(`${f.framework_id} ${f.name}`)).slice(0, 5);
}

/** Whether a text has all the words that are looked for. @param {string} text */
const has = (text) => wanted.toLowerCase().split(/\s+/).every((word) => text.toLowerCase().includes(word));

function help() {
  return dialog("help", "Keys", close, h("dl", { class: "keys" }, KEYS.map(([keys, what]) => h("div", null, h("dt", null, keys.split(" ").map((key) => h("kbd", null, key))), h("dd", null, what)))));
}

const NEXT = { "": "dark", dark: "light", light: "" };
const chosen = () => /** @type {keyof typeof NEXT} */ (document.documentElement.dataset.theme ?? "");
const theme = () => chosen() || "auto";

function switchTheme() {
  const next = NEXT[chosen()];
  if (next) {
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
  } else {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("theme");
  }
  redraw();
}

/** @param {number} step */
function row(step) {
  const rows = [...document.querySelectorAll("main tbody tr:not(.space)")];
  const now = rows.findIndex((one) => one.contains(document.activeElement));
  const next = rows[now < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, now + step))];
  /** @type {HTMLElement | null | undefined} */ (next?.querySelector("a, button"))?.focus();
}

document.addEventListener("keydown", (event) => {
  const on = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || on.matches("input, textarea, select") || document.querySelector("dialog[open]")) return;
  const before = first;
  first = "";
  if (before === "g") {
    const found = VIEWS.find(([, , key]) => key === event.key);
    if (found) go(`/${found[0]}`);
  } else if (event.key === "g") first = "g";
  else if (event.key === "/") show("search");
  else if (event.key === "?") show("help");
  else if (event.key === "d") switchTheme();
  else if (event.key === "j" || event.key === "k") row(event.key === "j" ? 1 : -1);
  else return;
  event.preventDefault();
});

onChange(redraw);
listen();
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
setInterval(redraw, 5000); // ages go on
start(draw, () => {
  open = "";
  leave();
  // Who hears the page is told that another view is there.
  requestAnimationFrame(() => requestAnimationFrame(() => /** @type {HTMLElement | null} */ (document.querySelector("main h1"))?.focus({ preventScroll: true })));
  scrollTo(0, 0);
});
