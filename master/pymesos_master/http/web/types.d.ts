// What the master answers. `make docs` writes it of the OpenAPI schemas: change those.

/** Why a request was refused, or has failed. */
export type Error = { "error": { "code": string; "message": string } };

/** Whether this master works. */
export type Health = { "status": "leading" | "following" };

/** Who leads. */
export type Leader = { "address": string | null; "hostname": string | null; "epoch": number | null };

/** Amounts of resources; mem and disk in MiB, ports from the first to the last. */
export type Amounts = { "cpus": number; "mem": number; "disk": number; "ports": ((number)[])[]; [name: string]: any };

/** Amounts of resources, with each port. */
export type TaskAmounts = { "cpus": number; "mem": number; "disk": number; "ports": (number)[]; [name: string]: any };

/** An agent. */
export type Agent = { "agent_id": string; "hostname": string; "address": string; "principal": string | null; "state": string; "drain": { "state": string; "deadline": string | null; "then_gone": boolean; "down": boolean; "set_by": string | null; "set_at": string | null } | null; "maintenance": { "start": string | null; "duration_s": number | null; "set_by": string | null; "set_at": string | null; "answers": ({ "framework_id": string; "framework": string; "answer": string; "at": string | null })[] } | null; "runtime": string; "isolation": { [name: string]: string }; "unavailable": { [name: string]: string }; "set_aside": { [name: string]: string }; "resources": Amounts; "reserved": ({ "role": string; "resources": { [name: string]: number }; "volume": string | null; "static": boolean })[]; "allocated": Amounts; "offered": Amounts; "attributes": { [name: string]: string }; "tasks": number; "usage": { "cpus": number; "mem": number; "disk": number; "containers": number }; "registered_at": string | null; "version": string };

/** An agent in short: what is allocated of it, and what it has. */
export type Tile = { "agent_id": string; "hostname": string; "state": string; "drain": string | null; "tasks": number; "cpus": (number)[]; "mem": (number)[]; "disk": (number)[] };

/** Amounts of each resource over all active agents; of ports their number. */
export type Sums = { "at_s": number; "total": { [name: string]: number }; "allocated": { [name: string]: number }; "offered": { [name: string]: number }; "used": { [name: string]: number } };

/** The cluster at a glance. */
export type Overview = { "agents": { [name: string]: number }; "drains": { [name: string]: number }; "frameworks": { [name: string]: number }; "tasks": { [name: string]: number }; "offers": number; "now": Sums; "history": (Sums)[]; "failed": (Task)[] };

/** A framework. */
export type Framework = { "framework_id": string; "name": string; "user": string; "roles": (string)[]; "state": string; "failover_timeout_s": number; "capabilities": (string)[]; "principal": string | null; "jobs_address": string | null; "tasks": number; "allocated": Amounts; "offered": Amounts; "dominant_share": number; "suppressed_roles": (string)[]; "offer_conflicts": number; "registered_at": string | null; "disconnected_at": string | null };

/** A task. `quarantined` is null here: frameworks know of that. */
export type Task = { "task_id": string; "name": string; "run": string | null; "framework_id": string; "agent_id": string; "hostname": string; "role": string; "state": string; "reason": string | null; "message": string | null; "resources": TaskAmounts; "revocable": boolean; "image": string | null; "launched_at": string | null; "started_at": string | null; "finished_at": string | null; "exit_status": number | null; "healthy": boolean | null; "ready": boolean | null; "completed": boolean; "quarantined": string | null; "usage": { "cpus": number; "mem": number } | null };

/** A file of a task. `mode` has its permission bits, if they are known. */
export type File = { "name": string; "is_directory": boolean; "size_bytes": number; "modified_at": string | null; "mode": number | null };

/** What a task uses: `cpu_s` and what it reads, writes, sends and receives since its start, the rest now. */
export type Usage = { "task_id": string; "framework_id": string; "at": string | null; "cpu_s": number; "throttled_s": number; "read_bytes": number; "written_bytes": number; "received_bytes": number; "sent_bytes": number; "mem_bytes": number; "pids": number; "cpus_limit": number | null; "mem_limit_bytes": number | null };

