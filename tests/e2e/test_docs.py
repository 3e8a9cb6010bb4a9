"""The documentation is true: examples run, links lead somewhere, the reference is current."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pymesos_agent.main import main as agent
from pymesos_cli.main import main as cli
from pymesos_core.exits import NOT_RESTARTED, ExitStatus
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import Roles

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "bench/README.md", *sorted((ROOT / "docs").glob("*.md"))]


def generator() -> Any:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATED = generator().PAGES


@pytest.mark.parametrize("name", GENERATED)
def test_what_is_generated_is_current(name: str) -> None:
    current = (ROOT / "docs" / name).read_text("utf-8")
    assert GENERATED[name]() == current, "run `make docs` and commit what it changes"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", page.read_text("utf-8"))  # an expression is no link
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    folders = "agent|bench|cli|core|deploy|docs|frameworks|master|proto|tests"
    for file in set(re.findall(rf"`((?:{folders})/[\w./-]+\.[a-z]+)`", text)):
        assert (ROOT / file).exists(), f"{page.name} names {file}"


def test_the_failures_page_names_tests_that_exist() -> None:
    text = (ROOT / "docs/failures.md").read_text("utf-8")
    for file, names in re.findall(r"`(test_\w+\.py)((?:::\w+)*)`", text):
        paths = list((ROOT / "tests").rglob(file))
        assert paths, file
        texts = "\n".join(path.read_text("utf-8") for path in paths)
        for name in filter(None, names.split("::")):
            assert re.search(rf"(def|class) {name}\b", texts), f"{file}{names}"


def test_the_settings_of_the_guide_are_settings(tmp_path: Path) -> None:
    text = (ROOT / "docs/operators-guide.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    path = tmp_path / "agent.toml"
    path.write_text(block)
    done = CliRunner().invoke(agent, ["--config", str(path), "--print-config"])
    assert done.exit_code == 0 and f"# {path}:5, days" in done.output, done.output
    path.write_text("\n\nimagemaxage = 30\n")
    done = CliRunner().invoke(agent, ["--config", str(path)])
    (refusal,) = re.findall(r"`/etc/pymesos/agent.toml:(3: imagemaxage.*?)`", text, re.S)
    assert done.exit_code == 2 and " ".join(refusal.split()) in done.output, done.output


@pytest.mark.parametrize(
    ("enumeration", "prefix"), [(pb.TaskState, "TASK_"), (pb.Reason, "REASON_")]
)
def test_every_state_and_reason_says_what_to_do(enumeration: Any, prefix: str) -> None:
    text = (ROOT / "docs/states.md").read_text("utf-8")
    rows = re.findall(rf"^\| `({prefix}\w+)` \| ([^|]+) \| ([^|]+) \|$", text, re.M)
    names = [name for name in enumeration.keys() if not name.endswith("UNSPECIFIED")]  # noqa: SIM118
    assert [name for name, _, _ in rows] == names
    assert all(meaning.endswith(".") for _, meaning, _ in rows)


def test_a_reason_that_is_not_given_is_said_to_be_so() -> None:
    text = (ROOT / "docs/states.md").read_text("utf-8")
    said = set(re.findall(r"^\| `(REASON_\w+)` \| Not given by this version\.", text, re.M))
    code = "\n".join(
        path.read_text("utf-8")
        for package in ("master/pymesos_master", "agent/pymesos_agent")
        for path in (ROOT / package).rglob("*.py")
    )
    names = {name for name in pb.Reason.keys() if not name.endswith("UNSPECIFIED")}  # noqa: SIM118
    assert said == {name for name in names if not re.search(rf"\b{name}\b", code)}


def test_the_commands_of_troubleshooting_are_commands() -> None:
    """The commands and the flags of the page exist."""
    text = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    for words in set(re.findall(r"`pymesos-cli ([a-z ]+?)(?: [A-Z]| --|`)", text)):
        command: click.Command | None = cli
        for word in words.split():
            assert isinstance(command, click.Group), words
            command = command.get_command(click.Context(command), word)
            assert command is not None, words
    reference = (ROOT / "docs/reference.md").read_text("utf-8")
    for flag in set(re.findall(r"(--[a-z-]+[a-z])", text)):
        assert re.search(rf"{flag}\b", reference), flag


def test_every_exit_status_of_a_role_is_explained() -> None:
    text = (ROOT / "docs/operators-guide.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| .* \| (yes|no)[^|]*\|$", text, re.M)
    assert {int(number) for number, _ in rows} == {int(status) for status in ExitStatus}
    stays = {int(number) for number, again in rows if again == "no"}
    assert stays == {int(status) for status in NOT_RESTARTED} | {ExitStatus.STOPPED}


def test_the_quick_start_runs(roles: Roles) -> None:
    text = (ROOT / "docs/quick-start.md").read_text("utf-8")
    (block,) = re.findall(r"<!-- tested -->\n```sh\n(.*?)```", text, re.S)
    master = roles.master()
    resources = "cpus:4;mem:1024;disk:100;ports:[23000-23049]"
    roles.agent(master.address, "agent", "--resources", resources, "--kill-tasks-on-exit")
    roles.binpack(master.address)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PYMESOS_MASTER": master.address, "PATH": path}
    done = subprocess.run(
        ["bash", "-euc", block], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hello" in done.stdout and "3 finished, 2 running" in done.stdout
