"""The documentation is true: examples run, links lead somewhere, the reference is current."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pymesos_agent.main import main as agent
from pymesos_core.exits import NOT_RESTARTED, ExitStatus
from pymesos_testing.components import Roles

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "bench/README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize(
    "name", ["limits.md", "reference.md", "job-files.md", "failures.md", "containers.md"]
)
def test_what_is_generated_is_current(name: str) -> None:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    current = (ROOT / "docs" / name).read_text("utf-8")
    assert module.PAGES[name]() == current, "run `make docs` and commit what it changes"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", page.read_text("utf-8"))  # an expression is no link
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


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