/** A target, and what is known of it. */
export type TargetGroup = { "targets": (string)[]; "labels": { "__meta_pymesos_task_id": string; "__meta_pymesos_task_name": string; "__meta_pymesos_framework_id": string; "__meta_pymesos_role": string; "__meta_pymesos_agent_id": string; "__meta_pymesos_hostname": string; "__meta_pymesos_port_index": string; "__meta_pymesos_port_name": string; "__meta_pymesos_job": string; "__meta_pymesos_job_task": string; "__meta_pymesos_instance": string; "__meta_pymesos_ready": string } };

/** What was used, in hours of CPUs, GPUs and GiB of memory; what it is not of is null. */
export type Accounting = { "day": string | null; "role": string | null; "framework": string | null; "job": string | null; "rest": boolean; "asked_cpu_hours": number; "asked_mem_gib_hours": number; "asked_gpu_hours": number; "used_cpu_hours": number; "used_mem_gib_hours": number };

/** Something that happened, or of the state: what is there. */
export type Event = { "timestamp": string | null; "kind": string; "agent_id": string | null; "framework_id": string | null; "task_id": string | null; "offer_id": string | null; "task_state": string | null; "reason": string | null; "resources": Amounts; "message": string | null };

/** An offer that is not answered yet. */
export type Offer = { "offer_id": string; "framework_id": string; "agent_id": string; "hostname": string; "role": string; "resources": Amounts; "agent_total": Amounts; "attributes": { [name: string]: string }; "runtimes": (string)[]; "optimistic": boolean; "offered_at": string | null };

/** A role, with what it and those below it hold. */
export type Role = { "role": string; "weight": number; "guarantees": { [name: string]: number }; "limits": { [name: string]: number }; "allocated": Amounts; "offered": Amounts; "reserved": Amounts; "frameworks": (string)[] };

/** The quota of a role. */
export type Quota = { "role": string; "guarantees": { [name: string]: number }; "limits": { [name: string]: number } };

/** The weight of a role. */
export type Weight = { "role": string; "weight": number };

/** What is reserved on an agent for a role. */
export type Reservation = { "agent_id": string; "hostname": string; "role": string; "resources": { [name: string]: number }; "volume": string | null; "static": boolean };

/** What an operator has decided of an agent. */
export type Drain = { "agent_id": string; "hostname": string; "tasks": number; "state": string; "deadline": string | null; "then_gone": boolean; "down": boolean; "set_by": string | null; "set_at": string | null };

/** When an agent may be away. */
export type MaintenanceWindow = { "agent_id": string; "hostname": string; "start": string | null; "duration_s": number | null; "set_by": string | null; "set_at": string | null; "answers": ({ "framework_id": string; "framework": string; "answer": string; "at": string | null })[] };

/** Why a framework is not offered more. */
export type Explanation = { "framework": Framework; "last_offer_at": string | null; "offers_held": number; "agents": number; "agents_awaited": number; "agent_state": string | null; "roles": ({ "role": string; "suppressed": boolean; "weighted_share": number; "place": number; "of": number; "weight": number; "withheld": ({ "reason": string; "text": string; "agents": number; "hostnames": (string)[]; "first_ends_in_s": number | null })[] })[] };

/** Who you are; `principal` is null in a cluster without certificates. */
export type WhoAmI = { "principal": string | null; "certificate_ends_at": string | null; "policy_version": number; "rules": ({ "line": number; "rule": string })[]; "access_token": { "id": string; "rights": (string)[] } | null };

/** Whether it is allowed, and by which rule; if not, why. */
export type Can = { "allowed": boolean; "rule": string | null; "line": number | null; "problem": string | null; "policy_version": number };

/** The policy; version 0: nobody has set one. */
export type Policy = { "version": number; "set_by": string | null; "set_at": string | null; "document": string };

