"""What frameworks that serve jobs show, in the one JSON dialect (see `json_dialect`)."""

from __future__ import annotations

import json

from pymesos_core.json_dialect import Json, amounts_json, iso
from pymesos_core.states import reason_name, state_name
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import operator_pb2


def job_json(view: pb.JobView) -> Json:
    """A job, without its instances."""
    return {
        "job_id": view.job_id,
        "name": view.name,
        "role": view.role or None,
        "priority": view.priority if view.HasField("priority") else None,
        "state": view.state,
        "version": view.version or None,
        "counts": dict(view.counts),
        "framework_id": view.framework_id,
        "submitted_at": iso(view.submitted_at_s),
        "explanation": view.explanation or None,
        "periodic": [periodic_json(each) for each in view.periodic],
        "package": package_json(view.package) if view.HasField("package") else None,
        "scaling": [scaling_json(each) for each in view.scaling],
    }


def scaling_json(view: pb.ScalingView) -> Json:
    """How many instances a task has by what is measured, and the latest steps."""
    return {
        "task_name": view.task_name,
        "count": view.count,
        "min": view.min,
        "max": view.max,
        "target": view.target,
        "note": view.note or None,
        "steps": [
            {"at": iso(s.at_s), "before": s.before, "after": s.after, "why": s.why}
            for s in view.steps
        ],
    }


def daemon_json(view: pb.DaemonView) -> Json:
    """On which agents a daemon is."""
    return {
        "task_name": view.task_name,
        "agents": view.agents,
        "wanted": view.wanted,
        "running": view.running,
        "not_eligible": view.not_eligible,
        "examples": [
            {"agent_id": one.agent_id, "hostname": one.hostname, "why": one.why or None}
            for one in view.examples
        ],
    }


def package_json(view: pb.PackageView) -> Json:
    """The package that a job was made from."""
    return {
        "name": view.name,
        "version": view.version,
        "repository": view.repository or None,
        "repository_key": view.repository_key or None,
    }


def periodic_json(view: pb.PeriodicView) -> Json:
    """When a periodic task runs, and how it went the latest times."""
    return {
        "task_name": view.task_name,
        "schedule": view.schedule or None,
        "time_zone": view.time_zone or None,
        "next_at": iso(view.next_at_s),
        "note": view.note or None,
        "runs": [run_json(run) for run in view.runs],
    }


def run_json(view: pb.RunView) -> Json:
    """A run of a periodic task."""
    return {
        "run_id": view.run_id,
        "due_at": iso(view.due_at_s),
        "began_at": iso(view.began_at_s),
        "ended_at": iso(view.ended_at_s),
        "state": view.state,
        "by": view.by or None,
    }


def placement_json(view: pb.ExplainPlacementResponse) -> Json:
    """Why a task is on its agent; `unknown` says why the rest is null."""
    known = not view.unknown
    return {
        "hostname": view.hostname,
        "agent_id": view.agent_id,
        "unknown": view.unknown or None,
        "placed_at": iso(view.placed_at_s),
        "policy": view.policy or None,
        "scores_mean": view.scores_mean or None,
        "considered": view.considered if known else None,
        "fitted": view.fitted if known else None,
        "score": view.score if known else None,
        "others": [{"hostname": o.hostname, "score": o.score} for o in view.others],
        "ruled_out": [
            {"rule": r.rule, "agents": r.agents, "examples": list(r.examples)}
            for r in view.ruled_out
        ],
    }


def instance_json(view: pb.InstanceView) -> Json:
    """An instance of a job's task, with what holds it back while it waits."""
    return {
        "task_name": view.task_name,
        "instance": view.instance,
        "task_id": view.task_id or None,
        "state": state_name(view.state) if view.state else None,
        "hostname": view.hostname or None,
        "address": view.address or None,
        "agent_id": view.agent_id or None,
        "ports": list(view.ports),
        "named_ports": dict(zip(view.port_names, view.ports, strict=False)),
        "attempts": view.attempts,
        "explanation": view.explanation or None,
        "cause": view.cause or None,
        "nearest": view.nearest or None,
        "offers_seen": view.offers_seen,
        "next_start_at": iso(view.next_start_at_s),
        "needs": amounts_json(view.needs) | {"ports": view.needs_ports},
        "data_on": view.data_on or None,
        "reason": reason_name(view.reason) or None,
        "exit_status": view.exit_status if view.HasField("exit_status") else None,
        "done": view.done,
        "service": view.service,
        "stuck": view.stuck,
        "version": view.version or None,
        "ready": view.ready,
        "serving": view.serving,
        "leaving": view.leaving or None,
    }


def rollout_json(view: pb.RolloutView) -> Json:
    """How the instances of a task become those of another version."""
    return {
        "task_name": view.task_name,
        "state": view.state,
        "why": view.why or None,
        "from_version": view.from_version,
        "to_version": view.to_version,
        "by": view.by or None,
        "began_at": iso(view.began_at_s),
        "going": view.going,
        "wanted": view.wanted,
        "old": view.old,
        "made": view.made,
        "ready": view.ready,
        "surge": view.surge,
    }


def version_json(view: pb.VersionView) -> Json:
    """A version of a job, with what it changed."""
    return {
        "version": view.version,
        "made_at": iso(view.made_at_s),
        "made_by": view.made_by or None,
        "what": view.what,
        "changes": [change_json(each) for each in view.changes],
        "more_changes": view.more_changes,
    }


