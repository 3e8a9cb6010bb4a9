"""Secrets in variables of a container that an engine runs: the engine is not told of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec, SecretValues
from pymesos_agent.files.memory import Memory
from pymesos_agent.runtimes.docker.creating import container_of, host_config_of
from pymesos_agent.runtimes.docker.variables import READ, VariablesError, explained, script_of
from pymesos_core.containers import fitting_runtimes
from pymesos_core.resources import Resources
from pymesos_proto.v1 import types_pb2 as pb

IMAGE = {"Entrypoint": ["/serve", "--fast"], "Cmd": ["default"]}
SANDBOX = Path("/mnt/pymesos/sandbox")


def spec_of(command: pb.CommandInfo, **variables: str) -> ContainerSpec:
    uses = [pb.SecretUse(name="db", env=name) for name in variables]
    info = pb.TaskInfo(
        task_id="t", command=command, container=pb.ContainerInfo(image="app", secrets=uses)
    )
    secrets = SecretValues(variables)
    return ContainerSpec("c", "f", "", None, info, Resources(), Path("/s"), secrets=secrets)


def told(spec: ContainerSpec, image: dict[str, Any] = IMAGE) -> tuple[Any, Any]:
    made = container_of(spec, "app", lambda: image)
    assert "planted" not in repr(made)
    return made["entrypoint"], made["command"]


@pytest.mark.parametrize(
    "command, image, words",
    [
        (pb.CommandInfo(shell=True, value="a b"), IMAGE, ["/bin/sh", "-c", "a b"]),
        (pb.CommandInfo(), IMAGE, ["/serve", "--fast", "default"]),
        (pb.CommandInfo(arguments=["x", "y z"]), IMAGE, ["/serve", "--fast", "x", "y z"]),
        (pb.CommandInfo(value="/p", arguments=["x"]), {"Entrypoint": None}, ["/p", "x"]),
        (pb.CommandInfo(), {"Cmd": ["run"]}, ["run"]),
    ],
)
def test_a_shell_reads_them_and_becomes_what_would_have_run(
    command: pb.CommandInfo, image: dict[str, Any], words: list[str]
) -> None:
    entrypoint, said = told(spec_of(command, PASSWORD="planted"), image)
    assert entrypoint == ["/bin/sh", "-c", READ, "/run/pymesos-variables"]
    assert said == words


def test_without_them_the_image_is_asked_nothing() -> None:
    made = container_of(spec_of(pb.CommandInfo(value="x")), "app", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert (made["entrypoint"], made["command"]) == (None, ["x"])


def test_an_image_without_a_command_is_refused_as_the_engine_would() -> None:
    with pytest.raises(VariablesError, match="no command is specified"):
        told(spec_of(pb.CommandInfo(), PASSWORD="planted"), {})


def test_a_variable_that_a_shell_would_drop_is_refused_and_not_lost() -> None:
    dotted = pb.CommandInfo(environment=[pb.EnvironmentVariable(name="spring.profile", value="x")])
    odd_image = {**IMAGE, "Env": ["PATH=/bin", "DB-HOST=a.b=c"]}
    for command, image, said in (
        (dotted, IMAGE, "the task has the variable 'spring.profile'"),
        (pb.CommandInfo(), odd_image, "the image has the variable 'DB-HOST'"),
    ):
        with pytest.raises(VariablesError, match="ask for the secret as a file instead") as caught:
            told(spec_of(command, PASSWORD="planted"), image)
        assert said in str(caught.value) and "planted" not in str(caught.value)
        container_of(spec_of(command), "app", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    told(spec_of(pb.CommandInfo(), PASSWORD="planted"), {**IMAGE, "Env": ["PATH=/bin"]})
    told(spec_of(pb.CommandInfo(), PASSWORD="planted"), {**IMAGE, "Env": None})


def test_a_shell_finds_the_same_values(tmp_path: Path) -> None:
    values = {"A": "it's $HOME `x`\n\"\\ end\n", "B": "", "_c": "\u00fc; export A=1"}
    file = tmp_path / "variables"
    file.write_text(script_of(spec_of(pb.CommandInfo(), **values), SANDBOX))
    found = subprocess.run(
        ["/bin/sh", "-c", READ, str(file), "env", "-0"], capture_output=True, check=True, env={}
    )
    env = dict(line.split("=", 1) for line in found.stdout.decode().split("\0") if line)
    assert {name: env[name] for name in values} == values


def test_what_is_ours_is_not_overridden() -> None:
    script = script_of(spec_of(pb.CommandInfo(), PYMESOS_TASK_ID="planted"), SANDBOX)
    assert script == "export PYMESOS_TASK_ID=t\n"


@pytest.mark.parametrize("name", ["A B", "a;reboot", "", "1A", "A\n", "A-B"])
def test_a_name_that_would_be_more_than_that_to_a_shell(name: str) -> None:
    with pytest.raises(VariablesError, match="letters a-z"):
        script_of(spec_of(pb.CommandInfo(), **{name: "planted"}), SANDBOX)


def test_the_file_is_its_users_and_only_read(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    for text in ("export A=0\n", "export A=1\n"):  # a launch that is begun once more
        memory.put_variables("c", text)
    file = memory.variables_of("c")
    assert file.read_text() == text and file.stat().st_mode & 0o777 == 0o400
    spec = spec_of(pb.CommandInfo(), A="1")
    binds = host_config_of(spec, Settings(memory=memory))["binds"]
    assert f"{file}:/run/pymesos-variables:ro" in binds


def test_engines_come_after_the_runtime_that_needs_no_shell() -> None:
    def fits(**use: str) -> tuple[str, ...]:
        uses = [pb.SecretUse(name="db", **use)]
        return fitting_runtimes(pb.ContainerInfo(image="app", secrets=uses))

    assert fits(env="PASSWORD") == ("oci", "docker")
    assert fits(path="password") == ("docker", "oci")


def test_an_image_without_a_shell_is_told_what_to_do() -> None:
    said = 'unable to start container process: exec: "/bin/sh": stat /bin/sh: no such file'
    spec = spec_of(pb.CommandInfo(), A="planted")
    assert "ask for them as files" in explained(said, spec)
    assert explained("no space left", spec) == "no space left"
    assert explained(said, spec_of(pb.CommandInfo())) == said