/** Where events are sent. `problem` says why it has not taken what it was sent last. */
export type Webhook = { "name": string; "url": string; "kinds": (string)[]; "secret_role": string | null; "secret_name": string | null; "link_local": boolean; "set_at": string | null; "set_by": string | null; "problem": string | null };

/** An alert of the cluster, of one receiver: `pending`, `firing`, or `resolved` and its receiver does not know yet. `subject` is the id of an agent, a role, or the address of a master. */
export type ClusterAlert = { "key": string; "when": string; "subject": string | null; "receiver": string; "state": string; "since": string | null; "fired_at": string | null; "summary": string | null; "known": boolean; "silenced_until": string | null; "silenced_by": string | null; "silenced_for": string | null };

/** Alerts of the cluster of which nobody is told; null: all. */
export type ClusterSilence = { "when": string | null; "subject": string | null; "until": string | null; "by": string | null; "why": string | null };

/** Who is told of alerts. `problem` says why it has not taken what it was sent last. */
export type Receiver = { "name": string; "problem": string | null; "problem_since": string | null };

/** A secret, without its value. */
export type Secret = { "role": string; "name": string; "version": number; "set_at": string | null; "set_by": string | null; "tasks": number };

/** A token to join with. */
export type JoinToken = { "id": string; "digest": string; "principal": string; "ends_at": string | null; "made_by": string | null; "used": boolean };

/** An access token, without its secret. */
export type AccessToken = { "id": string; "principal": string; "name": string | null; "rights": (string)[]; "made_at": string | null; "ends_at": string | null };

/** What is let in no more. */
export type Revocation = { "name": string; "at": string | null; "made_by": string | null };

/** A record that cannot be handled; `document` is null in a list. */
export type QuarantinedRecord = { "kind": string; "key": string; "reason": string; "document": string | null };

/** A line of the audit (see docs/security.md), and who has written it. */
export type AuditLine = { "source": string; [name: string]: any };

/** Lines that one master has written, the oldest first, and the masters that have others. */
export type AuditPage = { "lines": (AuditLine)[]; "master": string; "others": (string)[]; "next_page_token": string | null };

/** A framework that serves jobs and does not answer, so that what it has is left out. */
export type Unreachable = { "framework_id": string; "name": string; "why": string };

/** A job. */
export type Job = { "job_id": string; "name": string; "role": string | null; "priority": number | null; "state": string; "version": number | null; "counts": { [name: string]: number }; "framework_id": string; "submitted_at": string | null; "explanation": string | null; "periodic": (Periodic)[]; "package": Package | null; "scaling": (Scaling)[] };

/** A job, and how its instances become those of another version. */
export type JobDetail = { "job_id": string; "name": string; "role": string | null; "priority": number | null; "state": string; "version": number | null; "counts": { [name: string]: number }; "framework_id": string; "submitted_at": string | null; "explanation": string | null; "periodic": (Periodic)[]; "package": Package | null; "scaling": (Scaling)[]; "settled": boolean; "rollouts": (Rollout)[]; "daemons": (Daemon)[] };

/** On how many agents a daemon is, of those that its framework knows: `wanted` are to have an instance, `running` have one that runs, `not_eligible` are for none; of these there are examples, with what rules them out. */
export type Daemon = { "task_name": string; "agents": number; "wanted": number; "running": number; "not_eligible": number; "examples": ({ "agent_id": string; "hostname": string; "why": string | null })[] };

/** The latest rollout of a task. `old`, `made` (of the new version) and, of these, `ready` count instances that have not ended; `surge` is how many more than `wanted` may run. */
export type Rollout = { "task_name": string; "state": string; "why": string | null; "from_version": number; "to_version": number; "by": string | null; "began_at": string | null; "going": boolean; "wanted": number; "old": number; "made": number; "ready": number; "surge": number };

/** The package that a job was made from, and the repository that it came from, with the key that signs its index. */
export type Package = { "name": string; "version": string; "repository": string | null; "repository_key": string | null };

