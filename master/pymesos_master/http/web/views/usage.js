// CPU and memory over the last minutes, of a task or an agent: what the master said while this page was open.

import { curves } from "../canvas.js";
import { amount, number, span, time } from "../format.js";
import { h } from "../render.js";
import { table } from "../table.js";

const EVERY_S = 2; // between two samples at least
const WINDOW_S = 600; // that are kept,
const MOST_KEPT = 30; // of so many tasks and agents
const NAMES = /** @type {const} */ (["cpus", "mem"]);
const TITLES = { cpus: "CPUs used", mem: "Memory used" };

/** @typedef {{at: number, cpus: number, mem: number}} Sample */
/** @type {Map<string, Sample[]>} those looked at last are at the end */
const kept = new Map();

/**
 * Note what is used now, and draw what was.
 * @param {string} key of what uses it @param {{at: number}} known when that was answered
 * @param {{cpus: number, mem: number} | null} used @param {Record<string, any>} total that it has
 */
export function usage(key, known, used, total) {
  const samples = kept.get(key) ?? [];
  kept.delete(key);
  kept.set(key, samples);
  for (const first of kept.keys()) if (kept.size > MOST_KEPT) kept.delete(first);
  const at = known.at / 1000;
  const last = samples.at(-1);
  if (used && (!last || at - last.at >= EVERY_S)) samples.push({ at, cpus: used.cpus, mem: used.mem });
  while (samples.length && samples[0].at < at - WINDOW_S) samples.shift();
  if (samples.length < 2) return null;
  const [from, to] = [samples[0].at, /** @type {Sample} */ (samples.at(-1)).at];
  const minutes = [...new Map(samples.map((one) => [Math.floor(one.at / 60), one])).values()].reverse();
  return h(
    "section",
    { "aria-label": "What it uses" },
    h("h2", null, "What it uses", h("span", { class: "faint" }, ` · since this page looks, ${span(WINDOW_S)} at most`)),
    h("div", { class: "resources" }, NAMES.map((name) => curve(name, samples, Number(total[name] ?? 0), from, to))),
    h("details", null, h("summary", null, "As a table"), table({
      name: "usage",
      label: "What it used at the end of each minute",
      fixed: true,
      rows: minutes,
      key: (m) => String(m.at),
      columns: [
        { title: "At", cell: (m) => time(new Date(m.at * 1000).toISOString()) },
        { title: "CPUs", num: true, width: "8rem", cell: (m) => number(m.cpus) },
        { title: "Memory", num: true, width: "8rem", cell: (m) => amount("mem", m.mem) },
      ],
    })),
  );
}

/** @param {"cpus" | "mem"} name @param {Sample[]} samples @param {number} total @param {number} from @param {number} to */
function curve(name, samples, total, from, to) {
  const values = samples.map((one) => one[name]);
  const most = Math.max(...values);
  const now = values[values.length - 1];
  const label = `${TITLES[name]}: ${amount(name, values[0])} at first, ${amount(name, now)} now, at most ${amount(name, most)}, of ${amount(name, total)}.`;
  return h(
    "section",
    { class: "resource", key: name },
    h("h3", null, TITLES[name], h("span", { class: "faint" }, ` ${amount(name, now)} of ${amount(name, total)}`)),
    curves({ points: samples.map((one) => ({ at: one.at, values: [one[name]] })), most: Math.max(total, most), colours: ["--accent"], fromS: from, toS: to, label }),
    h("div", { class: "row faint" }, h("span", null, `${span(to - from)} ago`), h("span", null, "now")),
  );
}
