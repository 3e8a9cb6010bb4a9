// Variables: what the jobs of a role share, who has it and who does not take it, and what each was before.

import { ago, count, number } from "../format.js";
import { act, facts, frameworkLink, head, quoted, searchBox, wrong } from "../parts.js";
import { h } from "../render.js";
import { link, to } from "../router.js";
import { address, use, useList } from "../store.js";
import { inOrder, table, wanted } from "../table.js";

/** @param {import("../router.js").Route} at */
export const title = (at) => (at.path[2] ? "Variable" : "Variables");

/** @param {import("../router.js").Route} at */
export const view = (at) => (at.path[3] ? one(at.path[1], at.path[2], at.path[3]) : all(at));

const HIDDEN = "(hidden)";

/** @param {import("../types.js").Variable} v */
const value = (v) => (v.value === null ? h("span", { class: "faint" }, HIDDEN) : h("span", { class: "said", title: v.value }, v.value));

/** @param {import("../types.js").Variable} v */
const key = (v) => `${v.framework_id} ${v.role} ${v.name}`;

/** @param {string} role @param {string} name @param {string} now @param {string | null} framework */
function set(role, name, now, framework) {
  const known = name !== "";
  const of = (/** @type {import("../parts.js").Values} */ values) => ({ role: known ? role : String(values.role), name: known ? name : String(values.name), value: String(values.value) });
  return act(known ? "Set" : "Set a variable", {
    title: known ? `Set ${name} of ${role}` : "Set a variable",
    what: "Each job that refers to it gets another version, and its services roll, one job after the other.",
    fields: [
      ...(known ? [] : [{ name: "role", label: "Role", type: "text", value: "", required: true }, { name: "name", label: "Name", type: "text", value: "", required: true }]),
      { name: "value", label: "Value", type: "text", value: now },
    ],
    command: (values) => ["variables set", ...Object.values(of(values)).map(quoted)].join(" "),
    url: "/v1/variables/set",
    body: (/** @type {import("../parts.js").Values} */ values) => ({ ...of(values), ...(framework ? { framework } : {}) }),
  });
}

/** @param {import("../router.js").Route} at */
function all(at) {
  const words = (at.query.get("search") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const list = useList("/v1/variables", {}, "variables", wanted("variables"), 4000);
  const rows = list.rows.filter((v) => words.every((word) => `${v.role} ${v.name}`.toLowerCase().includes(word)));
  return [
    head("Variables", "variables list", searchBox("Find variables"), set("", "", "", null)),
    wrong(list),
    table({
      name: "variables",
      label: "Variables",
      sort: "name",
      known: list,
      empty: words.length ? "No variable has these words." : "No role has any.",
      key,
      rows: inOrder(rows, "name", { name: (v) => v.name, role: (v) => v.role, jobs: (v) => v.jobs, set: (v) => v.set_at }),
      columns: [
        { title: "Variable", sort: "name", width: "22%", cell: (v) => link(to("variables", v.framework_id, v.role, v.name), v.name) },
        { title: "Role", sort: "role", width: "9rem", cell: (v) => v.role },
        { title: "Value", cell: (v) => value(v) },
        { title: "Jobs", sort: "jobs", num: true, width: "6rem", cell: (v) => [number(v.jobs), v.spreading && h("span", { class: "tag" }, "spreading"), v.untaken.length > 0 && h("span", { class: "tag bad" }, `${number(v.untaken.length)} not`)] },
        { title: "Version", num: true, width: "6rem", wide: true, cell: (v) => v.version },
        { title: "Set", sort: "set", num: true, width: "8rem", wide: true, cell: (v) => ago(v.set_at) },
        { title: "By", width: "9rem", wide: true, cell: (v) => v.set_by ?? "" },
      ],
    }),
  ];
}

/** @param {string} framework @param {string} role @param {string} name */
function one(framework, role, name) {
  const history = use(address("/v1/variables/history", { role, name, framework }), 4000);
  const list = use(address("/v1/variables", { role, framework, limit: 1000 }), 4000);
  const command = `variables history ${quoted(role)} ${quoted(name)}`;
  const versions = history.data?.versions ?? [];
  const now = versions[0];
  if (!now) return [head("Variable", command), wrong(history), !history.error && h("p", { class: "none" }, "Asking …")];
  const state = list.data?.variables.find((v) => v.name === name) ?? now;
  return [
    head(name, command, h("span", { class: "buttons" }, set(role, name, now.value ?? "", framework), act("Remove", {
      title: `Remove ${name} of ${role}?`,
      what: "It is refused while a job refers to it that has not ended.",
      command: `variables remove ${quoted(role)} ${quoted(name)}`,
      url: "/v1/variables/remove",
      body: { role, name, framework },
      danger: true,
    }))),
    wrong(history),
    state.spreading && h("p", { class: "notice" }, "Its value is given to one job after the other."),
    state.untaken.map((u) => h("p", { key: u.job_id, class: "notice" }, link(to("jobs", u.job_id), u.job_id), " does not take it: ", u.why)),
    facts([
      ["Value", value(now)],
      ["Role", role],
      ["Jobs", count(state.jobs, "job")],
      ["Framework", frameworkLink(framework)],
    ]),
    h("section", null, h("h2", null, "What it was"), table({
      name: "values",
      label: `Values of ${name}`,
      fixed: true,
      known: history,
      rows: versions,
      empty: "Nothing is kept.",
      key: (v) => String(v.version),
      columns: [
        { title: "No.", width: "4rem", num: true, cell: (v) => number(v.version) },
        { title: "Value", cell: (v) => value(v) },
        { title: "Set", num: true, width: "9rem", cell: (v) => ago(v.set_at) },
        { title: "By", width: "12rem", wide: true, cell: (v) => v.set_by ?? "" },
      ],
    })),
  ];
}