/** When a periodic task runs, and its latest runs, the last one last. `note` says what became of the latest time at which none began. */
export type Periodic = { "task_name": string; "schedule": string | null; "time_zone": string | null; "next_at": string | null; "note": string | null; "runs": (Run)[] };

/** How many instances a task has, where that follows what is measured of them; `note` says what that was last, and `steps` are the latest changes, the last one last. */
export type Scaling = { "task_name": string; "count": number; "min": number; "max": number; "target": string; "note": string | null; "steps": (ScaleStep)[] };

/** A change of the number of instances of a task, and why. */
export type ScaleStep = { "at": string | null; "before": number; "after": number; "why": string };

/** A run of a periodic task. */
export type Run = { "run_id": string; "due_at": string | null; "began_at": string | null; "ended_at": string | null; "state": string; "by": string | null };

/** A version of a job, and what it changed. */
export type JobVersion = { "version": number; "made_at": string | null; "made_by": string | null; "what": string; "changes": ({ "path": string; "before": string | null; "after": string | null })[]; "more_changes": number };

/** A version of a job, with its file. `env_hidden`: the values in environments are left out, since who asks may not `read-env`. */
export type JobDocument = { "job_id": string; "version": number; "made_at": string | null; "made_by": string | null; "what": string; "changes": ({ "path": string; "before": string | null; "after": string | null })[]; "more_changes": number; "job": { [name: string]: any }; "env_hidden": boolean };

/** An instance of a job's task, with what holds it back while it waits. */
export type Instance = { "task_name": string; "instance": number; "task_id": string | null; "state": string | null; "hostname": string | null; "address": string | null; "agent_id": string | null; "ports": (number)[]; "named_ports": { [name: string]: number }; "attempts": number; "explanation": string | null; "cause": string | null; "nearest": string | null; "offers_seen": number; "next_start_at": string | null; "needs": { "cpus": number; "mem": number; "disk": number; "ports": number; [name: string]: any }; "data_on": string | null; "reason": string | null; "exit_status": number | null; "done": boolean; "service": boolean; "stuck": boolean; "version": number | null; "ready": boolean; "serving": boolean; "leaving": string | null };

/** Why a task is on its agent. `unknown` says why the rest is null. */
export type Placement = { "hostname": string; "agent_id": string; "unknown": string | null; "placed_at": string | null; "policy": string | null; "scores_mean": string | null; "considered": number | null; "fitted": number | null; "score": number | null; "others": ({ "hostname": string; "score": number })[]; "ruled_out": ({ "rule": string; "agents": number; "examples": (string)[] })[] };

/** A job that is stored and cannot be handled; its tasks are those that run on. `document` is null unless the job is asked for by its id. */
export type QuarantinedJob = { "id": string; "kind": string; "reason": string; "keeper": string; "tasks": (string)[]; "document": string | null };

/** A volume that belongs to the name of an instance. `job_id` is of the job that has not ended and has it; null: it is left over. */
export type Volume = { "volume_id": string; "role": string; "job_name": string; "task_name": string; "instance": number; "name": string; "agent_id": string; "hostname": string; "size_mib": number; "job_id": string | null; "framework_id": string };

/** Who is told of alerts of the jobs of a framework. `problem` says why it has not taken what it was sent last. */
export type JobReceiver = { "name": string; "problem": string | null; "problem_since": string | null; "framework_id": string };

/** Alerts of a job of which nobody is told; null: of all its tasks, or whatever is wrong. */
export type JobSilence = { "job_id": string; "job_name": string; "role": string; "task_name": string | null; "when": string | null; "until": string | null; "by": string | null; "why": string | null; "framework_id": string };

/** An alert of a job: `pending`, `firing`, or `resolved` and its receiver does not know yet. `known`: the receiver has taken that it fires. */
export type Alert = { "key": string; "job_id": string; "job_name": string; "role": string; "task_name": string; "when": string; "receiver": string; "state": string; "since": string | null; "fired_at": string | null; "summary": string | null; "known": boolean; "silenced_until": string | null; "silenced_by": string | null; "silenced_for": string | null; "framework_id": string };

