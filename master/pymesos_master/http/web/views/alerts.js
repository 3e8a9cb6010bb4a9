// Alerts: what is wrong with the cluster and with jobs, who is told, and what is silenced.

import { ago, count, state, time } from "../format.js";
import { act, facts, head, quoted, wrong } from "../parts.js";
import { h } from "../render.js";
import { link, to } from "../router.js";
import { use } from "../store.js";
import { inOrder, table } from "../table.js";

const CLUSTER = "/v1/cluster-alerts";
const JOBS = "/v1/alerts?limit=500";

/** @typedef {Partial<import("../types.js").Alert> & Partial<import("../types.js").ClusterAlert> & {key: string, when: string, state: string, silenced_until: string | null}} Some alert: of a job, or of the cluster */

export const title = () => "Alerts";

/** How many alerts fire that nobody has silenced, and how many receivers are not reached; null: that is not known. */
export function firing() {
  const said = [use(CLUSTER).data, use(JOBS).data].filter((one) => one !== null);
  if (!said.length) return null;
  const fires = said.flatMap((one) => /** @type {Some[]} */ (one.alerts)).filter((a) => a.state === "firing" && !a.silenced_until);
  const lost = said.flatMap((one) => one.receivers).filter((r) => r.problem);
  return { firing: new Set(fires.map(about)).size, unreached: lost.length };
}

/** What an alert is about, whoever is told. @param {Some} a */
const about = (a) => `${a.when} ${a.job_id ? `${a.job_id}/${a.task_name}` : (a.subject ?? "")}`;

export function view() {
  const [cluster, jobs] = [use(CLUSTER), use(JOBS)];
  const ofCluster = cluster.data ?? { alerts: [], receivers: [], silences: [] };
  const ofJobs = jobs.data ?? { alerts: [], receivers: [], unreachable: [] };
  const rows = [...ofCluster.alerts, ...ofJobs.alerts];
  const receivers = [...ofCluster.receivers, ...ofJobs.receivers];
  return [
    head("Alerts", "alerts list", act("Silence the cluster", silencing("the cluster", "--cluster", `${CLUSTER}/silence`, {}))),
    wrong(cluster),
    wrong(jobs),
    ofJobs.unreachable.map((f) => h("p", { class: "notice" }, `The alerts of ${f.name} are left out: ${f.why}`)),
    table({
      name: "alerts",
      label: "Alerts",
      sort: "of",
      known: cluster.at && jobs.at ? { at: Math.min(cluster.at, jobs.at), error: null } : cluster.at ? jobs : cluster,
      empty: receivers.length ? "Nothing is wrong that anybody is told of." : "Nobody is told of anything: give masters and frameworks --receivers.",
      key: (a) => a.key,
      rows: inOrder(rows, "of", { of: about, when: (a) => a.when, state: (a) => a.state, to: (a) => a.receiver, since: (a) => a.since }),
      columns: [
        { title: "Of", sort: "of", width: "18%", cell: of },
        { title: "When", sort: "when", width: "12rem", cell: (a) => a.when.replaceAll("_", " ") },
        { title: "State", sort: "state", width: "7.5rem", cell: (a) => [state(a.state), a.silenced_until && h("span", { class: "tag", title: silenced(a) }, "silenced")] },
        { title: "Since", sort: "since", num: true, width: "7rem", wide: true, cell: (a) => a.since && ago(a.since) },
        { title: "To", sort: "to", width: "8rem", wide: true, cell: (a) => a.receiver },
        { title: "What is wrong", wide: true, cell: (a) => h("span", { class: "said", title: a.summary ?? "" }, a.summary ?? "not for long enough yet") },
        { title: "Action", width: "6.5rem", cell: action },
      ],
    }),
    h("section", null, h("h2", null, "Receivers"), table({
      name: "receivers",
      label: "Receivers",
      fixed: true,
      empty: "There are none.",
      key: (r) => `${r.framework_id ?? ""} ${r.name}`,
      rows: receivers,
      columns: [
        { title: "Receiver", width: "18%", cell: (r) => r.name },
        { title: "Told by", width: "14rem", cell: (r) => (r.framework_id ? link(to("frameworks", r.framework_id), "a framework") : "the masters") },
        { title: "Reached", width: "9rem", cell: (r) => (r.problem ? h("span", { class: "state bad" }, "not since ", ago(r.problem_since)) : h("span", { class: "state ok" }, "as far as is known")) },
        { title: "Why not", wide: true, cell: (r) => h("span", { class: "said", title: r.problem ?? "" }, r.problem ?? "") },
        { title: "Action", width: "5rem", cell: test },
      ],
    })),
    ofCluster.silences.length > 0 && h("section", null, h("h2", null, "Silences of the cluster"), ofCluster.silences.map(silence)),
  ];
}

