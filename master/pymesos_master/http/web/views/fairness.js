// Who holds what, what is whose by right, and who is offered what.

import { ago, amount, number, percent } from "../format.js";
import { agentLink, frameworkLink, head, wrong } from "../parts.js";
import { h } from "../render.js";
import { use, useList } from "../store.js";
import { inOrder, table } from "../table.js";

const DAYS = 30;

export const title = () => "Offers and fairness";

export function view() {
  const roles = use("/v1/roles", 4000);
  const overview = use("/v1/overview?failures=1", 4000).data;
  const frameworks = useList("/v1/frameworks", {}, "frameworks", 2000);
  const offers = useList("/v1/offers", {}, "offers", 1000, 3000);
  const since = new Date(Date.now() - (DAYS - 1) * 86400e3).toISOString().slice(0, 10);
  const used = useList("/v1/accounting", { since }, "accounting", 200, 60000);
  const names = new Map(frameworks.rows.map((f) => [f.framework_id, f.name]));
  const total = overview?.now.total ?? {};
  return [
    head("Offers and fairness", "roles"),
    wrong(roles),
    h("section", null, h("h2", null, "Roles"), h("p", { class: "about" }, "A role's share is of the resource of which it holds most, with what the roles below it hold. The allocator offers next to the one with the least share for its weight."), table({
      name: "roles",
      label: "Roles",
      fixed: true,
      rows: tree(roles.data?.roles ?? []),
      known: roles,
      empty: "No role is in use.",
      key: (r) => r.role,
      columns: [
        { title: "Role", width: "18%", cell: (r) => h("span", { class: "branch", style: { "padding-left": `${r.depth * 1.1}rem` } }, r.role === "*" ? "* (everybody)" : r.name) },
        { title: "Share", width: "20%", cell: (r) => shareOf(r, total) },
        { title: "Weight", num: true, width: "5.5rem", cell: (r) => number(r.weight) },
        { title: "Guaranteed", width: "14%", cell: (r) => bag(r.guarantees) },
        { title: "Limit", width: "18%", cell: (r) => bag(r.limits, true) },
        { title: "Reserved", width: "12%", wide: true, cell: (r) => bag(r.reserved) },
        { title: "Frameworks", wide: true, cell: (r) => r.frameworks.map((/** @type {string} */ id, /** @type {number} */ n) => [n > 0 && ", ", frameworkLink(id, names.get(id))]) },
      ],
    })),
    h("section", null, h("h2", null, "Who holds what"), wrong(frameworks), table({
      name: "holders",
      label: "What frameworks hold",
      fixed: true,
      sort: "-share",
      known: frameworks,
      empty: "No framework has subscribed yet.",
      rows: inOrder(frameworks.rows, "-share", { share: (f) => f.dominant_share, cpus: (f) => f.allocated.cpus, mem: (f) => f.allocated.mem, name: (f) => f.name }).slice(0, 100),
      key: (f) => f.framework_id,
      columns: [
        { title: "Framework", sort: "name", width: "22%", cell: (f) => frameworkLink(f.framework_id, f.name) },
        { title: "Dominant share", sort: "share", width: "20%", cell: (f) => bar(f.dominant_share) },
        { title: "CPUs", sort: "cpus", num: true, width: "6rem", cell: (f) => number(f.allocated.cpus) },
        { title: "Memory", sort: "mem", num: true, width: "7rem", cell: (f) => amount("mem", f.allocated.mem) },
        { title: "Wants no offers in", wide: true, cell: (f) => f.suppressed_roles.join(", ") },
      ],
    })),
    h("section", null, h("h2", null, `Used in the last ${DAYS} days`), wrong(used), table({
      name: "accounting",
      label: `Used in the last ${DAYS} days`,
      fixed: true,
      known: used,
      empty: "Nothing has been used.",
      rows: used.rows.slice(0, 200),
      key: (r) => r.role ?? "",
      columns: [
        { title: "Role", width: "22%", cell: (r) => r.role ?? "(rest)" },
        { title: "CPU hours", num: true, width: "8rem", cell: (r) => number(r.asked_cpu_hours) },
        { title: "Really used", width: "20%", cell: (r) => bar(r.asked_cpu_hours && r.used_cpu_hours / r.asked_cpu_hours) },
        { title: "Memory, GiB hours", num: true, width: "10rem", cell: (r) => number(r.asked_mem_gib_hours) },
        { title: "Really used", wide: true, cell: (r) => bar(r.asked_mem_gib_hours && r.used_mem_gib_hours / r.asked_mem_gib_hours) },
        { title: "GPU hours", num: true, width: "7rem", cell: (r) => number(r.asked_gpu_hours) },
      ],
    })),
    h("section", null, h("h2", null, "Offers that are not answered yet"), wrong(offers), table({
      name: "offers",
      label: "Offers",
      fixed: true,
      known: offers,
      empty: "Nobody holds an offer: all is answered.",
      rows: offers.rows.slice(0, 200),
      key: (o) => o.offer_id,
      columns: [
        { title: "Held", num: true, width: "6rem", cell: (o) => ago(o.offered_at) },
        { title: "Framework", width: "20%", cell: (o) => frameworkLink(o.framework_id, names.get(o.framework_id)) },
        { title: "Role", width: "16%", cell: (o) => o.role },
        { title: "Agent", width: "16%", cell: agentLink },
        { title: "Offered", cell: (o) => bag(o.resources) },
        { title: "Kind", width: "6rem", wide: true, cell: (o) => o.optimistic && h("span", { class: "tag", title: "others are offered the same" }, "optimistic") },
      ],
    })),
  ];
}

/** Roles with how deep they are, each below the one that it belongs to. @param {import("../types.js").Role[]} roles */
function tree(roles) {
  const known = new Map(roles.map((r) => [r.role, r]));
  return [...roles]
    .sort((a, b) => order(a.role, b.role))
    .map((r) => {
      const parts = r.role.split("/");
      let depth = 0;
      let name = r.role;
      for (let n = parts.length - 1; n > 0; n -= 1) {
        if (!known.has(parts.slice(0, n).join("/"))) continue;
        if (!depth) name = parts.slice(n).join("/");
        depth += 1;
      }
      return { ...r, depth, name };
    });
}

/** @param {string} a @param {string} b */
function order(a, b) {
  const [x, y] = [a.split("/").join("\0"), b.split("/").join("\0")];
  return x < y ? -1 : 1;
}

/** @param {import("../types.js").Role} role @param {Record<string, number>} total */
function shareOf(role, total) {
  const parts = Object.entries(total).filter(([name, all]) => all > 0 && name !== "ports").map(([name, all]) => /** @type {[string, number]} */ ([name, (role.allocated[name] ?? 0) / all]));
  const [name, part] = parts.reduce((most, one) => (one[1] > most[1] ? one : most), ["", 0]);
  return h("span", { title: name && `of ${name}` }, bar(part));
}

/** @param {number} part */
function bar(part) {
  return h("span", { class: "use" }, h("span", { class: "meter", "aria-hidden": "true" }, h("span", { class: "part", style: { width: `${Math.min(100, 100 * part)}%` } })), h("span", { class: "share" }, percent(part, 1)));
}

/** @param {Record<string, any>} amounts @param {boolean} [zeros] are said, too */
function bag(amounts, zeros = false) {
  return Object.entries(amounts).filter(([, value]) => typeof value === "number" && (zeros || value > 0)).map(([name, value]) => `${amount(name, value)} ${name}`).join(", ") || h("span", { class: "faint" }, "–");
}
