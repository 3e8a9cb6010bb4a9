// Addresses: each view has one, with its search and its order, to be sent to a colleague.

import { h } from "./render.js";

/** @typedef {{path: string[], query: URLSearchParams}} Route */

let planned = false;
/** @type {() => void} */
let draw = () => {};
/** @type {() => void} */
let moved = () => {};

/** Where we are. @returns {Route} */
export function route() {
  const path = location.pathname.split("/").slice(1).map(decode);
  if (path.at(-1) === "") path.pop();
  return { path, query: new URLSearchParams(location.search) };
}

/** @param {string} part */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Draw anew before the next frame. */
export function redraw() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    draw();
  });
}

/** @param {() => void} how @param {() => void} then when another view is shown */
export function start(how, then) {
  [draw, moved] = [how, then];
  addEventListener("popstate", () => {
    moved();
    redraw();
  });
  document.addEventListener("click", (event) => {
    const anchor = /** @type {Element} */ (event.target).closest?.("a[href]");
    if (!anchor || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const url = new URL(/** @type {HTMLAnchorElement} */ (anchor).href);
    if (url.origin !== location.origin || url.hash || anchor.hasAttribute("download") || anchor.hasAttribute("target")) return;
    event.preventDefault();
    go(url.pathname + url.search);
  });
  redraw();
}

/** Go somewhere. @param {string} to @param {boolean} [replace] the place where we are, in the history */
export function go(to, replace = false) {
  const path = location.pathname;
  if (to !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", to);
  if (location.pathname !== path) moved();
  redraw();
}

/** An address made of parts, which may hold anything. @param {string[]} parts */
export const to = (...parts) => `/${parts.map(encodeURIComponent).join("/")}`;

/** This address with other parameters; null takes one away. @param {Record<string, string | null>} changes */
export function here(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  return location.pathname + (text ? `?${text}` : "");
}

/** A link to an address, or to this one with other parameters. @param {string | Record<string, string | null>} where @param {...any} kids */
export function link(where, ...kids) {
  return h("a", { href: typeof where === "string" ? where : here(where) }, ...kids);
}
