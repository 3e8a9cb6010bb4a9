"""JSON Schemas of what is answered of jobs: `pymesos_core.jobs_json`, field by field."""

from __future__ import annotations

from pymesos_core.json_dialect import Json
from pymesos_master.http.schemas import (
    FLAG,
    MAYBE_TEXT,
    NUMBER,
    PORT,
    TEXT,
    TIME,
    WHOLE,
    listing,
    many,
    or_null,
    record,
    ref,
    table,
)

_JOB = {
    "job_id": TEXT,
    "name": TEXT,
    "role": MAYBE_TEXT,
    "priority": or_null(WHOLE),
    "state": TEXT,
    "version": or_null(WHOLE),
    "counts": table(WHOLE),
    "framework_id": TEXT,
    "submitted_at": TIME,
    "explanation": MAYBE_TEXT,
    "periodic": many(ref("Periodic")),
    "package": or_null(ref("Package")),
    "scaling": many(ref("Scaling")),
}
_CHANGE = record(
    "A key of the job file that differs, with its values as JSON; null: it is not there.",
    path=TEXT,
    before=MAYBE_TEXT,
    after=MAYBE_TEXT,
)
_VERSION = {
    "version": WHOLE,
    "made_at": TIME,
    "made_by": MAYBE_TEXT,
    "what": TEXT,
    "changes": many(_CHANGE),
    "more_changes": WHOLE,
}


def of_frameworks(name: str, of: str, **more: str) -> Json:
    """A page of a list that is joined from several frameworks, with `more` lists that are whole."""
    schema = listing(name, of)
    added = {"unreachable": many(ref("Unreachable"))}
    added |= {name: many(ref(of)) for name, of in more.items()}
    return schema | {
        "properties": schema["properties"] | added,
        "required": [*schema["required"], *added],
    }