def change_json(change: pb.FieldChange) -> Json:
    """A key of a document that differs; its values are JSON as text."""
    return {"path": change.path, "before": change.before or None, "after": change.after or None}


def document_of(view: pb.DescribeJobResponse) -> Json:
    """The document of a job, as its framework tells it. Raises ValueError for what is none."""
    try:
        document = json.loads(view.job_json)
    except (ValueError, RecursionError):
        document = None
    tasks = document.get("tasks") if isinstance(document, dict) else None
    if not isinstance(tasks, list) or not all(isinstance(t, dict) and "name" in t for t in tasks):
        raise ValueError("the framework of the job answers what is no job's document")
    return dict(document)


def described_json(view: pb.DescribeJobResponse) -> Json:
    """A version of a job, with its document. Raises ValueError for what is none."""
    document = document_of(view)
    return {
        "job_id": view.job_id,
        **version_json(view.version),
        "job": document,
        "env_hidden": view.env_hidden,
    }


def quarantined_json(view: pb.QuarantinedJob) -> Json:
    """A job that is stored and cannot be handled; its tasks are those that run on."""
    return {
        "id": view.job_id,
        "kind": "job",
        "reason": view.reason,
        "keeper": view.framework_id,
        "tasks": list(view.task_ids),
    }


def volume_json(view: pb.VolumeView, framework_id: str) -> Json:
    """A volume that a framework has made, with the job that has not ended and has it."""
    return {
        "volume_id": view.volume_id,
        "role": view.role,
        "job_name": view.job_name,
        "task_name": view.task_name,
        "instance": view.instance,
        "name": view.name,
        "agent_id": view.agent_id,
        "hostname": view.hostname,
        "size_mib": view.size_mib,
        "job_id": view.job_id or None,
        "framework_id": framework_id,
    }


def alert_json(view: pb.AlertView, framework_id: str) -> Json:
    """An alert, with who is told of it and who has silenced it."""
    return {
        "key": view.key,
        "job_id": view.job_id,
        "job_name": view.job_name,
        "role": view.role,
        "task_name": view.task_name,
        "when": view.when,
        "receiver": view.receiver,
        "state": view.state,
        "since": iso(view.since_s),
        "fired_at": iso(view.fired_at_s),
        "summary": view.summary or None,
        "known": view.known,
        "silenced_until": iso(view.silenced_until_s),
        "silenced_by": view.silenced_by or None,
        "silenced_for": view.silenced_for or None,
        "framework_id": framework_id,
    }


def job_silence_json(view: pb.JobSilenceView, framework_id: str) -> Json:
    """A silence of alerts of a job."""
    return {
        "job_id": view.job_id,
        "job_name": view.job_name,
        "role": view.role,
        "task_name": view.task_name or None,
        "when": view.when or None,
        "until": iso(view.until_s),
        "by": view.by or None,
        "why": view.why or None,
        "framework_id": framework_id,
    }


def variable_json(view: pb.VariableView, framework_id: str) -> Json:
    """A variable of a role; its value is null for those who may not `read-env`."""
    return {
        "role": view.role,
        "name": view.name,
        "value": None if view.hidden else view.value,
        "version": view.version,
        "set_by": view.set_by or None,
        "set_at": iso(view.set_at_s),
        "jobs": view.jobs,
        "spreading": view.spreading,
        "untaken": [{"job_id": each.job_id, "why": each.why} for each in view.untaken],
        "framework_id": framework_id,
    }


def applied_json(view: pb.ApplyJobResponse) -> Json:
    """What a job file changes, or would change."""
    return {
        "job_id": view.job_id or None,
        "version": view.version,
        "created": view.created,
        "changed": view.changed,
        "changes": [change_json(each) for each in view.changes],
        "more_changes": view.more_changes,
        "tasks": [
            {
                "task_name": task.task_name,
                "stay": task.stay,
                "start": task.start,
                "stop": task.stop,
                "replace": task.replace,
                "finish": task.finish,
                "outage": task.outage or None,
            }
            for task in view.tasks
        ],
        "policy": view.policy or None,
        "where": [places_json(places) for places in view.where],
        "where_note": view.where_note or None,
        "warnings": list(view.warnings),
    }


def silenced_json(
    view: pb.SilenceAlertsResponse | operator_pb2.SilenceClusterAlertsResponse,
) -> Json:
    """What became of a wish that nobody is told."""
    return {"replaced": view.replaced or None}


def places_json(view: pb.TaskPlaces) -> Json:
    """Where the new instances of a task would go now."""
    return {
        "task_name": view.task_name,
        "places": [
            {"hostname": place.hostname, "instances": place.instances} for place in view.places
        ],
        "waiting": view.waiting,
        "why": view.why or None,
        "never": view.never,
        "preempting": view.preempting,
        "preempted": [
            {
                "job_id": victim.job_id,
                "name": victim.name,
                "hostname": victim.hostname,
                "priority": victim.priority,
            }
            for victim in view.preempted
        ],
    }


def changed_json(view: pb.ChangeJobResponse) -> Json:
    """What became of a job that is scaled, restarted or rolled back."""
    return {
        "job_id": view.job_id,
        "version": view.version,
        "changed": view.changed,
        "what": view.what,
    }
