// What if: what a job file would change, before it does.

import { count, number } from "../format.js";
import { act, head } from "../parts.js";
import { h } from "../render.js";
import { go, redraw, to } from "../router.js";
import { tell } from "../store.js";
import { table } from "../table.js";
import { changes } from "./jobs.js";

const EXAMPLE = `name: hello
tasks:
  - name: web
    kind: service
    instances: 2
    command: exec python3 -m http.server "$PORT0"
    resources: {cpus: 0.1, mem: 64, ports: 1}
`;

let text = EXAMPLE;
/** @type {import("../types.js").Done<"/v1/whatif"> | null} */
let plan = null;
let error = "";
let busy = false;

export const title = () => "What if";

export function view() {
  return [
    head("What if", "apply --plan FILE"),
    h("p", { class: "about" }, "A job file, as YAML or JSON. The framework that would run it says what it would change, and where what it starts would go now; nothing is changed."),
    h("label", null, h("span", { class: "hidden" }, "The job file"), h("textarea", {
      spellcheck: "false",
      value: text,
      oninput: (/** @type {Event} */ event) => {
        text = /** @type {HTMLTextAreaElement} */ (event.target).value;
        plan = null;
        error = "";
        redraw();
      },
    })),
    h(
      "div",
      { class: "head" },
      h("button", { class: "full", disabled: busy, onclick: ask }, busy ? "Asking …" : "See what would be"),
      plan && plan.changed && act("Apply", {
        title: plan.created ? "Start this job?" : "Change this job?",
        what: plan.created ? "It is a new job." : "A new version of it comes into force.",
        command: "apply FILE",
        url: "/v1/jobs/apply",
        body: { text },
        then: (answer) => answer.job_id && go(to("jobs", answer.job_id)),
      }),
    ),
    error && h("p", { class: "wrong", role: "alert" }, error),
    plan && shown(plan),
  ];
}

async function ask() {
  busy = true;
  error = "";
  plan = null;
  redraw();
  const asked = text;
  try {
    const answer = await tell("/v1/whatif", { text: asked });
    if (asked === text) plan = answer;
  } catch (problem) {
    error = /** @type {any} */ (problem).message;
  }
  busy = false;
  redraw();
}

/** @param {import("../types.js").Done<"/v1/whatif">} plan */
function shown(plan) {
  const what = plan.created ? "It would be a new job." : plan.changed ? `It would be a new version, after ${plan.version}.` : "It would change nothing.";
  return h(
    "section",
    { class: "plan" },
    h("h2", null, what),
    plan.changes.length > 0 && h("p", null, changes(plan)),
    plan.policy && h("p", { class: "faint" }, `Its framework packs by the policy ${plan.policy}.`),
    table({
      name: "plan",
      label: "What becomes of instances",
      fixed: true,
      rows: plan.tasks,
      empty: "No instance is concerned.",
      key: (t) => t.task_name,
      columns: [
        { title: "Task", width: "20%", cell: (t) => t.task_name },
        .../** @type {[string, string][]} */ ([["start", "Start"], ["replace", "Are replaced"], ["stay", "Stay"], ["stop", "Stop"], ["finish", "Finish"]]).map(([name, title]) => ({ title, num: true, width: "7rem", cell: (/** @type {any} */ t) => (t[name] ? number(t[name]) : h("span", { class: "faint" }, "–")) })),
        { title: "Meanwhile", wide: true, cell: (t) => t.outage ?? (t.replace ? `${count(t.replace, "instance")}, some at a time` : "") },
      ],
    }),
    plan.where.length > 0 && h("section", null, h("h2", null, "Where they would go"), table({
      name: "where",
      label: "Where instances would go",
      fixed: true,
      rows: plan.where,
      key: (t) => t.task_name,
      columns: [
        { title: "Task", width: "16%", cell: (t) => t.task_name },
        { title: "Agents", cell: (t) => h("span", { title: places(t) }, places(t) || "–") },
        { title: "Wait", num: true, width: "5rem", cell: (t) => (t.waiting ? h("span", { class: "state bad" }, number(t.waiting)) : "–") },
        { title: "Why", width: "30%", cell: (t) => h("span", { class: "said", title: t.why }, t.never && "never: ", t.why) },
        { title: "Would be killed for them", width: "20%", wide: true, cell: (t) => t.preempted.map((/** @type {any} */ v) => `${v.name} on ${v.hostname}`).join(", ") || (t.preempting ? count(t.preempting, "task") : "–") },
      ],
    })),
    plan.where_note && h("p", { class: "faint" }, plan.where_note),
  );
}

/** @param {import("../types.js").TaskPlaces} task */
const places = (task) => task.places.map((p) => `${p.hostname}${p.instances > 1 ? ` ×${p.instances}` : ""}`).join(", ");
