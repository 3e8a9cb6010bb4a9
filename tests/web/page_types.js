// What TypeScript's checker must know of the page's scripts: `make page-types`. Nothing runs this.

import { address, use, useList } from "../../master/pymesos_master/http/web/store.js";

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
