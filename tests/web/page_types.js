// What TypeScript's checker must know of the page's scripts: `make page-types`. Nothing runs this.

import { act } from "../../master/pymesos_master/http/web/parts.js";
import { address, tell, use, useList } from "../../master/pymesos_master/http/web/store.js";

const id = String(Math.random());

/** @type {number | undefined} */
export const weight = use("/v1/roles").data?.roles[0].weight;
/** @type {string | undefined} */
export const state = use(address(`/v1/jobs/${id}`, { limit: 1 })).data?.state;
/** @type {string | undefined} */
export const name = useList("/v1/tasks", {}, "tasks").rows[0]?.name;
/** @type {string | null | undefined} the longer path is another's */
export const by = use(`/v1/jobs/${id}/versions?limit=1`).data?.versions[0].made_by;

// @ts-expect-error: roles have none
use("/v1/roles").data?.roles[0].colour;
// @ts-expect-error: an answer may not be there yet
use("/v1/roles").data.roles;
// @ts-expect-error: nobody answers there
use("/v1/rolls").data?.roles;
// @ts-expect-error: this list is called otherwise
useList("/v1/tasks", {}, "jobs").rows[0];

/** @type {number} */
export const version = (await tell("/v1/jobs/rollback", { job: "shop", version: 1 })).version;
export const stop = act("Stop", { title: "", what: "", command: "", url: "/v1/jobs/stop", body: { job: "shop" } });
const asked = { title: "", what: "", command: "", then: () => {} };

// @ts-expect-error: which job is not said
tell("/v1/jobs/rollback", { version: 1 });
// @ts-expect-error: a version is a number
tell("/v1/jobs/rollback", { job: "shop", version: "1" });
// @ts-expect-error: it takes no colour
tell("/v1/jobs/stop", { job: "shop", colour: "red" });
// @ts-expect-error: nothing can be done there
tell("/v1/jobs/colour", { job: "shop" });
// @ts-expect-error: its answer has no colour
tell("/v1/jobs/rollback", { job: "shop", version: 1 }).then((answer) => answer.colour);
// @ts-expect-error: it is asked of a button, too
act("Stop", { ...asked, url: "/v1/jobs/stop", body: { colour: "red" } });
// @ts-expect-error: as is what becomes of its answer
act("Apply", { ...asked, url: "/v1/jobs/apply", body: { text: "" }, then: (answer) => answer.colour });
