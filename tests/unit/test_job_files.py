"""Job files: what is right is read exactly, what is wrong is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pymesos_binpack.constraints import ConstraintError, parse_constraint
from pymesos_binpack.containers import check_message, container_info
from pymesos_binpack.jobfiles.parsing import (
    MAX_BYTES,
    JobError,
    load_document,
    parse_job,
    read_job_file,
    schema,
)
from pymesos_binpack.jobfiles.reference import sections, without_example
from pymesos_binpack.jobs.launching import needed_runtimes
from pymesos_binpack.placement.agents import KnownAgents, Placements
from pymesos_binpack.placement.eligibility import unmet
from pymesos_cli.errors import CliError
from pymesos_cli.jobs.run import command_document
from pymesos_testing.job_files import GOOD, job_of

ROOT = Path(__file__).resolve().parents[2]


def read(text: str) -> object:
    return parse_job(load_document(text))


def test_the_example_of_the_documentation() -> None:
    job = parse_job(load_document(GOOD))
    (task,) = job.tasks
    assert (job.name, job.role, task.is_service, task.instances) == ("shop", "web", True, 5)
    assert dict(task.scalars) == {"cpus": 100, "mem": 64_000}
    assert [str(c) for c in task.constraints] == ["rack:UNIQUE", "ssd:IS:true"]
    assert parse_job(load_document(job.document)) == job, "its JSON is the same job"


def test_the_demo_is_a_job() -> None:
    job = parse_job(load_document((ROOT / "frameworks/examples/demo.yaml").read_bytes()))
    counts = {task.name: task.instances for task in job.tasks}
    assert counts["web"] == 5 and counts["database"] == 1
    assert sum(t.instances for t in job.tasks if not t.is_service) == 40


MINIMAL = "{name: j, tasks: [{name: t, command: x, %s}]}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a job is a mapping"),
        ("[]", "a job is a mapping"),
        ("{", "not YAML or JSON"),
        ("name: a\ntasks: [", "line 2"),
        ("{name: j}", "'tasks' is missing"),
        ("{name: j, tasks: []}", "tasks"),
        (
            "{name: j, kind: service, tasks: [{name: t, command: x}]}",
            "unknown key 'kind'; it is one of a task: tasks: [{kind: …}]",
        ),
        (
            "{name: 'a/b', tasks: [{name: t, command: x}]}",
            "name: 'a/b' cannot be used; expected: letters",
        ),
        ("{name: '..', tasks: [{name: t, command: x}]}", "name"),
        (MINIMAL % "user: ' '", "user: ' ' begins or ends with white space"),
        (MINIMAL % "cpus: 1", "tasks[0]: unknown key 'cpus'; it goes below resources: {cpus: …}"),
        (
            MINIMAL % "health_check: {}",
            "health_check: one of command, http, tcp and grpc is expected",
        ),
        (MINIMAL % "instnaces: 3", "tasks[0]: unknown key 'instnaces'; did you mean 'instances'?"),
        (MINIMAL % "zzz: 3", "unknown key 'zzz'; known are add_capabilities, alerts"),
        ("name: a\ntaks: [{name: t, command: x}]", "unknown key 'taks'; did you mean 'tasks'?"),
        ("nmae: a\ntasks: [{name: t, command: x}]", "unknown key 'nmae'; did you mean 'name'?"),
        ("name: a\ntasks: [{naem: t}]", "tasks[0]: unknown key 'naem'; did you mean 'name'?"),
        ("name: a\nzzz: 3", "'tasks' is missing"),
        (MINIMAL % "replicas: 3", "tasks[0]: unknown key 'replicas'; did you mean 'instances'?"),
        (MINIMAL % "container: nginx", "unknown key 'container'; did you mean 'image'?"),
        ("id: a\ntasks: [{name: t, command: x}]", "unknown key 'id'; did you mean 'name'?"),
        ("{name: j, tasks: [{name: t, command: [sleep, 9]}]}", "as one text: 'sleep 9'"),
        (MINIMAL % "ports: [80]", "ports[0]: 80 is not a mapping; its keys are name, to, host"),
        (
            MINIMAL % "ports: 80",
            "80 is not a list; each of its items is a mapping; its keys are na",
        ),
        (MINIMAL % "env: [A=1]", "tasks[0].env: ['A=1'] is not a mapping; write NAME: VALUE"),
        (MINIMAL % "constraints: rack=a", "'rack=a' is not a list; in brackets: ['rack=a']"),
        (MINIMAL % "constraints: [[hostname, UNIQUE]]", "is expected, as in 'hostname:UNIQUE'"),
        (MINIMAL % "resources: {mem: 512Mi}", "'512Mi' is not a number; write it without a unit"),
        (MINIMAL % "instances: 0", "tasks[0].instances: 0 is out of range; at least 1"),
        (MINIMAL % "instances: 1.5", "instances"),
        (
            MINIMAL % "instances: '3'",
            "tasks[0].instances: '3' is not a whole number; without quotes: 3",
        ),
        (
            MINIMAL % "health_check: {http: {port: web, path: /}}",
            "'web' is not a whole number; port_index: 0 is the first of the task's ports",
        ),
        (MINIMAL % "kind: cron", "'cron' is not one of service, daemon, batch"),
        (MINIMAL % "resources: {cpus: -1}", "out of range; at least 0"),
        (MINIMAL % "resources: {cpus: .nan}", "nan is not a finite number"),
        (MINIMAL % "resources: {cpus: .inf}", "inf is not a finite number"),
        (
            MINIMAL % "resources: {cpus: 0.0001}",
            "cpus is 0.0001, which rounds to zero: three decimals are kept",
        ),
        (MINIMAL % "resources: {cpus: lots}", "'lots' is not a number"),
        (MINIMAL % "resources: {cpus: 0, mem: 0}", "a task needs some resource"),
        (MINIMAL % "resources: {'a b': 1}", "resources"),
        (MINIMAL % "env: {A: 1}", 'tasks[0].env.A: 1 is not text; quote it: "1"'),
        (MINIMAL % "env: {'A=B': x}", "env"),
        (MINIMAL % "constraints: ['rack:NEAR:x']", "tasks[0].constraints: 'rack:NEAR:x'"),
        (MINIMAL % "constraints: ['rack:WITH:db']", "the job has no task 'db'; it has t"),
        (MINIMAL % "constraints: ['rack:AWAY:']", "lacks its value"),
        (MINIMAL % "resources: {gpus: 1.5}", "gpus is 1.5: a part of one device"),
        (MINIMAL % "volumes: [{name: d, path: d, size: 9}]", "give the job another role"),
        (MINIMAL % "volumes: [{name: d, path: a/../b, size: 9}]", "leads elsewhere"),
        (MINIMAL % "volumes: [{name: d, path: d}]", "'size' is missing"),
        (MINIMAL % "gang: maybe", "gang: 'maybe' is not true or false"),
        (MINIMAL % "health_check: {delay_s: 1}", "one of command, http, tcp and grpc is expected"),
        (MINIMAL % "health_check: {http: {}}", "either port or port_index is expected"),
        (MINIMAL % "health_check: {tcp: {port: 70000}}", "70000 is out of range; at most 65535"),
        (
            MINIMAL % "resources: {ports: 1}, readiness_check: {tcp: {port_index: 1}}",
            "readiness_check.tcp.port_index: the task has 1 port; the first is 0",
        ),
        (MINIMAL % "runtime: podman", "'podman' is not one of process, docker, oci"),
        (MINIMAL % "network: a/b", "network: 'a/b' cannot be used; expected:"),
        (
            MINIMAL % "port_mappings: [{port_index: 0, container_port: 80}]",
            "port_mappings: they need a network that has ports of its own",
        ),
        (
            MINIMAL % "network_in_mbit_per_s: 8",
            "network_in_mbit_per_s: it needs a network of its own, like `bridge`",
        ),
        (
            MINIMAL % "network: bridge, port_mappings: [{port_index: 0, container_port: 80}]",
            "port_mappings[0].port_index: the task has 0 ports",
        ),
        (
            MINIMAL % "sidecars: [{name: s, command: y, resources: {ports: 1}}]",
            "tasks[0].sidecars[0].resources.ports: the task has them",
        ),
        (MINIMAL % "sidecars: [{name: t, command: y}]", "sidecars: the name 't' is given twice"),
        (MINIMAL % "sidecars: [{name: s, command: y, network: none}]", "unknown key 'network'"),
        (MINIMAL % "sidecars: [{name: s}]", "sidecars[0]: a task needs a command"),
        (
            MINIMAL % "mounts: [{path: x, group_path: a/b}]",
            "'a/b' cannot be used; expected:",
        ),
        (
            MINIMAL % "mounts: [{path: x, group_path: a, read_only: true}]",
            "mounts[0]: a group_path is that and nothing else",
        ),
        (MINIMAL % "mounts: [{path: ../x}]", "mounts[0].path: '../x' leads elsewhere"),
        (MINIMAL % "ulimits: {files: 3}", "ulimits"),
        (
            MINIMAL % "add_capabilities: [net_admin]",
            "cannot be used; expected: capital letters",
        ),
        ("{name: j, priority: -1, tasks: [{name: t, command: x}]}", "priority: -1 is out of range"),
        (MINIMAL % "retries: -1", "retries"),
        (MINIMAL % 'env: {A: "a\\0b"}', "NUL"),
        ("{name: j, tasks: [{name: t}]}", "a command, or an image"),
        ("{name: j, role: 'a b', tasks: [{name: t, command: x}]}", "white space"),
        ("{name: j, tasks: [{name: t, command: x}, {name: t, command: x}]}", "given twice"),
        ("{name: j, name: k, tasks: [{name: t, command: x}]}", "'name' is given twice"),
        ("{1: j}", "the key 1 is not text"),
        ("{name: &a j, tasks: [{name: *a, command: x}]}", "aliases"),
        ("x" * (MAX_BYTES + 1), "at most 524288"),
        ("[" * 5000, "nested too deeply"),
        ("!!python/object/apply:os.system ['true']", "not YAML or JSON"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(JobError) as caught:
        read(text)
    assert says in str(caught.value)


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(JobError, match="UTF-8"):
        load_document(b"\xff\xfe")


def test_a_command_is_a_job_of_one_task() -> None:
    (script,) = parse_job(command_document(("echo a; echo b",), 0.5, 64, None, "*")).tasks
    assert script.command == "echo a; echo b"
    (argv,) = parse_job(command_document(("echo", "a b", "$HOME"), 0.5, 64, None, "*")).tasks
    assert argv.command == "echo 'a b' '$HOME'"
    assert dict(argv.scalars) == {"cpus": 500, "mem": 64_000}


def test_containers_and_checks_are_as_they_were_said() -> None:
    job = parse_job(
        load_document(
            MINIMAL
            % """runtime: oci, network: none, read_only: true, cpu_quota: true, pids_max: 9,
            ulimits: {nofile: 64}, drop_capabilities: [ALL], add_capabilities: [CHOWN],
            mounts: [{path: /cache, size_mib: 8}, {path: d, host_path: /data, read_only: true}],
            health_check: {http: {port_index: 0, path: /ok}, interval_s: 2},
            readiness_check: {command: "true"}, max_completion_time_s: 60, resources: {ports: 1}"""
        )
    )
    (task,) = job.tasks
    info = container_info(task.image, task.container)
    assert (info.runtime, info.network, info.read_only, info.cpu_quota) == (
        "oci",
        "none",
        True,
        True,
    )
    assert (info.pids_max, info.ulimits[0].name, info.ulimits[0].hard) == (9, "nofile", 64)
    assert [(m.container_path, m.host_path, m.read_only, m.size_mib) for m in info.mounts] == [
        ("/cache", "", False, 8),
        ("d", "/data", True, 0),
    ]
    assert task.container.health_check is not None
    check = check_message(task.container.health_check)
    assert (check.http.port_index, check.http.path, check.interval_s) == (0, "/ok", 2)
    assert not check.HasField("delay_s")
    assert needed_runtimes(task) == ("oci",)


def keys_of(node: dict[str, Any]) -> Iterator[str]:
    """Every key of the schema, wherever it stands."""
    for name, inner in node.items():
        if name == "properties":
            yield from inner
        for each in inner.values() if name in ("properties", "$defs") else [inner]:
            if isinstance(each, dict):
                yield from keys_of(each)


EVERY_KEY = read_job_file(ROOT / "frameworks/examples/every-key.yaml")


def test_every_key_has_an_example_that_can_be_launched() -> None:
    assert without_example(EVERY_KEY) == []
    job = parse_job(EVERY_KEY)
    assert {task.name for task in job.tasks} >= {"web", "db", "train"}
    web, *others = EVERY_KEY["tasks"]
    less = {key: value for key, value in web.items() if key != "sidecars"}
    assert "tasks[].sidecars" in without_example({**EVERY_KEY, "tasks": [less, *others]})


def test_every_key_is_in_the_reference() -> None:
    """W25: with what it is and an example, and of items of lists, too."""
    text = sections(EVERY_KEY)
    assert text in (ROOT / "docs/jobs.md").read_text("utf-8"), "run `make docs`"
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert {row[0][3:-1] for row in rows} - {"(name)", "(any other)"} == set(keys_of(schema()))
    assert [row[0] for row in rows if row[-1] == " |" and "(" not in row[0]] == []


MOST = 128 * 1024 - 1  # bytes of one string that Linux gives a program


@pytest.mark.parametrize(
    "task",
    [
        {"command": "a" * MOST},
        {"command": "é" * (MOST // 2)},
        {"env": {"A": "a" * (MOST - 2)}},
        {"health_check": {"command": "a" * MOST}},
        {"sidecars": [{"name": "s", "command": "a" * MOST}]},
    ],
)
def test_what_linux_can_start_is_taken(task: dict[str, Any]) -> None:
    parse_job(job_of(**task))


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ({"command": "a" * (MOST + 1)}, "command: has 131072 bytes; at most 131071 are accepted"),
        ({"command": "é" * 65536}, "command: has 131072 bytes; at most 131071"),
        ({"env": {"AB": "a" * (MOST - 2)}}, "env.AB, written NAME=VALUE, has 131072 bytes"),
        ({"health_check": {"command": "é" * 65536}}, "health_check.command: has 131072 bytes"),
        ({"sidecars": [{"name": "s", "command": "é" * 65536}]}, "sidecars[0].command: has 131072"),
        ({"env": dict.fromkeys("ABC", "a" * 100_000)}, "at most 262144 are accepted"),
        (
            {"sidecars": [{"name": f"s{n}", "command": "a" * 120_000} for n in range(5)]},
            "the job, written as JSON, has 600224 bytes; at most 524288",
        ),
        (
            {"sidecars": [{"name": f"s{n}", "command": "a" * 30_000} for n in range(16)],
             "command": "a" * 40_000},
            "the task with its sidecars, as it is sent, has",
        ),
        ({"ulimits": {"stack": 1000}, "command": "a" * 120_000}, "with ulimits.stack 1000"),
        ({"user": "é" * 128}, "user: has 256 bytes; at most 255 are accepted"),
        ({"env": {f"A{n}": "é" * 100 for n in range(2000)}}, "at most 262144 are accepted"),
    ],
)  # fmt: skip
def test_what_is_too_large_is_refused_by_its_bytes(task: dict[str, Any], says: str) -> None:
    """W17: the kernel would say E2BIG, or the master refuse it each time."""
    with pytest.raises(JobError) as caught:
        parse_job(job_of(**task))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "hidden", ["\u202e", "\u2066", "\u200b", "\x07", "\x1b", "\n", "\x85", "\u2028"]
)
def test_nothing_that_cannot_be_seen_is_in_a_name(hidden: str) -> None:
    text = f"a{hidden}b"
    every: list[dict[str, Any]] = [
        {**job_of(), "name": text},
        {**job_of(), "role": text},
        {**job_of(), text: 1},
        job_of(name=text),
        job_of(name="a\n"),
        job_of(env={text: "x"}),
        job_of(image=text),
        job_of(user=text),
        job_of(network=text),
        job_of(resources={text: 1}),
        job_of(constraints=[f"{text}:UNIQUE"]),
        job_of(mounts=[{"path": text}]),
        job_of(artifacts=[{"uri": f"http://{text}"}]),
        job_of(health_check={"grpc": {"port": 1, "service": text}}),
        job_of(sidecars=[{"name": text, "command": "y"}]),
        {**job_of(volumes=[{"name": "v", "path": text, "size": 1}]), "role": "web"},
    ]
    for document in every:
        with pytest.raises(JobError) as caught:
            parse_job(document)
        assert str(caught.value).isprintable()
    free = job_of(command=text, env={"A": text}, health_check={"command": text})
    assert parse_job(free).tasks[0].command == text, "what a program reads may hold anything"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("cpu", "cpus"), ("CPUs", "cpus"), ("CPU", "cpus"), ("cores", "cpus"), ("vcpus", "cpus"),
        ("cpuss", "cpus"), ("cpu_milli", "cpus"), ("memory", "mem"), ("Mem", "mem"), ("ram", "mem"),
        ("mem_mib", "mem"), ("memory_mb", "mem"), ("gpu", "gpus"), ("GPUS", "gpus"),
        ("disk_mib", "disk"), ("disks", "disk"), ("storage", "disk"), ("port", "ports"),
    ],
)  # fmt: skip
def test_a_slip_for_a_resource_is_named(name: str, meant: str) -> None:
    """W15: it would wait for ever for an agent that has some."""
    with pytest.raises(JobError) as caught:
        parse_job(job_of(resources={name: 1}))
    assert f"unknown resource {name}; did you mean {meant}?" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["fpga", "tpus", "npus", "licenses", "network_mbps", "ssd", "slots"]
)
def test_agents_may_have_resources_of_other_names(name: str) -> None:
    assert parse_job(job_of(resources={name: 1})).tasks[0].scalars[name] == 1000


@pytest.mark.parametrize("command", [("",), ("  ",), ("\t\n",)])
def test_an_empty_command_is_a_sentence(command: tuple[str, ...]) -> None:
    """W18."""
    with pytest.raises(CliError, match="the command is empty"):
        command_document(command, 0.1, 32, None, "*")


def test_a_command_of_any_letters_has_a_name() -> None:
    assert parse_job(command_document(("écho 🚀",), 0.1, 32, None, "*")).name == "cho"
    assert parse_job(command_document(("日本",), 0.1, 32, None, "*")).name == "command"


def test_expressions_take_time_linear_in_the_text() -> None:
    """F3: Python's own would be at this for longer than the sun has left."""
    constraint = parse_constraint("hostname:UNLIKE:([a-z0-9.-]+)+X")
    where = {"hostname": "a" * 255}
    assert unmet(constraint, "g", where, Placements(), KnownAgents()) is None
    assert (
        unmet(constraint, "g", {"hostname": "aX"}, Placements(), KnownAgents()) == "hostname is aX"
    )
    for text in ("(?!a)b", "(a)\\1", "(", "a{1000}{1000}", "(a|b|c){1,400}"):
        with pytest.raises(ConstraintError):
            parse_constraint(f"hostname:UNLIKE:{text}")
