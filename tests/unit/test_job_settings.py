"""Settings of a job file (--set) are what was typed, or are refused by name."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pymesos_binpack.jobfiles.parsing import (
    JobError,
    load_document,
    parse_job,
)
from pymesos_cli.errors import CliError
from pymesos_cli.jobs.run import FLAGS, check, command_document
from pymesos_cli.jobs.settings import apply_settings, origins
from pymesos_testing.job_files import GOOD, job_of


def test_settings_change_a_job() -> None:
    document = apply_settings(
        load_document(GOOD), ("tasks.web.instances=3", "tasks.0.env.NEW=x", "name=bazaar")
    )
    job = parse_job(document)
    assert (job.name, job.tasks[0].instances, job.tasks[0].env["NEW"]) == ("bazaar", 3, "x")


@pytest.mark.parametrize("setting", ["x", "=1", "tasks.nope.instances=3", "name.x=1", "a={"])
def test_settings_that_lead_nowhere(setting: str) -> None:
    with pytest.raises(CliError) as caught:
        apply_settings(load_document(GOOD), (setting,))
    assert caught.value.exit_code == 2


def test_a_value_of_set_is_text_unless_the_schema_says_otherwise() -> None:
    """W11."""
    settings = (
        "tasks.t.command=echo a # b", "tasks.t.env.A=yes", "tasks.t.env.B=1.10", "tasks.t.user=0",
        "tasks.t.env.C=", "tasks.t.env.D= {a: 1}", "tasks.t.image=null", "tasks.t.gang=true",
        "tasks.t.resources={cpus: 1, mem: 0100}", "tasks.t.constraints=['a:UNIQUE']",
        "tasks.t.instances=2.0", "tasks.t.kind=service", "tasks.t.health_check.command=a: b",
        "tasks.t.env.E=a=b", "name=123", "priority=7",
    )  # fmt: skip
    job = parse_job(apply_settings(job_of(), settings))
    (task,) = job.tasks
    assert (job.name, job.priority, task.command, task.user) == ("123", 7, "echo a # b", "0")
    assert task.env == {"A": "yes", "B": "1.10", "C": "", "D": " {a: 1}", "E": "a=b"}
    assert (task.image, task.gang, task.instances, task.is_service) == (None, True, 2, True)
    assert task.scalars == {"cpus": 1000, "mem": 100_000}
    assert task.container.health_check == {"command": "a: b"}


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("tasks.t.instances=1.50", "tasks[0].instances: 1.50 is not a whole number"),
        ("tasks.t.instances=two", "tasks[0].instances: 'two' is not a whole number"),
        ("tasks.t.gang=yes", "tasks[0].gang: 'yes' is not true or false"),
    ],
)
def test_a_value_of_set_is_shown_as_it_was_typed(setting: str, says: str) -> None:
    with pytest.raises(JobError, match=re.escape(says)):
        parse_job(apply_settings(load_document(json.dumps(job_of())), (setting,)))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("tasks.t.foo=3", "there is no key 'foo'; known are add_capabilities, "),
        ("tasks.t.instance=3", "there is no key 'instance'; did you mean instances?"),
        ("tasks.t.imgae=x", "did you mean image?"),
        ("taks.t.image=x", "there is no key 'taks'; did you mean tasks?"),
        ("nmae=x", "there is no key 'nmae'; did you mean name?"),
        ("tasks.t.health_check.comand=x", "did you mean command?"),
        ("tasks.u.image=x", "no item 'u'; there are t"),
        ("=3", "is not KEY=VALUE"),
        ("x" * 5000, "'xxx"),
        ("x" * 5000 + "=1", "there is no key 'xxx"),
    ],
)
def test_a_setting_that_leads_nowhere_names_what_is_near(setting: str, says: str) -> None:
    with pytest.raises(CliError) as caught:
        apply_settings(job_of(), (setting,))
    said = caught.value.format_message()
    assert says in said and len(said) < 800, said


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("tasks.t.instances=two",), "--set tasks.t.instances=two: 'two' is not a whole number"),
        (("tasks.0.image=a b",), "--set tasks.0.image=a b: 'a b' is no reference of an image"),
        (("name=été",), "--set name=été: 'été' cannot be used; expected: letters"),
        (("role=a b",), "--set role=a b: role 'a b' has white space"),
        (
            ("tasks.t.resources={cpu: 1}",),
            "--set tasks.t.resources={cpu: 1}: unknown resource cpu",
        ),
        (("priority=1", "tasks.t.retries=-1"), "--set tasks.t.retries=-1: -1 is out of range"),
        (("priority=1",), "the file: tasks[0].kind: 'batc' is not one of"),
    ],
)
def test_what_is_wrong_with_a_setting_is_not_blamed_on_the_file(
    settings: tuple[str, ...], says: str
) -> None:
    document = job_of(kind="batc" if settings == ("priority=1",) else "batch")
    document = apply_settings(document, settings)
    with pytest.raises(CliError) as caught:
        check(document, "the file", origins(document, settings))
    assert caught.value.format_message().startswith(says)


def test_what_is_wrong_with_a_flag_of_a_command_is_said_of_the_flag() -> None:
    for image, role, says in (
        ("nosuch image", "*", "--image: 'nosuch image' is no reference of an image"),
        (None, "a b", "--role: role 'a b' has white space"),
    ):
        with pytest.raises(CliError) as caught:
            check(command_document(("x",), 0.1, 32, image, role), "the command", FLAGS)
        assert caught.value.format_message().startswith(says)


@pytest.mark.parametrize(
    "setting", ["tasks.²=1", "tasks.t.instances={", "nmae=x", "tasks.9999999=1"]
)
def test_more_settings_that_lead_nowhere(setting: str) -> None:
    with pytest.raises(CliError):
        apply_settings(job_of(), (setting,))


def test_settings_of_a_file_that_is_nested_too_deeply() -> None:
    document: Any = {}
    for _ in range(100_000):
        document = {"a": document}
    assert apply_settings(document, ()) is document
    with pytest.raises(CliError, match="nested too deeply"):
        apply_settings(document, ("name=z",))
