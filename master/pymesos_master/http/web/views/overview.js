// The cluster at a glance.

import { curves } from "../canvas.js";
import { ago, amount, count, number, percent, plain, state } from "../format.js";
import { agentLink, ending, head, meter, taskLink, wrong } from "../parts.js";
import { h } from "../render.js";
import { link, to } from "../router.js";
import { use } from "../store.js";
import { table } from "../table.js";
import { glance } from "./alerts.js";

const HOUR_S = 3600;
/** @type {Record<string, string>} */
const TITLES = { cpus: "CPUs", mem: "Memory", disk: "Disk", gpus: "GPUs", ports: "Ports" };

export const title = () => "Overview";

export function view() {
  const known = use("/v1/overview?failures=50", 4000);
  const leader = use("/v1/leader", 4000).data;
  const seen = known.data;
  const body = seen && [
    h(
      "div",
      { class: "counts" },
      counted("Agents", "/agents", seen.agents, "active", Object.entries(seen.drains)),
      counted("Frameworks", "/frameworks", seen.frameworks, "active"),
      counted("Tasks", "/tasks", seen.tasks, "TASK_RUNNING"),
      h("section", { class: "count" }, h("h2", null, link("/fairness", "Offers")), h("strong", null, number(seen.offers)), h("span", { class: "faint" }, "not answered yet")),
      glance(),
    ),
    h("div", { class: "resources" }, Object.keys(seen.now.total).map((name) => resource(name, seen))),
    waiting(),
    failures(seen.failed, known),
  ];
  return [
    head(
      "Overview",
      "leader",
      leader && h("span", null, leader.address ? [h("span", { class: "state ok" }, `led by ${leader.hostname || leader.address}`), h("span", { class: "faint" }, leader.epoch ? ` epoch ${leader.epoch}` : "")] : h("span", { class: "state bad" }, "nobody leads")),
    ),
    wrong(known),
    body ?? (known.error ? null : h("p", { class: "none" }, "Asking …")),
  ];
}

/** @param {string} title @param {string} where @param {Record<string, number>} states @param {string} usual @param {[string, number][]} [also] */
function counted(title, where, states, usual, also = []) {
  const others = Object.entries(states).filter(([name, many]) => name !== usual && many);
  return h(
    "section",
    { class: "count" },
    h("h2", null, link(where, title)),
    h("strong", null, number(states[usual] ?? 0)),
    h("span", { class: "faint" }, plain(usual)),
    [...others, ...also].map(([name, many]) => h("span", null, state(name), " ", number(many))),
  );
}

/** @param {string} name @param {import("../types.js").Overview} seen */
function resource(name, seen) {
  const { total, allocated, offered, used } = seen.now;
  const [all, held] = [total[name] ?? 0, allocated[name] ?? 0];
  const to = seen.now.at_s;
  const measured = name in used;
  const points = [...seen.history, seen.now].map((at) => ({ at: at.at_s, values: [at.allocated[name] ?? 0, at.used[name] ?? 0] }));
  const from = Math.max(to - HOUR_S, points[0].at);
  const most = Math.max(all, ...[...seen.history].map((at) => at.total[name] ?? 0));
  const title = TITLES[name] ?? name;
  const first = points[0].values[0];
  const told = `${title} allocated: ${amount(name, first)} at first, ${amount(name, held)} now, of ${amount(name, all)}.`;
  return h(
    "section",
    { class: "resource", key: name },
    h("h2", null, title, h("span", { class: "faint" }, ` ${amount(name, all)}`)),
    h("div", { class: "big" }, h("strong", null, percent(held, all)), h("span", { class: "faint" }, ` ${amount(name, held)} allocated`)),
    meter(name, all, held, offered[name] ?? 0, measured ? used[name] : -1),
    h("div", { class: "row" }, measured ? h("span", { class: "key used" }, `${amount(name, used[name])} used on the machines`) : h("span"), offered[name] ? h("span", { class: "key offered" }, `${amount(name, offered[name])} offered`) : null),
    points.length > 2 && curves({ points, most, colours: measured ? ["--accent", "--text"] : ["--accent"], fromS: from, toS: to, label: told }),
    points.length > 2 && h("div", { class: "row faint" }, h("span", null, `${count(Math.round((to - from) / 60), "minute")} ago`), h("span", null, "now")),
  );
}

/** Jobs of which instances wait. */
function waiting() {
  const known = use("/v1/jobs?limit=1000", 5000);
  const jobs = (known.data?.jobs ?? []).filter((/** @type {import("../types.js").Job} */ j) => j.explanation || j.counts.pending || j.counts.waiting);
  if (known.error) return h("section", null, h("h2", null, "What waits"), wrong(known));
  if (!jobs.length) return null;
  return h("section", null, h("h2", null, "What waits"), table({
    name: "waiting",
    label: "Jobs of which instances wait",
    fixed: true,
    rows: jobs.slice(0, 20),
    key: (j) => j.job_id,
    columns: [
      { title: "Job", width: "30%", cell: (j) => link(to("jobs", j.job_id), j.name) },
      { title: "Waiting", num: true, width: "6rem", cell: (j) => number((j.counts.pending ?? 0) + (j.counts.waiting ?? 0)) },
      { title: "Why", cell: (j) => j.explanation ?? link(to("jobs", j.job_id), "its instances say why") },
    ],
  }));
}

/** @param {import("../types.js").Task[]} failed @param {import("../store.js").Known} known */
function failures(failed, known) {
  return h(
    "section",
    null,
    h("h2", null, "What failed lately"),
    table({
      name: "failed",
      label: "Tasks that failed lately",
      fixed: true,
      rows: failed,
      known,
      empty: "Nothing that the master remembers has failed.",
      key: (t) => `${t.framework_id} ${t.task_id}`,
      columns: [
        { title: "When", width: "7rem", cell: (t) => ago(t.finished_at) },
        { title: "Task", width: "30%", cell: (t) => h("span", { class: "id" }, taskLink(t)) },
        { title: "State", width: "6rem", cell: (t) => state(t.state) },
        { title: "Agent", width: "9rem", wide: true, cell: agentLink },
        { title: "Why", cell: ending },
      ],
    }),
  );
}