/** A value that jobs of a role share; null for those who may not `read-env`. `jobs` refer to it, and with `spreading` not all of them have it yet. It could not be given to those that are `untaken`. */
export type Variable = { "role": string; "name": string; "value": string | null; "version": number; "set_by": string | null; "set_at": string | null; "jobs": number; "spreading": boolean; "untaken": ({ "job_id": string; "why": string })[]; "framework_id": string };

/** The version that is in force now. Without `changed` it was so already. So many `jobs` refer to it, and are changed. */
export type VariableSet = { "version": number; "changed": boolean; "jobs": number };

/** What a job file changes, or would change. A `job_id` of null: it would be a new job. */
export type Applied = { "job_id": string | null; "version": number; "created": boolean; "changed": boolean; "changes": ({ "path": string; "before": string | null; "after": string | null })[]; "more_changes": number; "tasks": ({ "task_name": string; "stay": number; "start": number; "stop": number; "replace": number; "finish": number; "outage": string | null })[]; "policy": string | null; "where": (TaskPlaces)[]; "where_note": string | null; "warnings": (string)[] };

/** Alerts of which nobody is told; `replaced` tells the silence that was in force before. */
export type Silenced = { "replaced": string | null };

/** Where the new instances of a task would go now: beside those that stay or are replaced. `why` is why most of those that are `waiting` would wait, or why with `never` none could ever start. Of the tasks that would be killed for others (`preempting` of them) those are told that who asks may see. */
export type TaskPlaces = { "task_name": string; "places": ({ "hostname": string; "instances": number })[]; "waiting": number; "why": string | null; "never": boolean; "preempting": number; "preempted": ({ "job_id": string; "name": string; "hostname": string; "priority": number })[] };

/** The version that is in force now, and by what it was made. Without `changed` it was so already. */
export type Changed = { "job_id": string; "version": number; "changed": boolean; "what": string };

/** What is answered to a GET of an address, whatever its query is. */
export type Answer<Address extends string> =
  Address extends `${infer Path}?${string}` ? AnswerAt<Path> : AnswerAt<Address>;

