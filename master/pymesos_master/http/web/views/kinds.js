// What jobs are beside plain services: daemons, with their agents, periodic tasks, with their runs, and what is scaled.

import { ago, count, number, state } from "../format.js";
import { act, facts, quoted } from "../parts.js";
import { h } from "../render.js";
import { link, to } from "../router.js";
import { use } from "../store.js";
import { table } from "../table.js";

/** Where a daemon is, and which agents it is not for. @param {import("../types.js").Daemon} d */
function daemon(d) {
  const part = (/** @type {number} */ many) => ({ width: `${(100 * many) / Math.max(1, d.wanted)}%` });
  const more = d.not_eligible - d.examples.length;
  return h(
    "section",
    { key: d.task_name, "aria-label": `Daemon ${d.task_name}` },
    h("h2", null, d.task_name, h("span", { class: "faint" }, " · one on each agent")),
    h("div", { class: "stack", role: "img", "aria-label": `${d.running} of ${d.wanted} run` }, h("span", { style: part(d.running) }), h("span", { class: "made", style: part(d.wanted - d.running) })),
    h("span", { class: "row" }, h("span", { class: "key" }, `${number(d.running)} running`), h("span", { class: "key made" }, `${number(d.wanted - d.running)} not`), h("span", null, `${count(d.wanted, "agent")} wanted`), h("span", null, `${number(d.not_eligible)} not eligible, of ${number(d.agents)} that are known`)),
    d.examples.length > 0 && h("details", null, h("summary", null, "Not eligible"), h("ul", null, d.examples.map((e) => h("li", { key: e.agent_id }, link(to("agents", e.agent_id), e.hostname || e.agent_id), ": ", e.why ?? "not looked at yet")), more > 0 && h("li", null, `and ${number(more)} more`))),
  );
}

/** How many instances a task has by what is measured of them, and why. @param {import("../types.js").Scaling} s */
function scaled(s) {
  return h(
    "section",
    { key: s.task_name, "aria-label": `Scaled task ${s.task_name}` },
    h("h2", null, s.task_name, h("span", { class: "faint" }, " · scaled by what is measured")),
    facts([
      ["Instances", `${number(s.count)}, from ${number(s.min)} to ${number(s.max)}`],
      ["Target", s.target],
    ]),
    s.note && h("p", { class: "notice" }, s.note),
    table({
      name: `steps of ${s.task_name}`,
      label: `Steps of ${s.task_name}`,
      fixed: true,
      rows: [...s.steps].reverse(),
      known: { at: 1, error: null },
      empty: "It has not been scaled yet.",
      key: (step) => `${step.at} ${step.before} ${step.after}`,
      columns: [
        { title: "Step", num: true, width: "8rem", cell: (step) => `${number(step.before)} → ${number(step.after)}` },
        { title: "At", num: true, width: "9rem", cell: (step) => ago(step.at) },
        { title: "Why", cell: (step) => h("span", { class: "said", title: step.why }, step.why) },
      ],
    }),
  );
}

/** When a periodic task runs, and how it went. @param {import("../types.js").JobDetail} job @param {import("../types.js").Periodic} p @param {any} spec of the job file, if it is known @param {boolean} ended */
function periodic(job, p, spec, ended) {
  return h(
    "section",
    { key: p.task_name, "aria-label": `Periodic task ${p.task_name}` },
    h("div", { class: "head" }, h("h2", null, p.task_name, h("span", { class: "faint" }, " · periodic")), h("span", { class: "grow" }), !ended && trigger(job, p, spec)),
    facts([
      ["Schedule", p.schedule ? h("code", null, p.schedule) : "when it is triggered"],
      ["Time zone", p.time_zone],
      ["Next run", p.next_at && ago(p.next_at)],
      ["Overlap", spec?.overlap],
    ]),
    p.note && h("p", { class: "notice" }, p.note),
    table({
      name: `runs of ${p.task_name}`,
      label: `Runs of ${p.task_name}`,
      fixed: true,
      rows: [...p.runs].reverse(),
      known: { at: 1, error: null },
      empty: "It has not run yet.",
      key: (r) => r.run_id,
      columns: [
        { title: "Run", width: "26%", cell: (r) => h("span", { class: "id" }, r.run_id) },
        { title: "Result", width: "8rem", cell: (r) => state(r.state) },
        { title: "Due", num: true, width: "9rem", wide: true, cell: (r) => ago(r.due_at) },
        { title: "Began", num: true, width: "9rem", cell: (r) => ago(r.began_at) },
        { title: "Ended", num: true, width: "9rem", cell: (r) => ago(r.ended_at) },
        { title: "By", cell: (r) => r.by ?? "its schedule" },
      ],
    }),
  );
}

/** Have a run begin now, with values of its parameters. @param {import("../types.js").JobDetail} job @param {import("../types.js").Periodic} p @param {any} spec */
function trigger(job, p, spec) {
  /** @type {any[]} */
  const parameters = (spec?.parameters ?? []).slice(0, 30);
  const given = (/** @type {import("../parts.js").Values} */ values) => Object.fromEntries(parameters.map((one) => [one.name, String(values[one.name] ?? "")]).filter(([name, text]) => text !== "" && text !== String(parameters.find((one) => one.name === name).default ?? "")));
  return act("Trigger", {
    title: `Run ${p.task_name} now?`,
    what: "A run begins, or waits, as `overlap` has it. What is left empty has its default.",
    fields: parameters.map((one) => ({ name: one.name, label: `${one.name}${one.type && one.type !== "text" ? ` (${one.type})` : ""}`, type: "text", value: String(one.default ?? "") })),
    command: (values) => ["trigger", quoted(`${job.job_id}.${p.task_name}`), ...Object.entries(given(values)).map(([name, text]) => `--arg ${quoted(`${name}=${text}`)}`)].join(" "),
    url: "/v1/jobs/trigger",
    body: (/** @type {import("../parts.js").Values} */ values) => ({ job: job.job_id, task: p.task_name, args: given(values) }),
  });
}

/** Those of a job. @param {import("../types.js").JobDetail} job @param {`/v1/jobs/${string}`} path of it @param {boolean} ended */
export function kinds(job, path, ended) {
  const document = job.periodic.length > 0 ? use(`${path}/document`, 60000).data : null;
  const spec = (/** @type {string} */ name) => document?.job?.tasks?.find((/** @type {any} */ t) => t.name === name);
  return [job.daemons.map(daemon), job.scaling.map(scaled), job.periodic.map((p) => periodic(job, p, spec(p.task_name), ended))];
}
