// Jobs: all that the frameworks serve, and one: its instances, its rollouts as they move, its versions.

import { ago, count, number, plain, state } from "../format.js";
import { absent, act, facts, frameworkLink, head, quoted, searchBox, tick, wrong } from "../parts.js";
import { h } from "../render.js";
import { link, to } from "../router.js";
import { address, use, useList } from "../store.js";
import { inOrder, table, wanted } from "../table.js";
import { kinds } from "./kinds.js";

/** @param {import("../router.js").Route} at */
export const title = (at) => (at.path[1] ? "Job" : "Jobs");

/** @param {import("../router.js").Route} at */
export const view = (at) => (at.path[1] ? one(at.path[1]) : all(at));

/** Instances by what they do: "3 running, 1 pending". @param {Record<string, number>} counts */
const counted = (counts) => Object.entries(counts).filter(([, many]) => many).map(([phase, many]) => `${number(many)} ${plain(phase)}`).join(", ");

/** The package that it was made from: "redis 1.0.0". @param {import("../types.js").JobDetail} job */
const packaged = (job) => (job.package ? `${job.package.name} ${job.package.version}` : null);

/** @param {import("../router.js").Route} at */
function all(at) {
  const ended = at.query.get("ended") === "true";
  const words = (at.query.get("search") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const list = useList("/v1/jobs", { ended, search: at.query.get("search"), sort: at.query.get("sort") ?? "-submitted" }, "jobs", wanted("jobs"), 4000);
  return [
    head("Jobs", ended ? "jobs --all" : "jobs", searchBox("Find jobs"), tick("ended", "also ended"), h("a", { class: "button", href: "/whatif" }, "New or changed job")),
    wrong(list),
    table({
      name: "jobs",
      label: "Jobs",
      sort: "-submitted",
      known: list,
      empty: words.length ? "No job has these words." : "No job runs.",
      key: (j) => j.job_id,
      rows: inOrder(list.rows, "-submitted", { name: (j) => j.name, state: (j) => j.state, role: (j) => j.role ?? "", submitted: (j) => j.submitted_at, version: (j) => j.version ?? 0 }),
      columns: [
        { title: "Job", sort: "name", width: "22%", cell: (j) => link(to("jobs", j.job_id), j.name) },
        { title: "State", sort: "state", width: "7.5rem", cell: (j) => state(j.state) },
        { title: "Instances", cell: (j) => counted(j.counts) },
        { title: "Version", sort: "version", num: true, width: "6.5rem", cell: (j) => j.version ?? "–" },
        { title: "Package", width: "9rem", wide: true, cell: (j) => packaged(j) ?? "–" },
        { title: "Role", sort: "role", width: "9rem", wide: true, cell: (j) => j.role ?? "–" },
        { title: "Submitted", sort: "submitted", num: true, width: "8rem", cell: (j) => ago(j.submitted_at) },
        { title: "Id", width: "14%", wide: true, cell: (j) => h("span", { class: "id faint" }, j.job_id) },
      ],
    }),
  ];
}

/** @param {string} id */
function one(id) {
  /** @type {`/v1/jobs/${string}`} */
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  const known = use(path, 1500);
  const job = known.data;
  if (!job) return [head("Job", `jobs ${quoted(id)}`), absent(known, `No job is called ${id}.`)];
  const instances = useList(`${path}/instances`, {}, "instances", wanted("instances"), 2000);
  const versions = use(`${path}/versions`, 5000);
  const ended = ["finished", "failed", "stopped"].includes(job.state);
  return [
    head(job.name, `describe ${quoted(id)}`, state(job.state), !ended && deeds(job, instances.rows)),
    wrong(known),
    job.explanation && h("p", { class: "notice" }, job.explanation),
    job.rollouts.length > 0 && h("section", null, h("h2", null, "Rollouts"), job.rollouts.map((r) => rollout(job, r))),
    lacking(instances.rows),
    kinds(job, path, ended),
    facts([
      ["Id", h("span", { class: "id" }, job.job_id)],
      ["Role", job.role],
      ["Priority", job.priority],
      ["Version", job.version],
      ["Package", packaged(job)],
      ["Instances", counted(job.counts)],
      ["Framework", frameworkLink(job.framework_id)],
      ["Submitted", ago(job.submitted_at)],
    ]),
    h("section", null, h("h2", null, "Instances"), wrong(instances), table({
      name: "instances",
      label: `Instances of ${job.name}`,
      rows: instances.rows,
      more: instances.more,
      known: instances,
      empty: "It has no instances.",
      key: (i) => `${i.task_name}.${i.instance} ${i.version} ${i.task_id ?? ""}`,
      columns: [
        { title: "Instance", width: "18%", cell: (i) => (i.task_id ? link(to("tasks", job.framework_id, i.task_id), `${i.task_name}.${i.instance}`) : `${i.task_name}.${i.instance}`) },
        { title: "State", width: "8.5rem", cell: (i) => [state(i.state ?? (i.done ? "finished" : "waits")), i.leaving && h("span", { class: "tag" }, "leaving")] },
        { title: "Ready", width: "4.5rem", cell: (i) => (i.service ? (i.ready ? "yes" : "no") : "") },
        { title: "Version", num: true, width: "5.5rem", cell: (i) => i.version ?? "–" },
        { title: "Agent", width: "9rem", cell: (i) => (i.agent_id ? link(to("agents", i.agent_id), i.hostname || i.agent_id) : "–") },
        { title: "Attempts", num: true, width: "6.2rem", wide: true, cell: (i) => number(i.attempts) },
        { title: "Why it waits, or how it ended", cell: (i) => said(i) },
      ],
    })),
    history(job, versions, ended),
    document_(path),
  ];
}

/** @param {import("../types.js").Instance} i */
function said(i) {
  const text = [i.explanation, i.nearest, i.reason && plain(i.reason), i.exit_status ? `exit ${i.exit_status}` : ""].filter(Boolean).join(" · ");
  return h("span", { class: "said", title: text }, text);
}

/** What waits, and what it lacks, in the words of the framework. @param {import("../types.js").Instance[]} instances */
function lacking(instances) {
  const waits = instances.filter((i) => !i.task_id && !i.done && (i.explanation || i.nearest));
  if (!waits.length) return null;
  /** @type {Map<string, number>} */
  const why = new Map();
  for (const i of waits) {
    const text = [i.explanation, i.nearest && `The nearest: ${i.nearest}`].filter(Boolean).join(" ");
    why.set(text, (why.get(text) ?? 0) + 1);
  }
  return h("section", { class: "notice" }, h("strong", null, `${count(waits.length, "instance")} ${waits.length === 1 ? "waits" : "wait"}`), [...why].slice(0, 5).map(([text, many]) => h("p", null, many < waits.length && `${number(many)}: `, text)));
}

/** @param {import("../types.js").JobDetail} job @param {import("../types.js").Instance[]} instances */
function deeds(job, instances) {
  const name = quoted(job.job_id);
  // Each agent has one of a daemon, each run what its task says, and what is measured scales the others.
  const others = new Set([...job.daemons, ...job.periodic, ...job.scaling].map((d) => d.task_name));
  const tasks = [...new Set(instances.map((i) => i.task_name))].filter((task) => !others.has(task)).slice(0, 20);
  const now = Object.fromEntries(tasks.map((task) => [task, new Set(instances.filter((i) => i.task_name === task && !i.leaving).map((i) => i.instance)).size]));
  const changed = (/** @type {Record<string, number>} */ values) => Object.entries(values).filter(([task, many]) => many !== now[task] && many > 0);
  return h(
    "span",
    { class: "buttons" },
    tasks.length > 0 && act("Scale", {
      title: `Scale ${job.name}`,
      what: "Fewer: those with the highest numbers end.",
      fields: tasks.map((task) => ({ name: task, label: task, type: "number", value: now[task], min: 1, max: 10000 })),
      command: (values) => `scale ${changed(values).map(([task, many]) => `${name}.${task}=${many}`).join(" ") || `${name}.TASK=N`}`,
      url: "/v1/jobs/scale",
      body: (/** @type {import("../parts.js").Values} */ values) => ({ job: job.job_id, counts: Object.fromEntries(changed(values)) }),
    }),
    act("Restart", { title: `Restart ${job.name}?`, what: "Every instance of its services is replaced, as a rollout.", command: `restart ${name}`, url: "/v1/jobs/restart", body: { job: job.job_id } }),
    act("Stop", { title: `Stop ${job.name}?`, what: "It ends, with all its tasks.", command: `stop ${name}`, url: "/v1/jobs/stop", body: { job: job.job_id }, danger: true }),
  );
}

/** A rollout as it moves. @param {import("../types.js").JobDetail} job @param {import("../types.js").Rollout} r */
function rollout(job, r) {
  const all = Math.max(1, r.wanted + r.surge, r.old + r.made);
  const part = (/** @type {number} */ many) => ({ width: `${(100 * many) / all}%` });
  const of = { job: job.job_id, task: r.task_name };
  const name = `${quoted(job.job_id)}.${r.task_name}`;
  const steer = (/** @type {"Promote" | "Resume" | "Pause" | "Abort"} */ verb, /** @type {string} */ what, danger = false) => {
    const deed = /** @type {Lowercase<typeof verb>} */ (verb.toLowerCase());
    return act(verb, { title: `${verb} the rollout of ${r.task_name}?`, what, command: `rollout ${deed} ${name}`, url: `/v1/jobs/${deed}`, body: of, danger });
  };
  return h(
    "div",
    { key: r.task_name, class: "rollout" },
    h("strong", null, r.task_name, h("span", { class: "faint" }, ` v${r.from_version} → v${r.to_version}`)),
    state(r.state),
    h(
      "div",
      { class: "stack", role: "img", "aria-label": `${r.ready} of ${r.wanted} instances are ready in the new version, ${r.made - r.ready} of it are not yet, ${r.old} are of others` },
      h("span", { style: part(r.ready) }),
      h("span", { class: "made", style: part(r.made - r.ready) }),
      h("span", { class: "old", style: part(r.old) }),
    ),
    r.going
      ? h("span", { class: "buttons" },
        r.state === "waiting_promotion" && steer("Promote", "The canaries stay, and the other instances follow."),
        r.state === "paused" ? steer("Resume", "It goes on, with new deadlines.") : steer("Pause", "Nothing is replaced until it is resumed."),
        steer("Abort", "It ends where it is: what is ready stays, of whichever version.", true))
      : h("span"),
    h("span", { class: "row" }, h("span", { class: "key" }, `${r.ready} ready`), h("span", { class: "key made" }, `${r.made - r.ready} new, not ready`), h("span", { class: "key old" }, `${r.old} old`), h("span", null, `${r.wanted} wanted${r.surge ? `, ${r.surge} more may run` : ""}`), h("span", null, "began ", ago(r.began_at), r.by && ` by ${r.by}`)),
    r.why && h("span", { class: "said" }, r.why),
  );
}

/** @param {import("../types.js").JobDetail} job @param {import("../store.js").Known<import("../types.js").Answer<`/v1/jobs/${string}/versions`>>} known @param {boolean} ended */
function history(job, known, ended) {
  const versions = known.data?.versions ?? [];
  return h("section", null, h("h2", null, "Versions"), wrong(known), table({
    name: "versions",
    label: `Versions of ${job.name}`,
    fixed: true,
    rows: versions,
    known,
    empty: "It has one version only.",
    key: (v) => String(v.version),
    columns: [
      { title: "No.", width: "4rem", num: true, cell: (v) => `v${v.version}` },
      { title: "Made", width: "8rem", cell: (v) => ago(v.made_at) },
      { title: "By", width: "10rem", wide: true, cell: (v) => v.made_by ?? "" },
      { title: "What", width: "9rem", cell: (v) => v.what },
      { title: "Changes", cell: (v) => changes(v) },
      { title: "Action", width: "7rem", cell: (v) => !ended && v.version !== job.version && act("Roll back", { title: `Make ${job.name} what v${v.version} said?`, what: "That is a new version; numbers of instances stay.", command: `rollback ${quoted(job.job_id)} ${v.version}`, url: "/v1/jobs/rollback", body: { job: job.job_id, version: v.version } }) },
    ],
  }));
}

/** What differs, key by key. @param {Pick<import("../types.js").JobVersion, "changes" | "more_changes">} of */
export function changes(of) {
  return [
    of.changes.map((c, /** @type {number} */ n) => h("span", { class: "change", title: `${c.path}: ${c.before ?? "nothing"} → ${c.after ?? "nothing"}` }, n > 0 && ", ", c.path, ": ", c.before !== null && h("del", null, c.before), c.before !== null && c.after !== null && " → ", c.after !== null && h("ins", null, c.after))),
    of.more_changes > 0 && `, and ${count(of.more_changes, "more")}`,
  ];
}

let shown = false;

/** The job file, when somebody wants to see it. @param {`/v1/jobs/${string}`} path */
function document_(path) {
  const known = shown ? use(address(`${path}/document`), 10000) : null;
  return h(
    "details",
    { ontoggle: (/** @type {Event} */ event) => { shown = /** @type {HTMLDetailsElement} */ (event.target).open; } , open: shown },
    h("summary", null, "The job file in force"),
    known && [wrong(known), known.data && h("pre", { tabindex: "0" }, JSON.stringify(known.data.job, null, 2))],
  );
}
