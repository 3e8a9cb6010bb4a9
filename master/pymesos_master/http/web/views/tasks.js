// Tasks: a search over all, and one of them.

import { ago, amount, bytes, count, number, percent, plain, span, state, time } from "../format.js";
import { absent, act, agentLink, choose, cli, ending, facts, frameworkLink, head, quoted, searchBox, TASK, tick, wrong } from "../parts.js";
import { h } from "../render.js";
import { redraw } from "../router.js";
import { address, askBytes, heardOf, use, useList } from "../store.js";
import { table, wanted } from "../table.js";
import { exec } from "./exec.js";
import { logs } from "./logs.js";
import { usage } from "./usage.js";

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
  const task = known.data?.tasks.find((t) => t.task_id === id);
  if (!task) return [head("Task", `explain task ${quoted(id)}`), absent(known, `The master knows no task ${id}: it may have forgotten it.`)];
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
      ["Runs on", task.revocable ? "what others do not use: it ends when they do" : null],
      ["Uses now", task.usage && `${number(task.usage.cpus)} CPUs, ${amount("mem", task.usage.mem)}`],
      ["Ports", task.resources.ports.slice(0, 20).join(", ")],
      ["Image", task.image],
      ["Healthy", task.healthy === null ? null : task.healthy ? "yes" : h("span", { class: "state bad" }, "no")],
      ["Ready", task.ready === null ? null : task.ready ? "yes" : h("span", { class: "state busy" }, "not yet")],
    ]),
    !task.finished_at && usage(id, known, task.usage, task.resources),
    !task.finished_at && placed(task),
    task.started_at && logs(task),
    task.started_at && files(task),
    task.state === "TASK_RUNNING" && exec(task),
  ];
}

/** @param {import("../types.js").Task} task */
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

/** What became of it, with times. @param {import("../types.js").Task} task */
function story(task) {
  const launched = task.launched_at;
  /** @type {[string, string | null, any][]} */
  const steps = [
    ["launched", task.launched_at, ["on ", agentLink(task)]],
    ["started", task.started_at, null],
    [plain(task.state), task.finished_at, ending(task)],
  ];
  const heard = heardOf(task).map((e) => h("li", { key: `heard ${e.number}` }, h("span", { class: "when" }, time(e.timestamp)), h("span", { class: "faint" }, plain(e.kind)), " ", e.task_state && state(e.task_state), " ", h("span", { class: "said" }, [e.reason && plain(e.reason), e.message].filter(Boolean).join(" · "))));
  const waits = !task.finished_at && task.message ? h("li", null, h("span", { class: "when" }, "now"), state(task.state), " ", ending(task)) : null;
  return h(
    "ol",
    { class: "story" },
    steps.map(([what, at, more], index) =>
      at && h("li", { key: what }, h("span", { class: "when" }, time(at)), state(what), " ", more, index > 0 && launched && h("span", { class: "faint" }, ` after ${span((Date.parse(at) - Date.parse(launched)) / 1000)}`)),
    ),
    waits,
    heard.length > 0 && h("li", { key: "heard" }, h("details", { open: true }, h("summary", null, "Since this page is open"), h("ol", { class: "heard" }, heard))),
  );
}

/** Why it is where it is, if its framework says. @param {import("../types.js").Task} task */
function placed(task) {
  if (!/^.+-[0-9a-f]{8}\..+\./.test(task.task_id)) return null; // of no job
  const said = use(`/v1/tasks/${encodeURIComponent(task.task_id)}/placement`, 60000).data;
  if (!said || said.unknown) return null;
  return h(
    "section",
    null,
    h("h2", null, "Why there"),
    facts([
      ["Compared", `${count(said.considered ?? 0, "agent")}, of which ${number(said.fitted ?? 0)} would do`],
      ["Policy", said.policy],
      ["Its score", number(said.score ?? 0)],
      ["The next best", said.others.slice(0, 3).map((o) => `${o.hostname} ${number(o.score)}`).join(", ")],
      ["Ruled out", said.ruled_out.map((r) => `${r.rule} (${number(r.agents)})`).join(", ")],
    ]),
    said.scores_mean && h("p", { class: "about" }, `Of scores, ${said.scores_mean}.`),
  );
}

let folder = "";
let ofTask = "";

/** The files that it has, to be loaded. @param {import("../types.js").Task} task */
function files(task) {
  if (ofTask !== task.task_id) [ofTask, folder] = [task.task_id, ""];
  /** @type {`/v1/tasks/${string}`} */
  const path = `/v1/tasks/${encodeURIComponent(task.task_id)}`;
  const known = use(address(`${path}/files`, { path: folder, framework_id: task.framework_id }), 10000);
  const up = folder.split("/").slice(0, -1).join("/");
  const into = (/** @type {string} */ where) => () => {
    folder = where;
    redraw();
  };
  const rows = known.data?.files ?? [];
  const inside = (/** @type {import("../types.js").File} */ f) => (folder ? `${folder}/${f.name}` : f.name);
  return h("section", null, h("div", { class: "head" }, h("h2", null, "Files"), h("span", { class: "id faint" }, `/${folder}`), folder && h("button", { onclick: into(up) }, "Up"), h("span", { class: "grow" }), cli(`cp ${quoted(`${task.task_id}:${folder || "stdout"}`)} .`)), wrong(known), saving.text && saving.of === task.task_id && h("p", { class: "notice", role: "status" }, saving.text), table({
    name: "files",
    label: "Files of the task",
    fixed: true,
    rows,
    known,
    empty: "There are no files here.",
    key: (f) => f.name,
    columns: [
      { title: "Name", cell: (f) => h("button", { class: "quiet id", onclick: f.is_directory ? into(inside(f)) : () => save(task, `${path}/file`, { path: inside(f), framework_id: task.framework_id }, f) }, f.is_directory ? `${f.name}/` : f.name) },
      { title: "Size", num: true, width: "8rem", cell: (f) => (f.is_directory ? "" : bytes(f.size_bytes)) },
      { title: "Changed", num: true, width: "9rem", cell: (f) => ago(f.modified_at) },
    ],
  }));
}

const MOST_SAVED = 64 * 1024 * 1024;
let saving = { of: "", text: "" };

/** Load a file, part by part. @param {import("../types.js").Task} task @param {string} url @param {Record<string, string>} query @param {import("../types.js").File} file */
async function save(task, url, query, file) {
  const say = (/** @type {string} */ text) => {
    saving = { of: task.task_id, text };
    redraw();
  };
  const tooLarge = (/** @type {number} */ size) => say(`${file.name} has ${bytes(size)}: copy it with pymesos-cli cp.`);
  if (file.size_bytes > MOST_SAVED) return tooLarge(file.size_bytes);
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const parts = [];
  try {
    for (let offset = 0; offset < MOST_SAVED; ) {
      const part = await askBytes(address(url, { ...query, offset }));
      if (!part.bytes.length) break;
      parts.push(part.bytes);
      offset += part.bytes.length;
      if (offset >= part.size) break;
      if (part.size > MOST_SAVED) return tooLarge(part.size); // it has grown
      say(`${file.name}: ${percent(offset, part.size)}`);
    }
  } catch (error) {
    return say(/** @type {any} */ (error).message);
  }
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(new Blob(parts));
  anchor.download = file.name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60000);
  say("");
}