SCHEMAS: dict[str, Json] = {
    "Unreachable": record(
        "A framework that serves jobs and does not answer, so that what it has is left out.",
        framework_id=TEXT,
        name=TEXT,
        why=TEXT,
    ),
    "Job": record("A job.", **_JOB),
    "JobDetail": record(
        "A job, and how its instances become those of another version.",
        **_JOB,
        settled=FLAG,
        rollouts=many(ref("Rollout")),
        daemons=many(ref("Daemon")),
    ),
    "Daemon": record(
        "On how many agents a daemon is, of those that its framework knows: `wanted` are to have an"
        " instance, `running` have one that runs, `not_eligible` are for none; of these there are"
        " examples, with what rules them out.",
        task_name=TEXT,
        agents=WHOLE,
        wanted=WHOLE,
        running=WHOLE,
        not_eligible=WHOLE,
        examples=many(record("An agent.", agent_id=TEXT, hostname=TEXT, why=MAYBE_TEXT)),
    ),
    "Rollout": record(
        "The latest rollout of a task. `old`, `made` (of the new version) and, of these, `ready`"
        " count instances that have not ended; `surge` is how many more than `wanted` may run.",
        task_name=TEXT,
        state=TEXT,
        why=MAYBE_TEXT,
        from_version=WHOLE,
        to_version=WHOLE,
        by=MAYBE_TEXT,
        began_at=TIME,
        going=FLAG,
        wanted=WHOLE,
        old=WHOLE,
        made=WHOLE,
        ready=WHOLE,
        surge=WHOLE,
    ),
    "Package": record(
        "The package that a job was made from, and the repository that it came from, with the key"
        " that signs its index.",
        name=TEXT,
        version=TEXT,
        repository=MAYBE_TEXT,
        repository_key=MAYBE_TEXT,
    ),
    "Periodic": record(
        "When a periodic task runs, and its latest runs, the last one last. `note` says what became"
        " of the latest time at which none began.",
        task_name=TEXT,
        schedule=MAYBE_TEXT,
        time_zone=MAYBE_TEXT,
        next_at=TIME,
        note=MAYBE_TEXT,
        runs=many(ref("Run")),
    ),
    "Scaling": record(
        "How many instances a task has, where that follows what is measured of them; `note` says"
        " what that was last, and `steps` are the latest changes, the last one last.",
        task_name=TEXT,
        count=WHOLE,
        min=WHOLE,
        max=WHOLE,
        target=TEXT,
        note=MAYBE_TEXT,
        steps=many(ref("ScaleStep")),
    ),
    "ScaleStep": record(
        "A change of the number of instances of a task, and why.",
        at=TIME,
        before=WHOLE,
        after=WHOLE,
        why=TEXT,
    ),
    "Run": record(
        "A run of a periodic task.",
        run_id=TEXT,
        due_at=TIME,
        began_at=TIME,
        ended_at=TIME,
        state=TEXT,
        by=MAYBE_TEXT,
    ),
    "JobVersion": record("A version of a job, and what it changed.", **_VERSION),
    "JobDocument": record(
        "A version of a job, with its file. `env_hidden`: the values in environments are left out,"
        " since who asks may not `read-env`.",
        job_id=TEXT,
        **_VERSION,
        job={"type": "object"},
        env_hidden=FLAG,
    ),
    "Instance": record(
        "An instance of a job's task, with what holds it back while it waits.",
        task_name=TEXT,
        instance=WHOLE,
        task_id=MAYBE_TEXT,
        state=MAYBE_TEXT,
        hostname=MAYBE_TEXT,
        address=MAYBE_TEXT,
        agent_id=MAYBE_TEXT,
        ports=many(PORT),
        named_ports=table(PORT),
        attempts=WHOLE,
        explanation=MAYBE_TEXT,
        cause=MAYBE_TEXT,
        nearest=MAYBE_TEXT,
        offers_seen=WHOLE,
        next_start_at=TIME,
        needs=record(
            "What it is to be given; `ports` is how many.",
            NUMBER,
            cpus=NUMBER,
            mem=NUMBER,
            disk=NUMBER,
            ports=WHOLE,
        ),
        data_on=MAYBE_TEXT,
        reason=MAYBE_TEXT,
        exit_status=or_null({"type": "integer"}),
        done=FLAG,
        service=FLAG,
        stuck=FLAG,
        version=or_null(WHOLE),
        ready=FLAG,
        serving=FLAG,
        leaving=MAYBE_TEXT,
    ),
    "Placement": record(
        "Why a task is on its agent. `unknown` says why the rest is null.",
        hostname=TEXT,
        agent_id=TEXT,
        unknown=MAYBE_TEXT,
        placed_at=TIME,
        policy=MAYBE_TEXT,
        scores_mean=MAYBE_TEXT,
        considered=or_null(WHOLE),
        fitted=or_null(WHOLE),
        score=or_null(NUMBER),
        others=many(record("An agent that would have done, too.", hostname=TEXT, score=NUMBER)),
        ruled_out=many(
            record("Agents that would not.", rule=TEXT, agents=WHOLE, examples=many(TEXT))
        ),
    ),
    "QuarantinedJob": record(
        "A job that is stored and cannot be handled; its tasks are those that run on. `document`"
        " is null unless the job is asked for by its id.",
        id=TEXT,
        kind=TEXT,
        reason=TEXT,
        keeper=TEXT,
        tasks=many(TEXT),
        document=MAYBE_TEXT,
    ),
    "Volume": record(
        "A volume that belongs to the name of an instance. `job_id` is of the job that has not"
        " ended and has it; null: it is left over.",
        volume_id=TEXT,
        role=TEXT,
        job_name=TEXT,
        task_name=TEXT,
        instance=WHOLE,
        name=TEXT,
        agent_id=TEXT,
        hostname=TEXT,
        size_mib=NUMBER,
        job_id=MAYBE_TEXT,
        framework_id=TEXT,
    ),
    "JobReceiver": record(
        "Who is told of alerts of the jobs of a framework. `problem` says why it has not taken what"
        " it was sent last.",
        name=TEXT,
        problem=MAYBE_TEXT,
        problem_since=TIME,
        framework_id=TEXT,
    ),
    "JobSilence": record(
        "Alerts of a job of which nobody is told; null: of all its tasks, or whatever is wrong.",
        job_id=TEXT,
        job_name=TEXT,
        role=TEXT,
        task_name=MAYBE_TEXT,
        when=MAYBE_TEXT,
        until=TIME,
        by=MAYBE_TEXT,
        why=MAYBE_TEXT,
        framework_id=TEXT,
    ),
    "Alert": record(
        "An alert of a job: `pending`, `firing`, or `resolved` and its receiver does not know yet."
        " `known`: the receiver has taken that it fires.",
        key=TEXT,
        job_id=TEXT,
        job_name=TEXT,
        role=TEXT,
        task_name=TEXT,
        when=TEXT,
        receiver=TEXT,
        state=TEXT,
        since=TIME,
        fired_at=TIME,
        summary=MAYBE_TEXT,
        known=FLAG,
        silenced_until=TIME,
        silenced_by=MAYBE_TEXT,
        silenced_for=MAYBE_TEXT,
        framework_id=TEXT,
    ),
    "Variable": record(
        "A value that jobs of a role share; null for those who may not `read-env`. `jobs` refer to"
        " it, and with `spreading` not all of them have it yet. It could not be given to those that"
        " are `untaken`.",
        role=TEXT,
        name=TEXT,
        value=MAYBE_TEXT,
        version=WHOLE,
        set_by=MAYBE_TEXT,
        set_at=TIME,
        jobs=WHOLE,
        spreading=FLAG,
        untaken=many(record("A job that has another value.", job_id=TEXT, why=TEXT)),
        framework_id=TEXT,
    ),
    "VariableSet": record(
        "The version that is in force now. Without `changed` it was so already. So many `jobs`"
        " refer to it, and are changed.",
        version=WHOLE,
        changed=FLAG,
        jobs=WHOLE,
    ),
    "Applied": record(
        "What a job file changes, or would change. A `job_id` of null: it would be a new job.",
        job_id=MAYBE_TEXT,
        version=WHOLE,
        created=FLAG,
        changed=FLAG,
        changes=many(_CHANGE),
        more_changes=WHOLE,
        tasks=many(
            record(
                "What becomes of the instances of a task.",
                task_name=TEXT,
                stay=WHOLE,
                start=WHOLE,
                stop=WHOLE,
                replace=WHOLE,
                finish=WHOLE,
                outage=MAYBE_TEXT,
            )
        ),
        policy=MAYBE_TEXT,
        where=many(ref("TaskPlaces")),
        where_note=MAYBE_TEXT,
        warnings=many(TEXT),
    ),
    "Silenced": record(
        "Alerts of which nobody is told; `replaced` tells the silence that was in force before.",
        replaced=MAYBE_TEXT,
    ),
    "TaskPlaces": record(
        "Where the new instances of a task would go now: beside those that stay or are replaced."
        " `why` is why most of those that are `waiting` would wait, or why with `never` none could"
        " ever start. Of the tasks that would be killed for others (`preempting` of them) those are"
        " told that who asks may see.",
        task_name=TEXT,
        places=many(record("An agent.", hostname=TEXT, instances=WHOLE)),
        waiting=WHOLE,
        why=MAYBE_TEXT,
        never=FLAG,
        preempting=WHOLE,
        preempted=many(
            record(
                "A task that would be killed.",
                job_id=TEXT,
                name=TEXT,
                hostname=TEXT,
                priority=WHOLE,
            )
        ),
    ),
    "Changed": record(
        "The version that is in force now, and by what it was made. Without `changed` it was so"
        " already.",
        job_id=TEXT,
        version=WHOLE,
        changed=FLAG,
        what=TEXT,
    ),
}