type AnswerAt<Path extends string> =
  Path extends `/v1/frameworks/${string}/explain` ? Explanation :
  Path extends `/v1/jobs/${string}/document` ? JobDocument :
  Path extends `/v1/jobs/${string}/instances` ? { "instances": (Instance)[]; "next_page_token": string | null } :
  Path extends `/v1/jobs/${string}/versions` ? { "versions": (JobVersion)[] } :
  Path extends `/v1/tasks/${string}/files` ? { "files": (File)[]; "more": boolean } :
  Path extends `/v1/tasks/${string}/placement` ? Placement :
  Path extends `/v1/tasks/${string}/usage` ? Usage :
  Path extends `/v1/agents/map` ? { "agents": (Tile)[]; "next_page_token": string | null } :
  Path extends `/v1/jobs/${string}` ? JobDetail :
  Path extends `/v1/variables/history` ? { "versions": (Variable)[] } :
  Path extends `/v1/access-tokens` ? { "access_tokens": (AccessToken)[] } :
  Path extends `/v1/accounting` ? { "accounting": (Accounting)[]; "next_page_token": string | null } :
  Path extends `/v1/agents` ? { "agents": (Agent)[]; "next_page_token": string | null } :
  Path extends `/v1/alerts` ? { "alerts": (Alert)[]; "next_page_token": string | null; "unreachable": (Unreachable)[]; "receivers": (JobReceiver)[]; "silences": (JobSilence)[] } :
  Path extends `/v1/audit` ? AuditPage :
  Path extends `/v1/can` ? Can :
  Path extends `/v1/cluster-alerts` ? { "alerts": (ClusterAlert)[]; "receivers": (Receiver)[]; "silences": (ClusterSilence)[] } :
  Path extends `/v1/drains` ? { "drains": (Drain)[]; "next_page_token": string | null } :
  Path extends `/v1/frameworks` ? { "frameworks": (Framework)[]; "next_page_token": string | null } :
  Path extends `/v1/jobs` ? { "jobs": (Job)[]; "next_page_token": string | null; "unreachable": (Unreachable)[] } :
  Path extends `/v1/join-tokens` ? { "join_tokens": (JoinToken)[] } :
  Path extends `/v1/leader` ? Leader :
  Path extends `/v1/maintenance` ? { "maintenance": (MaintenanceWindow)[]; "next_page_token": string | null } :
  Path extends `/v1/offers` ? { "offers": (Offer)[]; "next_page_token": string | null } :
  Path extends `/v1/overview` ? Overview :
  Path extends `/v1/policy` ? Policy :
  Path extends `/v1/quarantine` ? { "records": (QuarantinedRecord)[]; "next_page_token": string | null } :
  Path extends `/v1/quarantined-jobs` ? { "quarantined": (QuarantinedJob)[]; "next_page_token": string | null; "unreachable": (Unreachable)[] } :
  Path extends `/v1/quota` ? { "quota": (Quota)[] } :
  Path extends `/v1/reservations` ? { "reservations": (Reservation)[]; "next_page_token": string | null } :
  Path extends `/v1/revocations` ? { "revocations": (Revocation)[] } :
  Path extends `/v1/roles` ? { "roles": (Role)[] } :
  Path extends `/v1/sd` ? (TargetGroup)[] :
  Path extends `/v1/secrets` ? { "secrets": (Secret)[] } :
  Path extends `/v1/tasks` ? { "tasks": (Task)[]; "next_page_token": string | null } :
  Path extends `/v1/variables` ? { "variables": (Variable)[]; "next_page_token": string | null; "unreachable": (Unreachable)[] } :
  Path extends `/v1/volumes` ? { "volumes": (Volume)[]; "next_page_token": string | null; "unreachable": (Unreachable)[] } :
  Path extends `/v1/webhooks` ? { "webhooks": (Webhook)[] } :
  Path extends `/v1/weights` ? { "weights": (Weight)[] } :
  Path extends `/v1/whoami` ? WhoAmI :
  Path extends `/health` ? Health :
  unknown;

/** What is answered to a POST to a path. */
export type Done<Path extends string> =
  Path extends `/v1/access-tokens/make` ? { "id": string } :
  Path extends `/v1/access-tokens/revoke` ? {  } :
  Path extends `/v1/agents/activate` ? {  } :
  Path extends `/v1/agents/cordon` ? {  } :
  Path extends `/v1/agents/drain` ? {  } :
  Path extends `/v1/agents/gone` ? {  } :
  Path extends `/v1/alerts/silence` ? Silenced :
  Path extends `/v1/alerts/test` ? {  } :
  Path extends `/v1/cluster-alerts/silence` ? Silenced :
  Path extends `/v1/cluster-alerts/test` ? {  } :
  Path extends `/v1/frameworks/teardown` ? {  } :
  Path extends `/v1/jobs/abort` ? { "rollouts": (Rollout)[] } :
  Path extends `/v1/jobs/apply` ? Applied :
  Path extends `/v1/jobs/pause` ? { "rollouts": (Rollout)[] } :
  Path extends `/v1/jobs/promote` ? { "rollouts": (Rollout)[] } :
  Path extends `/v1/jobs/restart` ? Changed :
  Path extends `/v1/jobs/resume` ? { "rollouts": (Rollout)[] } :
  Path extends `/v1/jobs/rollback` ? Changed :
  Path extends `/v1/jobs/scale` ? Changed :
  Path extends `/v1/jobs/stop` ? {  } :
  Path extends `/v1/jobs/submit` ? { "job_id": string } :
  Path extends `/v1/jobs/trigger` ? { "task_name": string; "run": Run } :
  Path extends `/v1/join-tokens/make` ? { "root": string; "join_at": string } :
  Path extends `/v1/join-tokens/remove` ? {  } :
  Path extends `/v1/maintenance/cancel` ? {  } :
  Path extends `/v1/maintenance/schedule` ? {  } :
  Path extends `/v1/policy/set` ? { "version": number } :
  Path extends `/v1/quarantine/release` ? {  } :
  Path extends `/v1/quarantined-jobs/release` ? {  } :
  Path extends `/v1/quota/remove` ? {  } :
  Path extends `/v1/quota/set` ? {  } :
  Path extends `/v1/reservations/reserve` ? {  } :
  Path extends `/v1/reservations/unreserve` ? {  } :
  Path extends `/v1/revocations/revoke` ? {  } :
  Path extends `/v1/secrets/remove` ? {  } :
  Path extends `/v1/secrets/set` ? { "version": number } :
  Path extends `/v1/tasks/kill` ? {  } :
  Path extends `/v1/variables/remove` ? {  } :
  Path extends `/v1/variables/set` ? VariableSet :
  Path extends `/v1/volumes/forget` ? {  } :
  Path extends `/v1/webhooks/remove` ? {  } :
  Path extends `/v1/webhooks/set` ? {  } :
  Path extends `/v1/webhooks/test` ? { "problem": string | null } :
  Path extends `/v1/weights/set` ? {  } :
  Path extends `/v1/sign-in` ? { "lifetime_s": number } :
  Path extends `/v1/sign-out` ? {  } :
  Path extends `/v1/whatif` ? Applied :
  never;

