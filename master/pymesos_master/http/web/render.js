// What is shown, as a tree of plain objects, and the DOM made like it: changed where it differs.

/**
 * @typedef {string | number | null | undefined | false} Text
 * @typedef {{tag: string, key: string, props: Record<string, any>, kids: Kid[]}} Tree
 * @typedef {Tree | string} Kid
 * @typedef {Tree | Text | any[]} Given what `h` takes: lists are flattened, nothing is left out
 */

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "rect", "circle", "g", "line"]);
/** What an element was made like. @type {WeakMap<Node, Kid>} */
const made = new WeakMap();

// What nobody sees, and what makes others appear elsewhere: control characters, marks of direction.
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** A text as it is shown: what nobody would see of it stands as it is written, as in \u202e. @param {string} text */
const visible = (text) => text.replace(HIDDEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

/**
 * An element as it should be. `key` tells it from its siblings when they move; `ref` is called with
 * the element whenever it has been made or looked at.
 * @param {string} tag
 * @param {Record<string, any> | null} [props]
 * @param {...Given} kids
 * @returns {Tree}
 */
export function h(tag, props, ...kids) {
  return { tag, key: String(props?.key ?? ""), props: props ?? {}, kids: flat(kids, []) };
}

/** @param {Given[]} kids @param {Kid[]} into @returns {Kid[]} */
function flat(kids, into) {
  for (const kid of kids) {
    if (Array.isArray(kid)) flat(kid, into);
    else if (kid === null || kid === undefined || kid === false || kid === "") continue;
    else into.push(typeof kid === "object" ? kid : String(kid));
  }
  return into;
}

/**
 * Make the children of an element like these.
 * @param {Element} parent @param {Kid[]} kids @param {Kid[]} [before] what they are like
 */
export function patch(parent, kids, before) {
  if (before && same(kids, before)) return;
  const byKey = !before || before.some(hasKey) || kids.some(hasKey) ? keep(parent, kids) : NONE;
  let at = parent.firstChild;
  for (const kid of kids) {
    const keyed = typeof kid === "object" && kid.key ? byKey.get(kid.key) : undefined;
    let node = keyed ?? (at && fits(at, kid) ? at : null);
    if (node && fits(node, kid)) {
      if (node === at) at = at.nextSibling;
      else parent.insertBefore(node, at);
    } else {
      node = make(kid);
      parent.insertBefore(node, at);
    }
    update(node, kid);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** @type {Map<string, ChildNode>} */
const NONE = new Map();
/** @param {Kid} kid */
const hasKey = (kid) => typeof kid === "object" && kid.key !== "";

/** Whether both are nothing, or one text, as most elements have: that is told without the DOM. @param {Kid[]} kids @param {Kid[]} before */
function same(kids, before) {
  return kids.length === before.length && (!kids.length || (kids.length === 1 && typeof kids[0] === "string" && kids[0] === before[0]));
}

/** The children that have keys which are wanted; those with others go. @param {Element} parent @param {Kid[]} kids */
function keep(parent, kids) {
  const wanted = new Set(kids.map((kid) => (typeof kid === "object" ? kid.key : "")));
  /** @type {Map<string, ChildNode>} */
  const byKey = new Map();
  for (const node of [...parent.childNodes]) {
    const was = made.get(node);
    const key = typeof was === "object" ? was.key : "";
    if (!key) continue;
    if (wanted.has(key)) byKey.set(key, node);
    else node.remove(); // first, so that those behind it need not move
  }
  return byKey;
}

/** Whether a node can become like that. @param {ChildNode} node @param {Kid} kid */
function fits(node, kid) {
  const was = made.get(node);
  if (was === undefined) return false;
  if (typeof was === "string" || typeof kid === "string") return typeof was === typeof kid;
  return was.tag === kid.tag && was.key === kid.key;
}

/** @param {Kid} kid @returns {ChildNode} */
function make(kid) {
  if (typeof kid === "string") return document.createTextNode("");
  return SVG_TAGS.has(kid.tag)
    ? document.createElementNS(SVG, kid.tag)
    : document.createElement(kid.tag);
}

/** @param {ChildNode} node @param {Kid} kid */
function update(node, kid) {
  const was = made.get(node);
  made.set(node, kid);
  if (typeof kid === "string") {
    if (was !== kid) node.nodeValue = visible(kid);
    return;
  }
  const element = /** @type {HTMLElement} */ (node);
  const before = typeof was === "object" ? was.props : {};
  for (const name in before) if (!(name in kid.props)) set(element, name, undefined, before[name]);
  for (const name in kid.props) set(element, name, kid.props[name], before[name]);
  patch(element, kid.kids, typeof was === "object" ? was.kids : []);
  kid.props.ref?.(element);
}

/** @param {HTMLElement} element @param {string} name @param {any} value @param {any} before */
function set(element, name, value, before) {
  if (name === "key" || name === "ref") return;
  if (name === "style") {
    for (const one in before ?? {}) if (!(one in (value ?? {}))) element.style.removeProperty(one);
    for (const one in value ?? {}) {
      if (before?.[one] !== value[one]) element.style.setProperty(one, String(value[one]));
    }
  } else if (name.startsWith("on")) {
    // What it returns is nothing to the browser, which would take false for `preventDefault`.
    if (value !== before) /** @type {any} */ (element)[name] = value ? (/** @type {Event} */ event) => void value(event) : null;
  } else if (name === "value" || name === "checked" || name === "indeterminate") {
    // What somebody is typing stays.
    if (value !== before && !(name === "value" && element === document.activeElement)) {
      /** @type {any} */ (element)[name] = value ?? "";
    }
  } else if (value !== before) {
    if (value === undefined || value === null || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : visible(String(value)));
  }
}
