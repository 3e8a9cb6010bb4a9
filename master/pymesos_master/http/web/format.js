// Amounts, times and names for people.

import { h } from "./render.js";

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const FINE = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** @param {number} value */
export const number = (value) => (Math.abs(value) < 10 ? FINE : NUMBER).format(value);

/** MiB as people say it. @param {number} mib */
export function mib(mib) {
  if (mib >= 1024 * 1024) return `${number(mib / 1024 / 1024)} TiB`;
  return mib >= 1024 ? `${number(mib / 1024)} GiB` : `${number(mib)} MiB`;
}

/** @param {number} size */
export function bytes(size) {
  if (size < 1024) return `${size} B`;
  return size < 1024 * 1024 ? `${number(size / 1024)} KiB` : mib(size / 1024 / 1024);
}

/** @param {string} name of a resource @param {number} value */
export const amount = (name, value) => (name === "mem" || name === "disk" ? mib(value) : number(value));

/** @param {number} part @param {number} whole */
export function percent(part, whole) {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  return `${share > 0 && share < 1 ? "<1" : Math.round(share)} %`;
}

/** @param {number} seconds */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** How long ago something was, with the time itself to hover. @param {string | null} iso */
export function ago(iso) {
  if (!iso) return h("span", { class: "faint" }, "–");
  const when = new Date(iso);
  const s = (Date.now() - when.getTime()) / 1000;
  return h("time", { datetime: iso, title: TIME.format(when) }, s < -1 ? `in ${span(-s)}` : `${span(s)} ago`);
}

/** A time itself; nothing, if it is not known. @param {string | null} iso */
export const time = (iso) => (iso ? TIME.format(new Date(iso)) : "");

/** TASK_RUNNING as "running". @param {string} state */
export const plain = (state) => state.replace(/^TASK_/, "").replaceAll("_", " ").toLowerCase();

/** @type {Record<string, string>} what a state means at a glance */
const KINDS = {
  active: "ok", running: "ok", finished: "ok", leading: "ok", ready: "ok",
  staging: "busy", starting: "busy", killing: "busy", draining: "busy", recovering: "busy",
  following: "busy", cordoned: "busy", leaving: "busy", drained: "busy", "rolling out": "busy", paused: "busy",
  disconnected: "warn", unreachable: "warn", quarantined: "warn", unknown: "warn",
  pending: "busy", resolved: "ok", firing: "bad",
  failed: "bad", error: "bad", lost: "bad", dropped: "bad", gone: "bad", "gone by operator": "bad",
};

/** A state, with a mark that says at a glance what it means. @param {string | null} state */
export function state(state) {
  if (!state) return h("span", { class: "faint" }, "–");
  const text = plain(state);
  return h("span", { class: `state ${KINDS[text] ?? ""}` }, text);
}

/** @param {number} count @param {string} one @param {string} [many] */
export const count = (count, one, many = `${one}s`) => `${NUMBER.format(count)} ${count === 1 ? one : many}`;
