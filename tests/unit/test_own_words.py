"""What is refused is refused in our words: never in those of Python, which name its functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.files.artifacts import artifact_problem
from pymesos_agent.settings import read_host_paths, read_subnet
from pymesos_binpack.jobfiles.parsing import JobError, load_document, parse_job
from pymesos_cli.errors import CliError
from pymesos_cli.jobs.settings import apply_settings
from pymesos_core.numbers import NumberSyntaxError, parse_real
from pymesos_core.settings.sources import FileError, read_file
from pymesos_proto.v1 import types_pb2 as pb


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (read_subnet, "300.1.2.0/24", "'300.1.2.0/24' is given, and an IPv4 network is expected"),
        (read_subnet, "10.0.0.1/8", "'10.0.0.1/8' is given, and an IPv4 network is expected"),
        (read_subnet, "10.0.0.0/x", "'10.0.0.0/x' is given, and an IPv4 network is expected"),
        (lambda text: read_host_paths([text]), "a", "'a' is not an absolute path"),
        (lambda text: read_file(Path(text)), "a\0.toml", r"its name has a NUL byte"),
        (parse_real, "1e-999", "'1e-999' is out of range"),
        (parse_real, "-0.1e-400", "is out of range"),
    ],
)
def test_values_of_settings(read: Callable[[str], Any], text: str, says: str) -> None:
    with pytest.raises((ValueError, FileError, NumberSyntaxError)) as refused:
        read(text)
    assert says in str(refused.value)


@pytest.mark.parametrize("text", ["0", "0.0", "-0e-999", "0e5"])
def test_what_is_nothing_is_nothing(text: str) -> None:
    assert parse_real(text) == 0


def test_what_is_almost_nothing_is_kept() -> None:
    assert parse_real("5e-324") == math.ulp(0.0)


@pytest.mark.parametrize("uri", ["http://h:x/f", "http://h:99999/f", "http://[::1/f"])
def test_an_artifact_without_an_address(uri: str) -> None:
    said = artifact_problem(pb.Artifact(uri=uri))
    assert said == f"{uri!r} is no address: its host or its port is none"


@pytest.mark.parametrize("number", ["1e-999", "-1e-999", "0.0001e-400"])
@pytest.mark.parametrize("json", [False, True])
def test_a_job_file(number: str, json: bool) -> None:
    text = '{"name": "j", "tasks": [{"name": "t", "command": "x", "resources": {"cpus": %s}}]}'
    written = (text if json else text.replace('"', "").replace("{name: j", "{name:  j")) % number
    with pytest.raises(JobError, match=f"{number} is nearer to 0 than any number"):
        parse_job(load_document(written))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("tasks.t.instances=", "--set tasks.t.instances=: a value is expected after =; null says"),
        ("tasks.t.instances=1e-999", "--set tasks.t.instances=1e-999: 1e-999 is nearer to 0"),
    ],
)
def test_a_setting_of_a_job_file(setting: str, says: str) -> None:
    document = load_document("{name: j, tasks: [{name: t, command: x}]}")
    with pytest.raises(CliError) as refused:
        apply_settings(document, (setting,))
    assert refused.value.format_message().startswith(says)
