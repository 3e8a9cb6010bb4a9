"""A live cluster, and a browser that looks at its page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from pymesos_testing.cli import Cli
from pymesos_testing.components import Roles, passable_folder
from pymesos_testing.web import Seen, Site

CHROMIUM = "chromium"
RESOURCES = "cpus:4;mem:4096;disk:1000;ports:[{0}-{1}]"
JOB = """
name: shop
role: prod/web
tasks:
  - {name: web, kind: service, instances: 3, command: "echo I serve; sleep 100000",
     resources: {cpus: 0.5, mem: 32}}
"""
WAITS = """
name: large
tasks:
  - {name: one, kind: service, command: sleep 100000, resources: {cpus: 64, mem: 32},
     alerts: [{when: unplaced, for_s: 0, to: hook}]}
"""
RECEIVERS = "hook: {kind: webhook, url: 'http://127.0.0.1:9/'}\n"
FAILS = """
name: crash
tasks:
  - {name: once, command: exit 3, resources: {cpus: 0.1, mem: 32}}
"""

expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A master, two agents and a framework, with a job that runs and one that has failed."""
    with passable_folder() as folder:
        roles = Roles(folder)
        try:
            told = folder / "receivers.yaml"
            told.write_text(RECEIVERS, "utf-8")
            alerts = ("--receivers", str(told))
            # The disk is full by this, so that an alert of the cluster fires.
            full = ("--alert-for", "0", "--disk-full", "0.01")
            master = roles.master("master", "--http", "--http-port", "0", *alerts, *full)
            assert master.process.stdout is not None
            url = master.process.stdout.readline().decode().removeprefix("web ").strip()
            for number in (1, 2):
                ports = RESOURCES.format(21000 + 100 * number, 21049 + 100 * number)
                roles.agent(
                    master.address, f"agent-{number}", "--runtime", "process", "--resources", ports
                )
            roles.binpack(master.address, "binpack", "--role", "**", *alerts)
            cli = Cli(master.address)
            for name, text in (("shop", JOB), ("crash", FAILS), ("large", WAITS)):
                file = folder / f"{name}.yaml"
                file.write_text(text, "utf-8")
                cli.ok("run", str(file))
            cli.wait_for_tasks(3, state="TASK_RUNNING")
            cli.wait_for_tasks(1, state="TASK_FAILED")
            yield Site(url, cli, folder)
        finally:
            roles.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. As root it has no sandbox of its own."""
    path = shutil.which(CHROMIUM)
    if path is None:
        pytest.skip("there is no chromium; deploy/test-deps.sh installs it")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def seen(browser: Browser, site: Site) -> Iterator[Seen]:
    """A page of its own for each test; whatever the browser complains of fails it."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    seen = Seen(page, site)
    page.on(
        "console",
        lambda said: seen.problems.append(said.text) if said.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: seen.problems.append(str(error)))
    yield seen
    context.close()
    problems = [text for text in seen.problems if not (seen.expected and "status of 4" in text)]
    assert not problems
