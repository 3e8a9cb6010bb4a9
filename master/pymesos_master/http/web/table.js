// A table of which only the rows in sight are made; the master sorts, and sends more when it is scrolled.

import { h } from "./render.js";
import { link, redraw, route } from "./router.js";
import { MOST_ROWS } from "./store.js";

const ROW_PX = 30;
const AROUND = 12; // rows beyond those in sight

/**
 * @typedef {{title: string, cell: (row: any) => any, sort?: string, num?: boolean, width?: string, wide?: boolean, hint?: string}} Column
 *   `width`: of CSS; `wide`: only where there is room
 * @typedef {{top: number, height: number, rows: number}} Place how far a table is scrolled
 */

/** @type {Map<string, Place>} by the address of what is shown */
const places = new Map();
/** @type {WeakMap<Element, Place>} what a box shows */
const shown = new WeakMap();
/** Tells how high boxes are once they are laid out: to ask them while they are drawn would do that twice. */
const heights = new ResizeObserver((changes) => {
  for (const { target } of changes) {
    const at = shown.get(target);
    if (!at || !target.clientHeight || Math.abs(target.clientHeight - at.height) <= ROW_PX) continue;
    at.height = target.clientHeight;
    redraw();
  }
});

/** How many rows a table wants: more, the further it is scrolled. @param {string} name */
export function wanted(name) {
  return place(name).rows;
}

/** @param {string} name @returns {Place} */
function place(name) {
  const key = `${name} ${location.pathname}${location.search}`;
  let found = places.get(key);
  if (!found) {
    if (places.size > 50) places.clear();
    places.set(key, (found = { top: 0, height: 600, rows: 200 }));
  }
  return found;
}

/**
 * @param {{name: string, columns: Column[], rows: any[], key: (row: any) => string, more?: boolean, known?: {at: number, error: any}, empty?: string, label: string, fixed?: boolean, sort?: string}} of
 *   `sort`: how it is sorted where the address says nothing; `fixed`: as high as its rows
 */
export function table(of) {
  const at = place(of.name);
  const { columns, rows } = of;
  const first = of.fixed ? 0 : Math.max(0, Math.floor(at.top / ROW_PX) - AROUND);
  const last = of.fixed ? rows.length : Math.min(rows.length, Math.ceil((at.top + at.height) / ROW_PX) + AROUND);
  const sorted = route().query.get("sort") ?? of.sort ?? "";

  /** @param {Event} event */
  const scrolled = (event) => {
    const box = /** @type {HTMLElement} */ (event.currentTarget);
    at.top = box.scrollTop;
    at.height = box.clientHeight;
    if (of.more && at.top + at.height > (rows.length - 40) * ROW_PX) at.rows = Math.min(MOST_ROWS, rows.length + 300);
    redraw();
  };

  /** @param {HTMLElement} box */
  const seen = (box) => {
    if (shown.get(box) === at) return;
    shown.set(box, at);
    heights.unobserve(box);
    heights.observe(box); // which tells it also of a box that is as high as before
  };

  return h(
    "div",
    { class: `table ${of.fixed ? "fixed" : ""}`, onscroll: of.fixed ? undefined : scrolled, ref: of.fixed ? undefined : seen, tabindex: "0", role: "region", "aria-label": of.label },
    h(
      "table",
      { "aria-rowcount": of.more ? -1 : rows.length + 1 },
      h("colgroup", null, columns.map((c) => h("col", { class: c.wide ? "wide" : "", style: c.width ? { width: c.width } : {} }))),
      h("thead", null, h("tr", { "aria-rowindex": 1 }, columns.map((c) => head(c, sorted)))),
      h(
        "tbody",
        null,
        space("above", first * ROW_PX, columns.length),
        rows.slice(first, last).map((row, index) =>
          h(
            "tr",
            { key: of.key(row), "aria-rowindex": first + index + 2 },
            columns.map((c) => h("td", { class: `${c.num ? "num" : ""} ${c.wide ? "wide" : ""}` }, c.cell(row))),
          ),
        ),
        space("below", (rows.length - last) * ROW_PX, columns.length),
      ),
    ),
    rows.length ? null : h("p", { class: "none" }, !of.known || of.known.at ? (of.known?.error ? "It could not be read." : (of.empty ?? "There is nothing here.")) : "Asking …"),
    of.more && rows.length >= MOST_ROWS && h("p", { class: "none" }, `The first ${MOST_ROWS} are shown; search for fewer.`),
  );
}

/** @param {string} key @param {number} px @param {number} columns */
function space(key, px, columns) {
  if (px <= 0) return null;
  return h("tr", { key: ` ${key}`, class: "space", "aria-hidden": "true" }, h("td", { colspan: columns, style: { height: `${px}px` } }));
}

/** @param {Column} column @param {string} sorted */
function head(column, sorted) {
  const up = column.sort && sorted === column.sort;
  const down = column.sort && sorted === `-${column.sort}`;
  const css = `${column.num ? "num" : ""} ${column.wide ? "wide" : ""}`;
  if (!column.sort) return h("th", { class: css, scope: "col" }, column.title);
  const next = down ? column.sort : up ? `-${column.sort}` : column.num ? `-${column.sort}` : column.sort;
  return h(
    "th",
    { class: css, scope: "col", title: column.hint, "aria-sort": up ? "ascending" : down ? "descending" : undefined },
    link({ sort: next }, column.title, h("span", { class: "arrow", "aria-hidden": "true" }, up ? "↑" : down ? "↓" : "")),
  );
}

/**
 * Sort a list that came whole, as the address says.
 * @param {any[]} rows @param {string} usual @param {Record<string, (row: any) => any>} keys
 */
export function inOrder(rows, usual, keys) {
  const sort = route().query.get("sort") ?? usual;
  const of = keys[sort.replace(/^-/, "")];
  if (!of) return rows;
  const sign = sort.startsWith("-") ? -1 : 1;
  return [...rows].sort((a, b) => (of(a) < of(b) ? -sign : of(a) > of(b) ? sign : 0));
}
