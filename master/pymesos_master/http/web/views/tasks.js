// Tasks: a search over all, and one of them.

import { ago, amount, number, plain, span, state, time } from "../format.js";
import { act, agentLink, choose, ending, facts, frameworkLink, head, quoted, searchBox, TASK, tick, wrong } from "../parts.js";
import { h } from "../render.js";
import { link, to } from "../router.js";
import { address, use, useList } from "../store.js";
import { table, wanted } from "../table.js";
import { logs } from "./logs.js";

const STATES = ["STAGING", "STARTING", "RUNNING", "KILLING", "FINISHED", "FAILED", "KILLED", "ERROR", "LOST", "DROPPED", "UNREACHABLE", "GONE", "GONE_BY_OPERATOR"].map((name) => `TASK_${name}`);

/** @param {import("../router.js").Route} at */
export const title = (at) => at.path[2] ?? "Tasks";

/** @param {import("../router.js").Route} at */
export const view = (at) => (at.path[2] ? one(at.path[1], at.path[2]) : all(at));

/** @param {import("../router.js").Route} at */
function all(at) {
  const search = at.query.get("search") ?? "";
  const completed = at.query.get("completed") === "true";
  const chosen = at.query.get("state") ?? "";
  const sort = at.query.get("sort") ?? "-launched";
  const list = useList("/v1/tasks", { search, completed, sort, state: chosen }, "tasks", wanted("tasks"));
  return [
    head(
      "Tasks",
      completed ? "tasks --all" : "tasks",
      searchBox("Find tasks by any word"),
      choose("state", "State", [["", "any"], .../** @type {[string, string][]} */ (STATES.map((name) => [name, plain(name)]))]),
      tick("completed", "also ended"),
    ),
    wrong(list),
    table({
      name: "tasks",
      label: "Tasks",
      sort: "-launched",
      rows: list.rows,
      more: list.more,
      known: list,
      empty: search || chosen ? "No task is like that." : "No task runs.",
      key: (t) => `${t.framework_id} ${t.task_id}`,
      columns: [TASK.id, TASK.state, TASK.role, TASK.host, TASK.cpus, TASK.mem, TASK.launched, ...(completed ? [TASK.ended, TASK.why] : [])],
    }),
  ];
}

/** @param {string} framework @param {string} id */
function one(framework, id) {
  const known = use(address("/v1/tasks", { framework_id: framework, id_prefix: id, completed: true, sort: "id", limit: 1 }), 2000);
  const task = known.data?.tasks.find((/** @type {any} */ t) => t.task_id === id);
  if (!task) return [head("Task", `explain task ${quoted(id)}`), wrong(known), h("p", { class: "none" }, known.at ? `The master knows no task ${id}: it may have forgotten it.` : "Asking …")];
  return [
    head(id, `explain task ${quoted(id)}`, state(task.state), !task.finished_at && kill(task)),
    wrong(known),
    story(task),
    facts([
      ["Name", task.name],
      ["Agent", agentLink(task)],
      ["Framework", frameworkLink(task.framework_id)],
      ["Role", task.role],
      ["Resources", `${number(task.resources.cpus)} CPUs, ${amount("mem", task.resources.mem)}${task.resources.disk ? `, ${amount("disk", task.resources.disk)} disk` : ""}`],
      ["Uses now", task.usage && `${number(task.usage.cpus)} CPUs, ${amount("mem", task.usage.mem)}`],
      ["Ports", task.resources.ports.slice(0, 20).join(", ")],
      ["Image", task.image],
      ["Healthy", task.healthy === null ? null : task.healthy ? "yes" : h("span", { class: "state bad" }, "no")],
      ["Ready", task.ready === null ? null : task.ready ? "yes" : h("span", { class: "state busy" }, "not yet")],
    ]),
    task.started_at && logs(task),
  ];
}

/** @param {any} task */
function kill(task) {
  return act("Kill", {
    title: `Kill ${task.task_id}?`,
    what: "It is sent SIGTERM, and SIGKILL later if it goes on. Its framework may start another in its place.",
    command: `kill ${quoted(task.task_id)}`,
    url: "/v1/tasks/kill",
    body: { framework_id: task.framework_id, task_id: task.task_id },
    danger: true,
  });
}

/** What became of it, with times. @param {any} task */
function story(task) {
  const launched = task.launched_at;
  const steps = [
    ["launched", task.launched_at, ["on ", agentLink(task)]],
    ["started", task.started_at, null],
    [plain(task.state), task.finished_at, ending(task)],
  ].filter(([, at]) => at);
  const waits = !task.finished_at && task.message ? h("li", null, h("span", { class: "when" }, "now"), state(task.state), " ", ending(task)) : null;
  return h(
    "ol",
    { class: "story" },
    steps.map(([what, at, more], index) =>
      h("li", { key: what }, h("span", { class: "when" }, time(at)), state(what), " ", more, index > 0 && h("span", { class: "faint" }, ` after ${span((Date.parse(at) - Date.parse(launched)) / 1000)}`)),
    ),
    waits,
  );
}