/** The body of a POST to a path. */
export type Body<Path extends string> =
  Path extends `/v1/access-tokens/make` ? { "digest": string; "name"?: string; "lifetime_s": number; "rights": (string)[] } :
  Path extends `/v1/access-tokens/revoke` ? { "id": string } :
  Path extends `/v1/agents/activate` ? { "agent_ids": (string)[] } :
  Path extends `/v1/agents/cordon` ? { "agent_ids": (string)[] } :
  Path extends `/v1/agents/drain` ? { "agent_ids": (string)[]; "within_s": number; "then_gone"?: boolean } :
  Path extends `/v1/agents/gone` ? { "agent_id": string } :
  Path extends `/v1/alerts/silence` ? { "job": string; "task"?: string; "when"?: string; "for_s": number; "why"?: string; "framework"?: string } :
  Path extends `/v1/alerts/test` ? { "framework_id": string; "receiver": string } :
  Path extends `/v1/cluster-alerts/silence` ? { "when"?: "agent_unreachable" | "quota_unmet" | "disk_full" | "certificate_not_renewed" | "no_leader"; "subject"?: string; "for_s": number; "why"?: string } :
  Path extends `/v1/cluster-alerts/test` ? { "receiver": string } :
  Path extends `/v1/frameworks/teardown` ? { "framework_id": string } :
  Path extends `/v1/jobs/abort` ? { "job": string; "task"?: string; "framework"?: string } :
  Path extends `/v1/jobs/apply` ? { "document"?: { [name: string]: any }; "text"?: string; "framework"?: string; "request_id"?: string; "job_id"?: string; "plan"?: boolean; "if_version"?: number; "keep_counts"?: boolean; "rerun"?: boolean } :
  Path extends `/v1/jobs/pause` ? { "job": string; "task"?: string; "framework"?: string } :
  Path extends `/v1/jobs/promote` ? { "job": string; "task"?: string; "framework"?: string } :
  Path extends `/v1/jobs/restart` ? { "job": string; "tasks"?: (string)[]; "lose_volumes"?: boolean; "framework"?: string; "request_id"?: string } :
  Path extends `/v1/jobs/resume` ? { "job": string; "task"?: string; "framework"?: string } :
  Path extends `/v1/jobs/rollback` ? { "job": string; "version"?: number; "framework"?: string; "request_id"?: string } :
  Path extends `/v1/jobs/scale` ? { "job": string; "counts": { [name: string]: number }; "if_version"?: number; "framework"?: string; "request_id"?: string } :
  Path extends `/v1/jobs/stop` ? { "job": string; "now"?: boolean; "framework"?: string } :
  Path extends `/v1/jobs/submit` ? { "document"?: { [name: string]: any }; "text"?: string; "framework"?: string; "request_id"?: string; "same_name"?: boolean } :
  Path extends `/v1/jobs/trigger` ? { "job": string; "task"?: string; "args"?: { [name: string]: string }; "framework"?: string; "request_id"?: string } :
  Path extends `/v1/join-tokens/make` ? { "digest": string; "principal": string; "lifetime_s": number } :
  Path extends `/v1/join-tokens/remove` ? { "digest": string } :
  Path extends `/v1/maintenance/cancel` ? { "agent_ids": (string)[] } :
  Path extends `/v1/maintenance/schedule` ? { "agent_ids": (string)[]; "start": string; "duration_s"?: number } :
  Path extends `/v1/policy/set` ? { "document": string; "instead_of": number } :
  Path extends `/v1/quarantine/release` ? { "kind": string; "key": string; "discard"?: boolean } :
  Path extends `/v1/quarantined-jobs/release` ? { "framework_id": string; "job_id": string; "discard"?: boolean } :
  Path extends `/v1/quota/remove` ? { "role": string } :
  Path extends `/v1/quota/set` ? { "role": string; "guarantees"?: { [name: string]: number }; "limits"?: { [name: string]: number }; "force"?: boolean } :
  Path extends `/v1/reservations/reserve` ? { "agent_id": string; "role": string; "resources"?: { "ports"?: ((number)[])[]; [name: string]: any }; "volumes"?: ({ "id": string; "path": string; "disk": number })[] } :
  Path extends `/v1/reservations/unreserve` ? { "agent_id": string; "role": string; "resources"?: { "ports"?: ((number)[])[]; [name: string]: any }; "volume_ids"?: (string)[] } :
  Path extends `/v1/revocations/revoke` ? { "name": string; "undo"?: boolean } :
  Path extends `/v1/secrets/remove` ? { "role": string; "name": string; "force"?: boolean } :
  Path extends `/v1/secrets/set` ? { "role": string; "name": string; "value"?: string; "value_base64"?: string } :
  Path extends `/v1/tasks/kill` ? { "task_id": string; "framework_id"?: string } :
  Path extends `/v1/variables/remove` ? { "role": string; "name": string; "force"?: boolean; "framework"?: string } :
  Path extends `/v1/variables/set` ? { "role": string; "name": string; "value": string; "if_version"?: number; "framework"?: string; "request_id"?: string } :
  Path extends `/v1/volumes/forget` ? { "framework_id": string; "role": string; "volume_id": string } :
  Path extends `/v1/webhooks/remove` ? { "name": string } :
  Path extends `/v1/webhooks/set` ? { "name": string; "url": string; "kinds": ("agent_added" | "agent_disconnected" | "agent_unreachable" | "agent_gone" | "agent_leaving" | "agent_reserved" | "framework_subscribed" | "framework_disconnected" | "framework_removed" | "task_added" | "task_updated" | "task_refused" | "offer_sent" | "offer_accepted" | "offer_declined" | "offer_rescinded" | "message_dropped" | "quota_set" | "weight_set" | "agent_present" | "framework_present" | "task_present" | "offer_present" | "policy_set" | "agent_cordoned" | "agent_draining" | "agent_drained" | "agent_activated" | "maintenance_scheduled" | "maintenance_cancelled" | "framework_updated")[]; "secret_role"?: string; "secret_name"?: string; "link_local"?: boolean } :
  Path extends `/v1/webhooks/test` ? { "name": string } :
  Path extends `/v1/weights/set` ? { "role": string; "weight": number } :
  Path extends `/v1/sign-in` ? {  } :
  Path extends `/v1/sign-out` ? {  } :
  Path extends `/v1/whatif` ? { "document"?: { [name: string]: any }; "text"?: string; "framework"?: string; "request_id"?: string; "job_id"?: string; "keep_counts"?: boolean } :
  never;
