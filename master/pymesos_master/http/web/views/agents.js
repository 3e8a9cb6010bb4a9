// Agents: a map of all, a table, and one of them.

import { map } from "../canvas.js";
import { ago, amount, count, number, percent, plain, state, time } from "../format.js";
import { absent, act, choose, facts, head, meter, quoted, searchBox, TASK, taskLink, use as share, wrong } from "../parts.js";
import { h } from "../render.js";
import { go, link, redraw, route, to } from "../router.js";
import { address, use, useList } from "../store.js";
import { table, wanted } from "../table.js";
import { usage } from "./usage.js";

/** @type {[string, string][]} */
const BY = [["", "CPUs"], ["mem", "Memory"], ["disk", "Disk"]];
const MOST_TILES = 20000;

/** @param {import("../router.js").Route} at */
export const title = (at) => (at.path[1] ? "Agent" : "Agents");

/** @param {import("../router.js").Route} at */
export const view = (at) => (at.path[1] ? one(at.path[1]) : all(at));

/** @param {import("../router.js").Route} at */
function all(at) {
  const search = at.query.get("search") ?? "";
  const sort = at.query.get("sort") ?? "hostname";
  const asked = at.query.get("by");
  const by = asked === "mem" || asked === "disk" ? asked : "cpus";
  const list = useList("/v1/agents", { search, sort }, "agents", wanted("agents"));
  return [
    head("Agents", "agents", searchBox("Find agents"), choose("by", "Map by", BY)),
    wrong(list),
    chart(search, by),
    table({
      name: "agents",
      label: "Agents",
      sort: "hostname",
      rows: list.rows,
      more: list.more,
      known: list,
      empty: search ? "No agent has these words." : "No agent has come yet.",
      key: (a) => a.agent_id,
      columns: [
        { title: "Host", sort: "hostname", width: "16%", cell: (a) => link(to("agents", a.agent_id), a.hostname || a.agent_id) },
        { title: "State", sort: "state", width: "12rem", cell: (a) => standing(a) },
        { title: "Tasks", sort: "tasks", num: true, width: "5.5rem", cell: (a) => number(a.tasks) },
        { title: "CPUs", sort: "cpus", hint: "Sorted by what is used", width: "17%", cell: (a) => share("cpus", a) },
        { title: "Memory", sort: "mem", hint: "Sorted by what is used", width: "17%", cell: (a) => share("mem", a) },
        { title: "Disk", width: "14%", wide: true, cell: (a) => share("disk", a) },
        { title: "Registered", sort: "registered", num: true, width: "8rem", wide: true, cell: (a) => ago(a.registered_at) },
      ],
    }),
  ];
}

/** Whether it has ended for maintenance. @param {import("../types.js").Agent} agent */
const isDown = (agent) => agent.drain?.down && agent.state === "unreachable";

/** @param {import("../types.js").Agent} agent */
function standing(agent) {
  return [state(agent.state), agent.drain && h("span", { class: "tag" }, isDown(agent) ? "machine down" : agent.drain.state), agent.maintenance && h("span", { class: "tag" }, "maintenance")];
}

let hovered = { index: -1, x: 0, y: 0 };

/** @param {string} search @param {"cpus" | "mem" | "disk"} by */
function chart(search, by) {
  const known = useAll(search);
  if (!known.rows.length) return null;
  const tiles = known.rows.map((/** @type {import("../types.js").Tile} */ a) => ({
    id: a.agent_id,
    part: a[by][1] ? a[by][0] / a[by][1] : 0,
    state: a.state === "active" ? (a.drain ? "busy" : "") : "warn",
    title: a.hostname,
  }));
  const away = tiles.filter((t) => t.state === "warn").length;
  const mean = tiles.reduce((sum, t) => sum + t.part, 0) / tiles.length;
  const tip = known.rows[hovered.index];
  return h(
    "figure",
    { class: "chart" },
    map({
      tiles,
      hovered: hovered.index,
      label: `A map of ${count(tiles.length, "agent")}: ${percent(mean, 1)} of their ${by} is allocated on average, and ${away} of them are away. The table below has each.`,
      onpick: (id) => {
        hovered = { index: -1, x: 0, y: 0 }; // nobody leaves a map that is gone
        go(to("agents", id));
      },
      onhover: (index, x, y) => {
        if (index === hovered.index) return;
        hovered = { index, x, y };
        redraw();
      },
    }),
    tip && h("div", { class: "tip", style: { left: `${Math.max(0, Math.min(hovered.x, innerWidth - 220))}px`, top: `${hovered.y + 18}px` } },
      h("strong", null, tip.hostname), " ", plain(tip.state), tip.drain && `, ${tip.drain}`, h("br"),
      `${amount(by, tip[by][0])} of ${amount(by, tip[by][1])} ${by}, ${count(tip.tasks, "task")}`),
    h("figcaption", null, h("span", { class: "scale", "aria-hidden": "true" }), `none to all of its ${by} allocated`, h("span", { class: "key cordon" }, "withheld"), h("span", { class: "key away" }, "away")),
  );
}

/** All agents in short. @param {string} search */
function useAll(search) {
  const list = useList("/v1/agents/map", { search }, "agents", MOST_TILES, 10000, MOST_TILES);
  return list;
}

