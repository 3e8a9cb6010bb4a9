// A command in a task: what it says, and a line to type. It is no terminal.

import { cli, quoted } from "../parts.js";
import { h } from "../render.js";
import { redraw } from "../router.js";
import { address, ask } from "../store.js";

const MOST = 256 * 1024; // characters that are kept, …
const MOST_PIECES = 1000; // … in so many pieces of stdout, stderr and what was typed
const PLAIN = /^[\w./=:@%+,-]+( +[\w./=:@%+,-]+)*$/; // what no shell need read
const STDERR = 2;

/** @typedef {{kind: string, text: string}} Piece */
/** @typedef {{of: string, socket: WebSocket, pieces: Piece[], size: number, opened: boolean, over: string}} Session */
/** @type {Session | null} */
let session = null;
let command = "sh";
let line = "";

/** @param {string} text */
const argv = (text) => (PLAIN.test(text) ? text.split(/ +/) : ["sh", "-c", text]);

/** @param {import("../types.js").Task} task */
export function exec(task) {
  const of = `${task.framework_id} ${task.task_id}`;
  if (session && session.of !== of) end();
  const now = session;
  const open = now !== null && !now.over;
  return h(
    "section",
    { class: "exec" },
    h("div", { class: "head" }, h("h2", null, "A command in it"), h("span", { class: "grow" }), cli(`exec -it ${quoted(task.task_id)} -- ${argv(command).map(quoted).join(" ")}`)),
    h(
      "form",
      { class: "row", onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); begin(of, task); } },
      h("label", { class: "search" }, h("span", { class: "hidden" }, "Command"), h("input", { type: "text", value: command, maxlength: 4000, required: true, disabled: open, autocomplete: "off", spellcheck: "false", oninput: (/** @type {Event} */ event) => { command = /** @type {HTMLInputElement} */ (event.target).value.trim(); redraw(); } })),
      !open && h("button", null, "Run"),
      open && h("button", { type: "button", onclick: () => tell({ signal: 2 }) }, "Interrupt"),
      open && h("button", { type: "button", onclick: () => tell({ stdin_closed: true }) }, "End input"),
      open && h("button", { type: "button", onclick: () => { end(); redraw(); } }, "Close"),
    ),
    now && h("pre", { class: "log", tabindex: "0", role: "log", "aria-label": "What the command says", ref: atEnd }, now.pieces.map((piece, index) => h("span", { key: String(index), class: piece.kind }, piece.text)), !now.pieces.length && (now.opened ? "It has said nothing yet." : "Asking …")),
    now?.over && h("p", { class: "faint", role: "status" }, now.over),
    open && now.opened && h(
      "form",
      { class: "row", onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); type(/** @type {HTMLFormElement} */ (event.target)); } },
      h("label", { class: "search typed" }, h("span", { class: "hidden" }, "Input, line by line"), h("input", { name: "line", type: "text", placeholder: "Input, line by line", maxlength: 4000, autocomplete: "off", spellcheck: "false", autofocus: true, value: line, oninput: (/** @type {Event} */ event) => { line = /** @type {HTMLInputElement} */ (event.target).value; } })),
      h("button", null, "Send"),
    ),
    h("p", { class: "faint" }, "Lines go in and text comes out: what draws on a screen, as editors do, needs the terminal of ", h("code", null, "pymesos-cli exec -it"), "."),
  );
}

/** Stay at the end. @param {HTMLElement} box */
function atEnd(box) {
  const size = String(session?.size ?? 0);
  if (box.dataset.size !== size) box.scrollTop = box.scrollHeight;
  box.dataset.size = size;
}

function end() {
  const was = session;
  session = null;
  was?.socket.close();
}

/** @param {any} what */
function tell(what) {
  if (session?.socket.readyState === WebSocket.OPEN) session.socket.send(JSON.stringify(what));
}

/** @param {HTMLFormElement} form */
function type(form) {
  const input = /** @type {HTMLInputElement} */ (form.elements.namedItem("line"));
  if (session?.socket.readyState !== WebSocket.OPEN) return;
  const text = `${input.value}\n`;
  session.socket.send(new TextEncoder().encode(text));
  say(session, "said", text);
  input.value = line = "";
}

/** @param {Session} to @param {string} kind @param {string} text */
function say(to, kind, text) {
  const last = to.pieces.at(-1);
  if (last?.kind === kind) last.text += text;
  else if (text) to.pieces.push({ kind, text });
  to.size += text.length;
  let kept = to.pieces.reduce((sum, piece) => sum + piece.text.length, 0);
  while (kept > MOST || to.pieces.length > MOST_PIECES) {
    const first = to.pieces[0];
    const cut = kept > MOST ? Math.min(first.text.length, kept - MOST / 2) : first.text.length;
    first.text = first.text.slice(cut);
    kept -= cut;
    if (!first.text) to.pieces.shift();
  }
  redraw();
}

/** @param {string} of @param {import("../types.js").Task} task */
function begin(of, task) {
  end();
  const path = address(`/v1/tasks/${encodeURIComponent(task.task_id)}/exec`, { framework_id: task.framework_id });
  const socket = new WebSocket(location.origin.replace(/^http/, "ws") + path);
  socket.binaryType = "arraybuffer";
  /** @type {Session} */
  const now = (session = { of, socket, pieces: [], size: 0, opened: false, over: "" });
  const decoders = { out: new TextDecoder(), wrong: new TextDecoder() };
  socket.addEventListener("open", () => {
    now.opened = true;
    socket.send(JSON.stringify({ argv: argv(command) }));
    redraw();
  });
  socket.addEventListener("message", (event) => {
    if (typeof event.data === "string") {
      const said = JSON.parse(event.data);
      now.over = said.error ? said.error.message : `It has ended, with ${said.exit_status}.`;
      redraw();
      return;
    }
    const bytes = new Uint8Array(event.data);
    const kind = bytes[0] === STDERR ? "wrong" : "out";
    say(now, kind, decoders[kind].decode(bytes.subarray(1), { stream: true }));
  });
  socket.addEventListener("close", async () => {
    now.over ||= now.opened ? "The connection has ended." : await whyNot(task);
    redraw();
  });
  redraw();
  const here = location.pathname;
  const watching = setInterval(() => {
    if (session === now && location.pathname !== here) end(); // nobody looks any more
    if (session !== now) clearInterval(watching);
  }, 1000);
}

/** Why nothing was opened: a browser is not told. @param {import("../types.js").Task} task */
async function whyNot(task) {
  try {
    const can = await ask(address("/v1/can", { verb: "exec", role: task.role }));
    return can.allowed ? "It was not opened: the task has ended, or this master does not lead." : can.problem;
  } catch (error) {
    return /** @type {any} */ (error).message;
  }
}
