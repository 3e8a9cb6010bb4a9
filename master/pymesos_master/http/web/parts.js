// What several views are made of.

import { amount, ago, number, percent, plain, state } from "./format.js";
import { h } from "./render.js";
import { go, here, link, redraw, route, to } from "./router.js";
import { tell } from "./store.js";

/** The head of a view. @param {string} title @param {string} command that shows the same @param {...any} more */
export function head(title, command, ...more) {
  return h(
    "header",
    { class: "head" },
    h("h1", { tabindex: "-1" }, title),
    h("div", { class: "more" }, more),
    command && cli(command),
  );
}

/** The line that does the same in a terminal. @param {string} command */
export function cli(command) {
  const line = `pymesos-cli ${command}`;
  return h(
    "span",
    { class: "cli" },
    h("code", null, line),
    h("button", { type: "button", class: "quiet", title: "Copy this command", "aria-label": `Copy: ${line}`, onclick: () => copy(line) }, copied === line ? "copied" : "copy"),
  );
}

let copied = "";
/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return; // a browser may not allow it: the line is there to be marked
  }
  copied = text;
  redraw();
  setTimeout(() => {
    copied = "";
    redraw();
  }, 1500);
}

/** An argument as a shell takes it. @param {string} text */
export const quoted = (text) => (/^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** What went wrong, if anything did. @param {{error: any}} known */
export function wrong(known) {
  return known.error && h("p", { class: "wrong", role: "alert" }, known.error.message);
}

/** Of what is not there: why not, as far as that is known. @param {import("./store.js").Known} known @param {string} told */
export function absent(known, told) {
  if (known.error && known.error.status !== 404) return wrong(known);
  return h("p", { class: "none" }, known.at ? told : "Asking …");
}

/**
 * How much of something there is: what is allocated, what is offered, and a mark at what is used.
 * @param {string} name @param {number} total @param {number} allocated @param {number} [offered] @param {number} [used]
 */
export function meter(name, total, allocated, offered = 0, used = -1) {
  const of = (/** @type {number} */ part) => `${total ? Math.min(100, (100 * part) / total) : 0}%`;
  const said = `${amount(name, allocated)} of ${amount(name, total)} allocated${used >= 0 ? `, ${amount(name, used)} used` : ""}`;
  return h(
    "span",
    { class: "meter", title: said, role: "img", "aria-label": `${name}: ${said}` },
    h("span", { class: "part", style: { width: of(allocated) } }),
    offered > 0 && h("span", { class: "part offered", style: { width: of(offered) } }),
    used >= 0 && total > 0 && h("span", { class: "mark", style: { left: of(used) } }),
  );
}

/** A meter in a cell, with its share. @param {string} name @param {any} has with resources, allocated, offered, usage */
export function use(name, has) {
  const total = has.resources[name] ?? 0;
  return h("span", { class: "use" }, meter(name, total, has.allocated[name] ?? 0, has.offered?.[name] ?? 0, has.usage?.[name] ?? -1), h("span", { class: "share" }, percent(has.allocated[name] ?? 0, total)));
}

/** Facts, each with its name; what is not known is left out. @param {[string, any][]} facts */
export function facts(facts) {
  return h(
    "dl",
    { class: "facts" },
    facts.filter(([, said]) => said !== null && said !== undefined && said !== "").map(([name, said]) => h("div", null, h("dt", null, name), h("dd", null, said))),
  );
}

let later = 0; // the timer of what is typed
/** Words to look for, which go into the address. @param {string} label */
export function searchBox(label) {
  return h(
    "label",
    { class: "search" },
    h("span", { class: "hidden" }, label),
    h("input", {
      type: "search",
      placeholder: label,
      maxlength: 200,
      value: route().query.get("search") ?? "",
      oninput: (/** @type {Event} */ event) => {
        clearTimeout(later);
        const text = /** @type {HTMLInputElement} */ (event.target).value;
        const path = location.pathname; // whoever has gone on meanwhile looks for nothing there
        later = setTimeout(() => location.pathname === path && go(here({ search: text.trim() }), true), 80);
      },
    }),
  );
}

/**
 * A choice that goes into the address.
 * @param {string} name of the parameter @param {string} label @param {[string, string][]} choices value and text
 */
export function choose(name, label, choices) {
  const now = route().query.get(name) ?? "";
  return h(
    "label",
    { class: "choose" },
    h("span", null, label),
    h(
      "select",
      {
        onchange: (/** @type {Event} */ event) => go(here({ [name]: /** @type {HTMLSelectElement} */ (event.target).value }), true),
        ref: (/** @type {HTMLSelectElement} */ element) => {
          if (element.value !== now) element.value = now;
        },
      },
      choices.map(([value, text]) => h("option", { value }, text)),
    ),
  );
}

/** Yes or no, which goes into the address. @param {string} name @param {string} label */
export function tick(name, label) {
  const on = route().query.get(name) === "true";
  return h(
    "label",
    { class: "tick" },
    h("input", { type: "checkbox", checked: on, onchange: () => go(here({ [name]: on ? null : "true" }), true) }),
    label,
  );
}


/** @param {{framework_id: string, task_id: string}} task */
export const taskLink = (task) => link(to("tasks", task.framework_id, task.task_id), task.task_id);
/** @param {{agent_id: string, hostname: string}} of */
export const agentLink = (of) => (of.agent_id ? link(to("agents", of.agent_id), of.hostname || of.agent_id) : "–");
/** @param {string} id @param {string} [name] */
export const frameworkLink = (id, name) => link(to("frameworks", id), name || id);

/** How a task ended, or is. @param {import("./types.js").Task} task */
export function ending(task) {
  const said = [task.reason && plain(task.reason), task.exit_status ? `exit ${task.exit_status}` : "", task.message].filter(Boolean).join(" · ");
  return h("span", { class: "said", title: said }, said);
}

/** The columns of tasks. @type {Record<string, import("./table.js").Column>} */
export const TASK = {
  id: { title: "Task", sort: "id", cell: (t) => h("span", { class: "id" }, taskLink(t)), width: "30%" },
  state: { title: "State", sort: "state", width: "7.5rem", cell: (t) => [state(t.state), t.healthy === false && h("span", { class: "tag bad" }, "unhealthy"), t.ready === false && h("span", { class: "tag" }, "not ready")] },
  role: { title: "Role", sort: "role", width: "8rem", wide: true, cell: (t) => t.role },
  host: { title: "Agent", sort: "hostname", width: "9rem", cell: agentLink },
  cpus: { title: "CPUs", num: true, width: "4.5rem", wide: true, cell: (t) => number(t.resources.cpus) },
  mem: { title: "Memory", num: true, width: "5.5rem", wide: true, cell: (t) => amount("mem", t.resources.mem) },
  launched: { title: "Launched", sort: "launched", num: true, width: "7.5rem", cell: (t) => ago(t.launched_at) },
  ended: { title: "Ended", sort: "finished", num: true, width: "7rem", cell: (t) => ago(t.finished_at) },
  why: { title: "Why", wide: true, cell: ending },
};

/**
 * @typedef {{name: string, label: string, type: string, value: any, min?: number, max?: number, required?: boolean}} Field what is asked before something is done; a number has to be given
 * @typedef {Record<string, any>} Values of fields, by their names
 */
/**
 * @template {string} [Path=any]
 * @typedef {{title: string, what: any, command: string | ((values: Values) => string), url: Path, body: import("./types.js").Body<Path> | ((values: Values) => import("./types.js").Body<Path>), fields?: Field[], danger?: boolean, then?: (answer: import("./types.js").Done<Path>) => void}} Action
 *   `body`: what is sent, or what makes it of the values
 */

/** @type {(Action & {verb: string, values: Values, error: string, busy: boolean}) | null} */
let asked = null;

/** A button that asks first, and shows the command that does the same. @template {string} Path @param {string} label @param {Action<Path>} action */
export function act(label, action) {
  const open = () => {
    const values = Object.fromEntries((action.fields ?? []).map((field) => [field.name, field.value]));
    asked = { .../** @type {Action<any>} */ (/** @type {unknown} */ (action)), verb: label, values, error: "", busy: false };
    redraw();
  };
  return h("button", { class: action.danger ? "danger" : "", onclick: open }, label);
}

/** Another view is shown: what was asked about this one is asked no more. */
export function leave() {
  if (!asked?.busy) asked = null;
}

/** The question that is open, if one is. */
export function question() {
  if (!asked) return null;
  const now = asked;
  const close = () => {
    if (asked === now) asked = null;
    redraw();
  };
  const yes = async () => {
    now.busy = true;
    redraw();
    try {
      const body = typeof now.body === "function" ? now.body(now.values) : now.body;
      const answer = await tell(now.url, body);
      if (asked === now) now.then?.(answer);
      close();
    } catch (error) {
      now.error = /** @type {any} */ (error).message;
      asked ??= now; // whoever has closed it is told all the same
    }
    now.busy = false;
    redraw();
  };
  return dialog(
    "question",
    now.title,
    close,
    h(
      "form",
      {
        class: "asked",
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          if (!now.busy) yes();
        },
      },
      h("p", null, now.what),
      (now.fields ?? []).map((field) => asking(field, now.values)),
      h("p", { class: "same" }, "The same in a terminal:"),
      cli(typeof now.command === "function" ? now.command(now.values) : now.command),
      now.error && h("p", { class: "wrong", role: "alert" }, now.error),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "button", onclick: close }, "Cancel"),
        h("button", { class: now.danger ? "danger full" : "full", disabled: now.busy }, now.busy ? "…" : now.verb),
      ),
    ),
  );
}

