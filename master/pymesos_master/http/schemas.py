"""JSON Schemas of what is answered: `pymesos_core.json_dialect`, field by field."""

from __future__ import annotations

from pymesos_core.json_dialect import Json


def record(what: str, more: Json | None = None, /, **fields: Json) -> Json:
    """An object that has all of these fields, and no others, unless `more` says of which kind."""
    return {
        "type": "object",
        "description": what,
        "properties": fields,
        "required": [*fields],
        "additionalProperties": False if more is None else more,
    }


def many(items: Json) -> Json:
    """A list of any length."""
    return {"type": "array", "items": items}


def table(values: Json) -> Json:
    """An object of which the keys are names of any kind."""
    return {"type": "object", "additionalProperties": values}


def or_null(schema: Json) -> Json:
    """The same, or null, which is what is not known or not there."""
    if isinstance(schema.get("type"), str):
        return schema | {"type": [schema["type"], "null"]}
    return {"oneOf": [schema, {"type": "null"}]}


def ref(name: str) -> Json:
    """One of SCHEMAS, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def listing(name: str, of: str) -> Json:
    """A page of a list."""
    return record(
        "A page. There may be fewer than asked for on it, and more to come as long as there is a"
        " token.",
        **{name: many(ref(of)), "next_page_token": or_null(TEXT)},
    )


def whole_list(name: str, of: str) -> Json:
    """A list that has no pages."""
    return record("All of them.", **{name: many(ref(of))})


TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
WHOLE: Json = {"type": "integer", "minimum": 0}
FLAG: Json = {"type": "boolean"}
TIME: Json = {"type": ["string", "null"], "format": "date-time"}
MAYBE_TEXT = or_null(TEXT)
PORT: Json = {"type": "integer", "minimum": 0, "maximum": 65535}
PORT_RANGES: Json = many({"type": "array", "items": PORT, "minItems": 2, "maxItems": 2})
NUMBERS = table(NUMBER)  # by the names of resources
_OF_AGENT = {"agent_id": TEXT, "hostname": TEXT}


def _amounts(what: str, ports: Json) -> Json:
    return record(what, NUMBER, cpus=NUMBER, mem=NUMBER, disk=NUMBER, ports=ports)


_USE = {"cpus": NUMBER, "mem": NUMBER}
_DRAIN = {
    "state": TEXT,
    "deadline": TIME,
    "then_gone": FLAG,
    "down": FLAG,
    "set_by": MAYBE_TEXT,
    "set_at": TIME,
}
_RESERVED = {"role": TEXT, "resources": NUMBERS, "volume": MAYBE_TEXT, "static": FLAG}
_WINDOW = {
    "start": TIME,
    "duration_s": or_null(NUMBER),
    "set_by": MAYBE_TEXT,
    "set_at": TIME,
    "answers": many(
        record(
            "What a framework said to it.",
            framework_id=TEXT,
            framework=TEXT,
            answer=TEXT,
            at=TIME,
        )
    ),
}

SCHEMAS: dict[str, Json] = {
    "Error": record(
        "Why a request was refused, or has failed.",
        error=record(
            "For programs the name of a gRPC code, for people a sentence.",
            code=TEXT,
            message=TEXT,
        ),
    ),
    "Health": record(
        "Whether this master works.", status={"type": "string", "enum": ["leading", "following"]}
    ),
    "Leader": record("Who leads.", address=MAYBE_TEXT, hostname=MAYBE_TEXT, epoch=or_null(WHOLE)),
    "Amounts": _amounts(
        "Amounts of resources; mem and disk in MiB, ports from the first to the last.", PORT_RANGES
    ),
    "TaskAmounts": _amounts("Amounts of resources, with each port.", many(PORT)),
    "Agent": record(
        "An agent.",
        **_OF_AGENT,
        address=TEXT,
        principal=MAYBE_TEXT,
        state=TEXT,
        drain=or_null(record("What an operator has decided of it.", **_DRAIN)),
        maintenance=or_null(record("When it may be away.", **_WINDOW)),
        runtime=TEXT,
        isolation=table(TEXT),
        unavailable=table(TEXT),
        set_aside=table(TEXT),
        resources=ref("Amounts"),
        reserved=many(record("What is reserved of it.", **_RESERVED)),
        allocated=ref("Amounts"),
        offered=ref("Amounts"),
        attributes=table(TEXT),
        tasks=WHOLE,
        usage=record("What its tasks use.", **_USE, disk=NUMBER, containers=WHOLE),
        registered_at=TIME,
        version=TEXT,
    ),
    "Tile": record(
        "An agent in short: what is allocated of it, and what it has.",
        **_OF_AGENT,
        state=TEXT,
        drain=MAYBE_TEXT,
        tasks=WHOLE,
        cpus=many(NUMBER),
        mem=many(NUMBER),
        disk=many(NUMBER),
    ),
    "Sums": record(
        "Amounts of each resource over all active agents; of ports their number.",
        at_s=NUMBER,
        total=NUMBERS,
        allocated=NUMBERS,
        offered=NUMBERS,
        used=NUMBERS,
    ),
    "Overview": record(
        "The cluster at a glance.",
        agents=table(WHOLE),
        drains=table(WHOLE),
        frameworks=table(WHOLE),
        tasks=table(WHOLE),
        offers=WHOLE,
        now=ref("Sums"),
        history=many(ref("Sums")),
        failed=many(ref("Task")),
    ),
    "Framework": record(
        "A framework.",
        framework_id=TEXT,
        name=TEXT,
        user=TEXT,
        roles=many(TEXT),
        state=TEXT,
        failover_timeout_s=NUMBER,
        capabilities=many(TEXT),
        principal=MAYBE_TEXT,
        jobs_address=MAYBE_TEXT,
        tasks=WHOLE,
        allocated=ref("Amounts"),
        offered=ref("Amounts"),
        dominant_share=NUMBER,
        suppressed_roles=many(TEXT),
        offer_conflicts=WHOLE,
        registered_at=TIME,
        disconnected_at=TIME,
    ),
    "Task": record(
        "A task. `quarantined` is null here: frameworks know of that.",
        task_id=TEXT,
        name=TEXT,
        run=MAYBE_TEXT,
        framework_id=TEXT,
        **_OF_AGENT,
        role=TEXT,
        state=TEXT,
        reason=MAYBE_TEXT,
        message=MAYBE_TEXT,
        resources=ref("TaskAmounts"),
        revocable=FLAG,
        image=MAYBE_TEXT,
        launched_at=TIME,
        started_at=TIME,
        finished_at=TIME,
        exit_status=or_null({"type": "integer"}),
        healthy=or_null(FLAG),
        ready=or_null(FLAG),
        completed=FLAG,
        quarantined=MAYBE_TEXT,
        usage=or_null(record("What it uses.", **_USE)),
    ),
    "File": record(
        "A file of a task. `mode` has its permission bits, if they are known.",
        name=TEXT,
        is_directory=FLAG,
        size_bytes=WHOLE,
        modified_at=TIME,
        mode=or_null(WHOLE),
    ),
    "Usage": record(
        "What a task uses: `cpu_s` and what it reads, writes, sends and receives since its start,"
        " the rest now.",
        task_id=TEXT,
        framework_id=TEXT,
        at=TIME,
        cpu_s=NUMBER,
        throttled_s=NUMBER,
        read_bytes=WHOLE,
        written_bytes=WHOLE,
        received_bytes=WHOLE,
        sent_bytes=WHOLE,
        mem_bytes=WHOLE,
        pids=WHOLE,
        cpus_limit=or_null(NUMBER),
        mem_limit_bytes=or_null(WHOLE),
    ),
    "TargetGroup": record(
        "A target, and what is known of it.",
        targets=many(TEXT),
        labels=record(
            "For `relabel_configs`. `__meta_pymesos_ready` is `true` while it serves clients; where"
            " its framework does not say so, unless a readiness check of it has not passed.",
            **{
                f"__meta_pymesos_{name}": TEXT
                for name in (
                    "task_id",
                    "task_name",
                    "framework_id",
                    "role",
                    "agent_id",
                    "hostname",
                    "port_index",
                    "port_name",
                    "job",
                    "job_task",
                    "instance",
                    "ready",
                )
            },
        ),
    ),
    "Accounting": record(
        "What was used, in hours of CPUs, GPUs and GiB of memory; what it is not of is null.",
        day=MAYBE_TEXT,
        role=MAYBE_TEXT,
        framework=MAYBE_TEXT,
        job=MAYBE_TEXT,
        rest=FLAG,
        asked_cpu_hours=NUMBER,
        asked_mem_gib_hours=NUMBER,
        asked_gpu_hours=NUMBER,
        used_cpu_hours=NUMBER,
        used_mem_gib_hours=NUMBER,
    ),
    "Event": record(
        "Something that happened, or of the state: what is there.",
        timestamp=TIME,
        kind=TEXT,
        agent_id=MAYBE_TEXT,
        framework_id=MAYBE_TEXT,
        task_id=MAYBE_TEXT,
        offer_id=MAYBE_TEXT,
        task_state=MAYBE_TEXT,
        reason=MAYBE_TEXT,
        resources=ref("Amounts"),
        message=MAYBE_TEXT,
    ),
    "Offer": record(
        "An offer that is not answered yet.",
        offer_id=TEXT,
        framework_id=TEXT,
        **_OF_AGENT,
        role=TEXT,
        resources=ref("Amounts"),
        agent_total=ref("Amounts"),
        attributes=table(TEXT),
        runtimes=many(TEXT),
        optimistic=FLAG,
        offered_at=TIME,
    ),
    "Role": record(
        "A role, with what it and those below it hold.",
        role=TEXT,
        weight=NUMBER,
        guarantees=NUMBERS,
        limits=NUMBERS,
        allocated=ref("Amounts"),
        offered=ref("Amounts"),
        reserved=ref("Amounts"),
        frameworks=many(TEXT),
    ),
    "Quota": record("The quota of a role.", role=TEXT, guarantees=NUMBERS, limits=NUMBERS),
    "Weight": record("The weight of a role.", role=TEXT, weight=NUMBER),
    "Reservation": record("What is reserved on an agent for a role.", **_OF_AGENT, **_RESERVED),
    "Drain": record(
        "What an operator has decided of an agent.", **_OF_AGENT, tasks=WHOLE, **_DRAIN
    ),
    "MaintenanceWindow": record("When an agent may be away.", **_OF_AGENT, **_WINDOW),
    "Explanation": record(
        "Why a framework is not offered more.",
        framework=ref("Framework"),
        last_offer_at=TIME,
        offers_held=WHOLE,
        agents=WHOLE,
        agents_awaited=WHOLE,
        agent_state=MAYBE_TEXT,
        roles=many(
            record(
                "Where it stands in one of its roles.",
                role=TEXT,
                suppressed=FLAG,
                weighted_share=NUMBER,
                place=WHOLE,
                of=WHOLE,
                weight=NUMBER,
                withheld=many(
                    record(
                        "Why agents are kept from it.",
                        reason=TEXT,
                        text=TEXT,
                        agents=WHOLE,
                        hostnames=many(TEXT),
                        first_ends_in_s=or_null(NUMBER),
                    )
                ),
            )
        ),
    ),
    "WhoAmI": record(
        "Who you are; `principal` is null in a cluster without certificates.",
        principal=MAYBE_TEXT,
        certificate_ends_at=TIME,
        policy_version=WHOLE,
        rules=many(record("A rule that names you.", line=WHOLE, rule=TEXT)),
        access_token=or_null(record("By which you ask.", id=TEXT, rights=many(TEXT))),
    ),
    "Can": record(
        "Whether it is allowed, and by which rule; if not, why.",
        allowed=FLAG,
        rule=MAYBE_TEXT,
        line=or_null(WHOLE),
        problem=MAYBE_TEXT,
        policy_version=WHOLE,
    ),
    "Policy": record(
        "The policy; version 0: nobody has set one.",
        version=WHOLE,
        set_by=MAYBE_TEXT,
        set_at=TIME,
        document=TEXT,
    ),
    "Webhook": record(
        "Where events are sent. `problem` says why it has not taken what it was sent last.",
        name=TEXT,
        url=TEXT,
        kinds=many(TEXT),
        secret_role=MAYBE_TEXT,
        secret_name=MAYBE_TEXT,
        link_local=FLAG,
        set_at=TIME,
        set_by=MAYBE_TEXT,
        problem=MAYBE_TEXT,
    ),
    "ClusterAlert": record(
        "An alert of the cluster, of one receiver: `pending`, `firing`, or `resolved` and its"
        " receiver does not know yet. `subject` is the id of an agent, a role, or the address of a"
        " master.",
        key=TEXT,
        when=TEXT,
        subject=MAYBE_TEXT,
        receiver=TEXT,
        state=TEXT,
        since=TIME,
        fired_at=TIME,
        summary=MAYBE_TEXT,
        known=FLAG,
        silenced_until=TIME,
        silenced_by=MAYBE_TEXT,
        silenced_for=MAYBE_TEXT,
    ),
    "ClusterSilence": record(
        "Alerts of the cluster of which nobody is told; null: all.",
        when=MAYBE_TEXT,
        subject=MAYBE_TEXT,
        until=TIME,
        by=MAYBE_TEXT,
        why=MAYBE_TEXT,
    ),
    "Receiver": record(
        "Who is told of alerts. `problem` says why it has not taken what it was sent last.",
        name=TEXT,
        problem=MAYBE_TEXT,
        problem_since=TIME,
    ),
    "Secret": record(
        "A secret, without its value.",
        role=TEXT,
        name=TEXT,
        version=WHOLE,
        set_at=TIME,
        set_by=MAYBE_TEXT,
        tasks=WHOLE,
    ),
    "JoinToken": record(
        "A token to join with.",
        id=TEXT,
        digest=TEXT,
        principal=TEXT,
        ends_at=TIME,
        made_by=MAYBE_TEXT,
        used=FLAG,
    ),
    "AccessToken": record(
        "An access token, without its secret.",
        id=TEXT,
        principal=TEXT,
        name=MAYBE_TEXT,
        rights=many(TEXT),
        made_at=TIME,
        ends_at=TIME,
    ),
    "Revocation": record("What is let in no more.", name=TEXT, at=TIME, made_by=MAYBE_TEXT),
    "QuarantinedRecord": record(
        "A record that cannot be handled; `document` is null in a list.",
        kind=TEXT,
        key=TEXT,
        reason=TEXT,
        document=MAYBE_TEXT,
    ),
    "AuditLine": record(
        "A line of the audit (see docs/security.md), and who has written it.", {}, source=TEXT
    ),
    "AuditPage": record(
        "Lines that one master has written, the oldest first, and the masters that have others.",
        lines=many(ref("AuditLine")),
        master=TEXT,
        others=many(TEXT),
        next_page_token=MAYBE_TEXT,
    ),
}
