// What a task writes: the end of it, and then what comes, with a search.

import { bytes } from "../format.js";
import { choose, cli, quoted, wrong } from "../parts.js";
import { h } from "../render.js";
import { redraw, route } from "../router.js";
import { address, askBytes } from "../store.js";

const LAST = 128 * 1024; // of what is there at first
const MOST = 1024 * 1024; // characters that are kept
const EVERY_MS = 1000;
const AGAIN_MS = 3000; // after what went wrong

/** @typedef {{key: string, text: string, offset: number, cut: boolean, error: any, decoder: TextDecoder, held: string, at: number}} Log */
/** @type {Log | null} */
let log = null;
let found = "";
let ofTask = "";
const COLOURS = /\x1b\[[0-9;]{0,30}m/g; // of terminals
const BEGUN = /\x1b(\[[0-9;]{0,30})?$/; // what may be the first part of one

/** @param {import("../types.js").Task} task */
export function logs(task) {
  const path = route().query.get("file") || "stdout";
  const url = `/v1/tasks/${encodeURIComponent(task.task_id)}/file`;
  const key = `${task.framework_id} ${task.task_id} ${path}`;
  const of = `${task.framework_id} ${task.task_id}`;
  if (ofTask !== of) [ofTask, found] = [of, ""];
  if (log?.key !== key) {
    log = { key, text: "", offset: -1, cut: false, error: null, decoder: new TextDecoder(), held: "", at: 0 };
    follow(log, url, { path, framework_id: task.framework_id });
  }
  const now = log;
  const lines = now.text.split("\n");
  const shown = found ? lines.filter((line) => line.toLowerCase().includes(found.toLowerCase())) : lines;
  return h(
    "section",
    { class: "logs" },
    h(
      "div",
      { class: "head" },
      h("h2", null, "What it writes"),
      choose("file", "File", [["", "stdout"], ["stderr", "stderr"]]),
      h("label", { class: "search" }, h("span", { class: "hidden" }, "Find in these lines"), h("input", { type: "search", placeholder: "Find in these lines", value: found, oninput: (/** @type {Event} */ event) => { found = /** @type {HTMLInputElement} */ (event.target).value; redraw(); } })),
      found && h("span", { class: "faint" }, `${shown.length} of ${lines.length} lines`),
      h("span", { class: "grow" }),
      cli(`logs ${path === "stderr" ? "--stderr " : ""}${task.finished_at ? "" : "-f "}${quoted(task.task_id)}`),
    ),
    now.error && wrong(now),
    now.cut && h("p", { class: "faint" }, `Only the end is shown, ${bytes(MOST)} at most; cp has all of it.`),
    h("pre", { class: "log", tabindex: "0", role: "log", "aria-label": path, ref: atEnd }, now.text ? (found ? marked(shown) : now.text) : now.at ? "It has written nothing." : "Asking …"),
  );
}

/** Stay at the end, unless somebody has gone up. @param {HTMLElement} box */
function atEnd(box) {
  const before = Number(box.dataset.height ?? 0);
  if (box.scrollTop + box.clientHeight >= before - 40) box.scrollTop = box.scrollHeight;
  box.dataset.height = String(box.scrollHeight);
}

/** @param {string[]} lines */
function marked(lines) {
  return lines.slice(-2000).map((line, index) => {
    const at = line.toLowerCase().indexOf(found.toLowerCase());
    return h("span", { key: String(index) }, line.slice(0, at), h("mark", null, line.slice(at, at + found.length)), `${line.slice(at + found.length)}\n`);
  });
}

/** Keep what came, without colours. @param {Log} to @param {string} text */
function add(to, text) {
  const all = to.held + text;
  to.held = BEGUN.exec(all)?.[0] ?? "";
  to.text += all.slice(0, all.length - to.held.length).replace(COLOURS, "");
}

/** Ask for more as long as somebody looks. @param {Log} of @param {string} url @param {Record<string, string>} query */
async function follow(of, url, query) {
  while (log === of && location.pathname.startsWith("/tasks/")) {
    if (!document.hidden) {
      try {
        const from = of.offset < 0 ? { last: LAST } : { offset: of.offset };
        const part = await askBytes(address(url, { ...query, ...from }));
        if (of.offset < 0) of.cut = part.offset > 0;
        of.offset = part.offset + part.bytes.length;
        if (part.bytes.length) add(of, of.decoder.decode(part.bytes, { stream: true }));
        if (of.text.length > MOST) {
          of.text = of.text.slice(-MOST / 2);
          of.cut = true;
        }
        of.error = null;
        of.at = Date.now();
        if (part.bytes.length) {
          redraw();
          if (of.offset < part.size) continue;
        }
      } catch (error) {
        of.error = error;
      }
      redraw();
    }
    await new Promise((done) => setTimeout(done, of.error ? AGAIN_MS : EVERY_MS));
  }
  if (log === of) log = null;
}