/** @param {Field} field @param {Values} values */
function asking(field, values) {
  const flag = field.type === "checkbox";
  return h(
    "label",
    { key: field.name, class: flag ? "tick" : "field" },
    !flag && h("span", null, field.label),
    h("input", {
      type: field.type,
      min: field.min,
      max: field.max,
      required: field.type === "number" || field.required,
      value: flag ? undefined : field.value,
      checked: flag ? values[field.name] : undefined,
      oninput: (/** @type {Event} */ event) => {
        const input = /** @type {HTMLInputElement} */ (event.target);
        values[field.name] = flag ? input.checked : field.type === "number" ? input.valueAsNumber : input.value;
        redraw();
      },
    }),
    flag && field.label,
  );
}

/** A dialog above all else, which Escape closes. @param {string} name @param {string} title @param {() => void} close @param {...any} kids */
export function dialog(name, title, close, ...kids) {
  return h(
    "dialog",
    {
      key: name,
      class: name,
      "aria-label": title,
      onclose: close,
      onclick: (/** @type {MouseEvent} */ event) => event.target === event.currentTarget && close(),
      ref: (/** @type {HTMLDialogElement} */ element) => {
        if (!element.open && element.isConnected) element.showModal();
        else if (!element.open) queueMicrotask(() => element.isConnected && !element.open && element.showModal());
      },
    },
    h("div", { class: "inside" }, h("h2", null, title), kids),
  );
}
