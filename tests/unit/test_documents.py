"""Job files as text: JSON as JSON, YAML by the core schema of YAML 1.2, and what was written."""

from __future__ import annotations

import json
import math

import pytest

from pymesos_binpack.jobfiles.parsing import Job, JobError, load_document, parse_job

MINIMAL = "{name: j, tasks: [{name: t, command: x, %s}]}"


def read(text: str) -> Job:
    return parse_job(load_document(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0100", 100),  # W7: YAML 1.1 has 64
        ("0o100", 64),
        ("0x1F", 31),
        ("+7", 7),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("12.", 12.0),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("yes", "yes"),
        ("NO", "NO"),
        ("on", "on"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2026-01-01", "2026-01-01"),
        ("<<", "<<"),
        ("=", "="),
        ("'3'", "3"),
        ('"\\ud83d\\ude80"', "🚀"),
        ("!!str 3", "3"),
        ("!!int '3'", 3),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    read_back = load_document(f"key: {text}")["key"]
    assert read_back == value and type(read_back) is type(value)


@pytest.mark.parametrize("only_json", [False, True])
def test_json_is_read_as_json(only_json: bool) -> None:
    """F1: what JSON writes for 🚀 are two halves of a character to YAML 1.1."""
    document = {"name": "j", "tasks": [{"name": "t", "command": "echo 🚀 \x85 \x7f \t"}]}
    for text in (json.dumps(document), json.dumps(document, indent="\t", ensure_ascii=False)):
        assert load_document(text, only_json=only_json) == document
        assert parse_job(load_document(text)).tasks[0].command == "echo 🚀 \x85 \x7f \t"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"name": "j",}', "line 1, column 14: not JSON"),
        ("name: j", "not JSON"),
        ('{"name": "j", "name": "k"}', "the key 'name' is given twice"),
        ('{"a": {"b": 1, "b": 1}}', "the key 'b' is given twice"),
        ('{"a": %s}' % ("9" * 5000), "a number of 5000 digits is too long"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_json_file_is_json_only(text: str, says: str) -> None:
    with pytest.raises(JobError) as caught:
        load_document(text, only_json=True)
    assert says in str(caught.value)


def test_a_job_stored_is_the_job_that_was_read() -> None:
    job = read(MINIMAL % 'env: {A: "\\ud83d\\ude80é"}, instances: 2.0, resources: {mem: 0100}')
    assert parse_job(load_document(job.document, only_json=True)) == job
    assert job.tasks[0].env == {"A": "🚀é"} and job.tasks[0].scalars["mem"] == 100_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('a: "\\UFFFFFFFF"', "an escape is beyond Unicode"),
        ("env: {A: 1.10}", 'tasks[0].env.A: 1.10 is not text; quote it: "1.10"'),
        ("env: {A: 0100}", 'tasks[0].env.A: 0100 is not text; quote it: "0100"'),
        ("env: {A: 0x1F}", 'tasks[0].env.A: 0x1F is not text; quote it: "0x1F"'),
        ("env: {A: True}", 'tasks[0].env.A: True is not text; quote it: "True"'),
        ("env: {A: }", "tasks[0].env.A: nothing is not text"),
        ("env: {A: [1]}", "tasks[0].env.A: [1] is not text"),
        ("env: {A: {secret: x}}", "is not text; a secret is not given here, but with `secrets`"),
        ("constraints: [1e3]", 'tasks[0].constraints[0]: 1e3 is not text; quote it: "1e3"'),
        ("user: 65534", 'tasks[0].user: 65534 is not text or null; quote it: "65534"'),
        ("instances: 1.50", "tasks[0].instances: 1.50 is not a whole number"),
        ("instances: 1e9", "tasks[0].instances: 1e9 is out of range; at most 10000"),
        ("instances: true", "tasks[0].instances: true is not a whole number"),
        ("resources: {cpus: True}", "tasks[0].resources.cpus: True is not a number"),
        ("resources: {cpus: '0.5'}", "'0.5' is not a number; without quotes: 0.5"),
        ("resources: {cpus: 1_0}", "'1_0' is not a number"),
        ("gang: yes", "tasks[0].gang: 'yes' is not true or false"),
        ("retries: 1e400", "tasks[0].retries: 1e400 is not a finite number"),
        ("resources: {cpus: 1e400}", "tasks[0].resources.cpus: 1e400 is not a finite number"),
        ("resources: {cpus: 1e13}", "cpus: 1e13 is out of range; at most 1125899906842"),
        ("resources: {cpus: \u0663}", "cpus: '\u0663' is not a number"),
        ("retries: %s" % ("9" * 5000), "line 1: a number of 5000 digits is too long"),
        ("retries: %s" % ("9" * 90), "is out of range"),
        ("env: {1: a}", "line 1: the key 1 is not text; quote it"),
        ("env: !!set {a, b}", "not YAML or JSON: the tag tag:yaml.org,2002:set"),
    ],
)
def test_what_is_refused_is_shown_as_it_was_written(text: str, says: str) -> None:
    with pytest.raises(JobError) as caught:
        read(MINIMAL % text)
    assert says in str(caught.value)


def test_the_line_of_a_character_that_yaml_does_not_have() -> None:
    with pytest.raises(JobError, match=r"line 3: not YAML or JSON: the character U\+0007"):
        load_document("name: j\ntasks:\n- name: \a")


def test_numbers_as_generators_of_json_write_them() -> None:
    """F2 and W16: 2.0 is 2 wherever a whole number is meant, and noise is rounded away."""
    text = """{"name": "j", "priority": 5.0, "tasks": [{"name": "t", "command": "x",
        "instances": 2.0, "retries": 1e1, "gang": false, "network": "bridge", "pids_max": 9.0,
        "resources": {"ports": 1.0, "cpus": 0.30000000000000004, "mem": 64.0, "fpga": 2.0},
        "ulimits": {"nofile": 64.0}, "mounts": [{"path": "m", "size_mib": 8.0}],
        "port_mappings": [{"port_index": 0.0, "container_port": 80.0}],
        "health_check": {"tcp": {"port_index": 0.0}, "consecutive_failures": 2.0, "delay_s": 1.0},
        "sidecars": [{"name": "s", "command": "y", "pids_max": 5.0}]}]}"""
    job = parse_job(load_document(text, only_json=True))
    (task,) = job.tasks
    whole = (job.priority, task.instances, task.retries, task.ports)
    assert whole == (5, 2, 10, 1) and all(type(number) is int for number in whole)
    assert task.scalars == {"cpus": 400, "mem": 96_000, "fpga": 2000}
    assert task.container.keys["pids_max"] == 9
    assert parse_job(json.loads(job.document)) == job


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "it is empty; a job is a mapping with the keys name and tasks"),
        (b"# nothing\n", "it is empty; a job is a mapping"),
        (b"just text", "it is text; a job is a mapping"),
        (b"[1]", "it is a list; a job is a mapping"),
        (b"3", "it is a whole number; a job is a mapping"),
        (b"1.5", "it is a number; a job is a mapping"),
        (b"name: j\nb: \xff", "line 2: the job file is not text in UTF-8: it has the byte 0xff"),
    ],
)
def test_what_is_no_job_at_all(text: bytes, says: str) -> None:
    with pytest.raises(JobError) as caught:
        parse_job(load_document(text))
    assert says in str(caught.value)
