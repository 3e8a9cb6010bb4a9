"""What tests of the page share."""

from __future__ import annotations

import json
from importlib.resources import files

from playwright.sync_api import Locator, Page

from pymesos_testing.web import Site

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


def rows(page: Page, of: str) -> Locator:
    return page.get_by_role("region", name=of).locator("tbody tr:not(.space)")


def text_of(name: str, command: str, instances: int = 2) -> str:
    """The file of a job of one service."""
    task = {"name": "web", "kind": "service", "instances": instances, "command": command}
    return json.dumps({"name": name, "tasks": [task | {"resources": {"cpus": 0.1, "mem": 32}}]})


def job(site: Site, name: str, command: str) -> tuple[str]:
    """What `run` takes to start it."""
    file = site.folder / f"{name}.json"
    file.write_text(text_of(name, command), "utf-8")
    return (str(file),)


def flaws(page: Page) -> list[str]:
    """What keeps people from using what is shown, by axe-core."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run()")
    return [
        f"{one['id']}: {node['html']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