/** @param {string} id */
function one(id) {
  const known = use(address("/v1/agents", { id_prefix: id, limit: 1 }), 3000);
  const agent = known.data?.agents.find((/** @type {import("../types.js").Agent} */ a) => a.agent_id === id);
  if (!agent) return [head("Agent", "agents"), absent(known, `No agent is called ${id}.`)];
  const list = useList("/v1/tasks", { agent_id: id, sort: "-launched" }, "tasks", wanted("tasks"), 3000);
  const drain = agent.drain;
  const host = quoted(agent.hostname || id);
  return [
    head(agent.hostname || id, `agents ${host}`, standing(agent), actions(agent, host)),
    wrong(known),
    drain && h(
      "section",
      { class: "notice" },
      h("strong", null, isDown(agent) ? "Its machine is down" : plain(drain.state)),
      drain.set_by && ` by ${drain.set_by}`,
      " ",
      ago(drain.set_at),
      drain.state === "draining" && !isDown(agent) && [`: ${count(agent.tasks, "task")} left`, drain.deadline && [", killed ", ago(drain.deadline)]],
      drain.then_gone && ". It is gone for good then.",
    ),
    agent.maintenance && h(
      "section",
      { class: "notice" },
      h("strong", null, "Maintenance"),
      agent.maintenance.start && ` from ${time(agent.maintenance.start)}`,
      agent.maintenance.duration_s && ` for ${Math.round(agent.maintenance.duration_s / 60)} min`,
      agent.maintenance.answers.map((a) => h("span", { class: "tag" }, `${a.framework || a.framework_id}: ${a.answer}`)),
    ),
    h("div", { class: "resources" }, ["cpus", "mem", "disk", ...others(agent)].map((name) => stacked(name, agent, list.rows))),
    usage(id, known, agent.usage?.cpus === undefined ? null : agent.usage, agent.resources),
    facts(/** @type {[string, any][]} */ ([
      ["Id", h("span", { class: "id" }, agent.agent_id)],
      ["Address", agent.address],
      ["Principal", agent.principal],
      ["Registered", ago(agent.registered_at)],
      ["Version", agent.version],
      ["Runtimes", agent.runtime],
      ["Attributes", Object.entries(agent.attributes).map(([name, value]) => h("span", { class: "tag" }, `${name}: ${value}`))],
      ["Reserved", agent.reserved.map((r) => h("span", { class: "tag" }, `${r.role}: ${Object.entries(r.resources).map(([name, value]) => `${amount(name, Number(value))} ${name}`).join(", ")}`))],
      ["Set aside", Object.keys(agent.set_aside).join(", ")],
    ]).filter(([, said]) => !Array.isArray(said) || said.length)),
    h("section", null, h("h2", null, "Tasks"), wrong(list), table({
      name: "tasks",
      label: `Tasks on ${agent.hostname}`,
      sort: "-launched",
      rows: list.rows,
      more: list.more,
      known: list,
      empty: "Nothing runs there.",
      key: (t) => `${t.framework_id} ${t.task_id}`,
      columns: [TASK.id, TASK.state, TASK.role, TASK.cpus, TASK.mem, TASK.launched],
    })),
  ];
}

/** @param {import("../types.js").Agent} agent */
const others = (agent) => Object.keys(agent.resources).filter((name) => !["cpus", "mem", "disk", "ports"].includes(name));

/** What of a resource is whose. @param {string} name @param {import("../types.js").Agent} agent @param {import("../types.js").Task[]} tasks */
function stacked(name, agent, tasks) {
  const total = agent.resources[name] ?? 0;
  const held = agent.allocated[name] ?? 0;
  const parts = tasks.filter((t) => !t.completed && t.resources[name] > 0 && t.state !== "TASK_UNREACHABLE").sort((a, b) => b.resources[name] - a.resources[name]);
  const offered = agent.offered[name] ?? 0;
  return h(
    "section",
    { class: "resource", key: name },
    h("h2", null, name === "cpus" ? "CPUs" : name === "mem" ? "Memory" : name[0].toUpperCase() + name.slice(1), h("span", { class: "faint" }, ` ${amount(name, total)}`)),
    h("div", { class: "big" }, h("strong", null, percent(held, total)), h("span", { class: "faint" }, ` ${amount(name, held)} allocated`)),
    h(
      "div",
      { class: "stack", role: "img", "aria-label": `${amount(name, held)} of ${amount(name, total)} by ${count(parts.length, "task")}` },
      parts.slice(0, 60).map((t) => h("a", { key: `${t.framework_id} ${t.task_id}`, href: to("tasks", t.framework_id, t.task_id), tabindex: "-1", title: `${t.task_id}: ${amount(name, t.resources[name])}`, "aria-hidden": "true", style: { width: `${(100 * t.resources[name]) / (total || 1)}%` } })),
      offered > 0 && h("span", { key: " offered", class: "offered", title: `${amount(name, offered)} offered`, style: { width: `${(100 * offered) / (total || 1)}%` } }),
    ),
    name in agent.usage && h("div", { class: "row" }, h("span", { class: "key used" }, `${amount(name, agent.usage[/** @type {"cpus"} */ (name)])} used`)),
  );
}

/** @param {import("../types.js").Agent} agent @param {string} host */
function actions(agent, host) {
  const ids = { agent_ids: [agent.agent_id] };
  const of = agent.hostname || agent.agent_id;
  if (agent.drain) {
    return act("Activate", { title: `Activate ${of}?`, what: "It is offered to frameworks again.", command: `activate ${host}`, url: "/v1/agents/activate", body: ids });
  }
  return [
    act("Cordon", { title: `Cordon ${of}?`, what: "It is offered to nobody; what runs there runs on.", command: `cordon ${host}`, url: "/v1/agents/cordon", body: ids }),
    act("Drain", { title: `Drain ${of}?`, what: `Its frameworks are told to move ${count(agent.tasks, "task")}; what is left in 10 minutes is killed.`, command: `drain ${host} --within 10m`, url: "/v1/agents/drain", body: { ...ids, within_s: 600 }, danger: true }),
  ];
}