/** @param {Some} a */
function of(a) {
  if (a.job_id) return link(to("jobs", a.job_id), `${a.job_name}/${a.task_name}`);
  if (!a.subject) return "the cluster";
  if (a.when === "quota_unmet") return link("/fairness", a.subject);
  return /^[^/]+:\d+$/.test(a.subject) ? a.subject : link(to("agents", a.subject), a.subject);
}

/** @param {Some} a */
const silenced = (a) => `until ${time(a.silenced_until)}${a.silenced_by ? ` by ${a.silenced_by}` : ""}${a.silenced_for ? `: ${a.silenced_for}` : ""}`;

/** @param {Some} a */
function action(a) {
  if (a.job_id) {
    const line = `${quoted(a.job_id)} --task ${quoted(a.task_name ?? "")} --when ${a.when}`;
    return act("Silence", silencing(`${a.job_name}/${a.task_name}`, line, "/v1/alerts/silence", { job: a.job_id, task: a.task_name, when: a.when, framework: a.framework_id }));
  }
  const subject = a.subject ?? "";
  const line = `--cluster --when ${a.when}${subject && ` --subject ${quoted(subject)}`}`;
  return act("Silence", silencing(subject || "the cluster", line, `${CLUSTER}/silence`, { when: a.when, ...(subject && { subject }) }));
}

/**
 * @param {string} what @param {string} line of the command @param {string} url @param {Record<string, any>} body
 * @returns {import("../parts.js").Action}
 */
function silencing(what, line, url, body) {
  const why = (/** @type {import("../parts.js").Values} */ values) => (values.why.trim() ? ` --why ${quoted(values.why.trim())}` : "");
  return {
    title: `Silence alerts of ${what}?`,
    what: "Nobody is told of what begins meanwhile; what was told before goes on, and is told to be over.",
    fields: [
      { name: "hours", label: "For so many hours", type: "number", value: 2, min: 1, max: 720 },
      { name: "why", label: "Why, for those who wonder later", type: "text", value: "" },
    ],
    command: (values) => `alerts silence ${line} --for ${values.hours || 0}h${why(values)}`,
    url,
    body: (/** @type {import("../parts.js").Values} */ values) => ({ ...body, for_s: Math.round((values.hours || 0) * 3600), why: values.why.trim() }),
  };
}

/** @param {import("../types.js").Receiver & {framework_id?: string}} r */
function test(r) {
  const of = r.framework_id ? "/v1/alerts/test" : `${CLUSTER}/test`;
  return act("Test", {
    title: `Test ${r.name}?`,
    what: "It is told that nothing is wrong, as an alert that fires and is over.",
    command: `alerts test ${quoted(r.name)}`,
    url: of,
    body: r.framework_id ? { framework_id: r.framework_id, receiver: r.name } : { receiver: r.name },
  });
}

/** @param {import("../types.js").ClusterSilence} s */
function silence(s) {
  const line = ["--cluster", s.when && `--when ${s.when}`, s.subject && `--subject ${quoted(s.subject)}`].filter(Boolean).join(" ");
  const what = `${s.when ? s.when.replaceAll("_", " ") : "all alerts"} of ${s.subject ?? "the cluster"}`;
  return facts([
    ["Silenced", what],
    ["Until", time(s.until)],
    ["By", s.by],
    ["Why", s.why],
    ["Again", act("End", {
      title: `End the silence of ${what}?`,
      what: "What fires in silence is told at once.",
      command: `alerts silence ${line} --end`,
      url: `${CLUSTER}/silence`,
      body: { ...(s.when && { when: /** @type {any} */ (s.when) }), ...(s.subject && { subject: s.subject }), for_s: 0 },
    })],
  ]);
}

/** For the overview: how many fire. */
export function glance() {
  const now = firing();
  if (!now) return null;
  return h(
    "section",
    { class: "count" },
    h("h2", null, link("/alerts", "Alerts")),
    h("strong", null, String(now.firing)),
    h("span", { class: "faint" }, now.firing === 1 ? "fires" : "fire"),
    now.unreached > 0 && h("span", { class: "state bad" }, `${count(now.unreached, "receiver")} not reached`),
  );
}
