// Frameworks: all, and one of them.

import { ago, amount, count, number, percent, span, state } from "../format.js";
import { absent, facts, frameworkLink, head, quoted, searchBox, TASK, tick, wrong } from "../parts.js";
import { h } from "../render.js";
import { use, useList } from "../store.js";
import { inOrder, table, wanted } from "../table.js";

/** @param {import("../router.js").Route} at */
export const title = (at) => (at.path[1] ? "Framework" : "Frameworks");

/** @param {import("../router.js").Route} at */
export const view = (at) => (at.path[1] ? one(at.path[1]) : all(at));

/** @param {import("../router.js").Route} at */
function all(at) {
  const completed = at.query.get("completed") === "true";
  const words = (at.query.get("search") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const list = useList("/v1/frameworks", { completed }, "frameworks", 2000);
  const found = list.rows.filter((f) => words.every((word) => `${f.framework_id} ${f.name} ${f.roles.join(" ")} ${f.state}`.toLowerCase().includes(word)));
  return [
    head("Frameworks", "frameworks", searchBox("Find frameworks"), tick("completed", "also ended")),
    wrong(list),
    table({
      name: "frameworks",
      label: "Frameworks",
      sort: "name",
      known: list,
      empty: words.length ? "No framework has these words." : "No framework has subscribed yet.",
      key: (f) => f.framework_id,
      rows: inOrder(found, "name", {
        name: (f) => f.name,
        state: (f) => f.state,
        tasks: (f) => f.tasks,
        share: (f) => f.dominant_share,
        cpus: (f) => f.allocated.cpus,
        mem: (f) => f.allocated.mem,
        registered: (f) => f.registered_at,
      }),
      columns: [
        { title: "Framework", sort: "name", width: "24%", cell: (f) => frameworkLink(f.framework_id, f.name) },
        { title: "State", sort: "state", width: "8rem", cell: (f) => state(f.state) },
        { title: "Roles", wide: true, cell: (f) => f.roles.join(", ") },
        { title: "Tasks", sort: "tasks", num: true, width: "5.5rem", cell: (f) => number(f.tasks) },
        { title: "Share", sort: "share", num: true, width: "5.8rem", cell: (f) => percent(f.dominant_share, 1) },
        { title: "CPUs", sort: "cpus", num: true, width: "5.8rem", wide: true, cell: (f) => number(f.allocated.cpus) },
        { title: "Memory", sort: "mem", num: true, width: "7rem", wide: true, cell: (f) => amount("mem", f.allocated.mem) },
        { title: "Registered", sort: "registered", num: true, width: "8rem", cell: (f) => ago(f.registered_at) },
      ],
    }),
  ];
}

/** @param {string} id */
function one(id) {
  const known = useList("/v1/frameworks", { id_prefix: id, completed: true }, "frameworks", 1, 3000);
  const framework = known.rows.find((f) => f.framework_id === id);
  if (!framework) return [head("Framework", "frameworks"), absent(known, `No framework is called ${id}.`)];
  const list = useList("/v1/tasks", { framework_id: id, sort: "-launched", completed: true }, "tasks", wanted("tasks"));
  return [
    head(framework.name || id, `explain framework ${quoted(id)}`, state(framework.state)),
    wrong(known),
    facts([
      ["Id", h("span", { class: "id" }, id)],
      ["Roles", framework.roles.join(", ")],
      ["User", framework.user],
      ["Principal", framework.principal],
      ["Tasks", number(framework.tasks)],
      ["Dominant share", percent(framework.dominant_share, 1)],
      ["Allocated", `${number(framework.allocated.cpus)} CPUs, ${amount("mem", framework.allocated.mem)}`],
      ["Offered", `${number(framework.offered.cpus)} CPUs, ${amount("mem", framework.offered.mem)}`],
      ["Wants no offers in", framework.suppressed_roles.join(", ")],
      ["Jobs service", framework.jobs_address],
      ["Failover timeout", `${number(framework.failover_timeout_s)} s`],
      ["Registered", ago(framework.registered_at)],
    ]),
    framework.state === "active" && offered(id),
    h("section", null, h("h2", null, "Tasks"), wrong(list), table({
      name: "tasks",
      label: `Tasks of ${framework.name}`,
      sort: "-launched",
      rows: list.rows,
      more: list.more,
      known: list,
      empty: "It has no tasks.",
      key: (t) => t.task_id,
      columns: [TASK.id, TASK.state, TASK.host, TASK.cpus, TASK.mem, TASK.launched],
    })),
  ];
}

/** Why it is not offered more: its place in each role, and what keeps agents from it. @param {string} id */
function offered(id) {
  const known = use(`/v1/frameworks/${encodeURIComponent(id)}/explain`, 5000);
  const said = known.data;
  if (!said) return wrong(known);
  const rows = said.roles.flatMap((r) =>
    (r.withheld.length ? r.withheld : [null]).map((why, /** @type {number} */ n) => ({ ...r, why, first: n === 0 })),
  );
  return h(
    "section",
    null,
    h("h2", null, "Why it is not offered more"),
    h("p", { class: "about" }, `It holds ${count(said.offers_held, "offer")}, of ${count(said.agents, "agent")}; the last came `, said.last_offer_at ? ago(said.last_offer_at) : "never", said.agents_awaited ? `. ${count(said.agents_awaited, "agent")} are awaited after a failover.` : "."),
    table({
      name: "withheld",
      label: "Why it is not offered more",
      fixed: true,
      rows,
      empty: "It is in no role.",
      key: (r) => `${r.role} ${r.why?.reason ?? ""}`,
      columns: [
        { title: "Role", width: "16%", cell: (r) => (r.first ? r.role : "") },
        { title: "Place", num: true, width: "6rem", cell: (r) => r.first && (r.suppressed ? "–" : `${r.place} of ${r.of}`) },
        { title: "Share / weight", num: true, width: "9rem", cell: (r) => r.first && percent(r.weighted_share, 1) },
        { title: "Agents", num: true, width: "5.5rem", cell: (r) => r.why && number(r.why.agents) },
        { title: "What withholds them", cell: (r) => (r.why ? h("span", { class: "said", title: r.why.hostnames.join(", ") }, r.why.text, r.why.first_ends_in_s ? `, the first for ${span(r.why.first_ends_in_s)} yet` : "") : r.suppressed ? "it wants none" : "nothing") },
        { title: "As", width: "20%", wide: true, cell: (r) => r.why?.hostnames.slice(0, 5).join(", ") },
      ],
    }),
  );
}
