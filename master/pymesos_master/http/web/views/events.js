// Events: what happens, as it happens.

import { plain, state, time } from "../format.js";
import { choose, frameworkLink, head, searchBox, taskLink } from "../parts.js";
import { h } from "../render.js";
import { link, redraw, to } from "../router.js";
import { isLive, useEvents } from "../store.js";
import { table } from "../table.js";

/** @type {[string, string][]} */
const KINDS = [["", "any"], ["task", "tasks"], ["agent", "agents"], ["offer", "offers"], ["framework", "frameworks"], ["quota", "quota"], ["policy", "policy"], ["maintenance", "maintenance"]];
/** @type {any[] | null} what was there when somebody held it */
let held = null;

export const title = () => "Events";

/** @param {import("../router.js").Route} at */
export function view(at) {
  const kind = at.query.get("kind") ?? "";
  const words = (at.query.get("search") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const known = held ?? useEvents();
  const rows = known.filter((e) => (!kind || e.kind.startsWith(kind)) && words.every((word) => text(e).includes(word)));
  return [
    head(
      "Events",
      "events",
      searchBox("Only with these words"),
      choose("kind", "Of", KINDS),
      h("button", { onclick: hold }, held ? "Go on" : "Hold"),
      h("span", { class: `state ${isLive() ? "ok" : "busy"}` }, held ? "held" : isLive() ? "live" : "connecting"),
    ),
    table({
      name: "events",
      label: "Events",
      rows,
      empty: known.length ? "No event is like that." : "Nothing has happened since this page was opened.",
      key: (e) => String(e.number),
      columns: [
        { title: "When", width: "12.5rem", cell: (e) => time(e.timestamp) },
        { title: "What", width: "11rem", cell: (e) => plain(e.kind) },
        { title: "State", width: "8rem", cell: (e) => e.task_state && state(e.task_state) },
        { title: "Of", width: "30%", cell: of },
        { title: "Message", cell: (e) => h("span", { class: "said", title: e.message }, [e.reason && plain(e.reason), e.message].filter(Boolean).join(" · ")) },
      ],
    }),
  ];
}

function hold() {
  held = held ? null : [...useEvents()];
  redraw();
}

/** @param {import("../types.js").Event} e */
const text = (e) => `${e.kind} ${e.agent_id ?? ""} ${e.framework_id ?? ""} ${e.task_id ?? ""} ${e.task_state ?? ""} ${e.reason ?? ""} ${e.message ?? ""}`.toLowerCase();

/** @param {import("../types.js").Event} e */
function of(e) {
  if (e.task_id) return h("span", { class: "id" }, taskLink({ framework_id: e.framework_id ?? "", task_id: e.task_id }));
  if (e.agent_id) return h("span", { class: "id" }, link(to("agents", e.agent_id), e.agent_id));
  return e.framework_id ? h("span", { class: "id" }, frameworkLink(e.framework_id)) : "";
}
