"""The page of a cluster, as somebody sees it in a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page

from pymesos_testing.cli import Cli


@dataclass(frozen=True)
class Site:
    """The cluster that is looked at."""

    url: str
    cli: Cli
    folder: Path  # for files of tests


@dataclass
class Seen:
    """A page, and what the browser has complained of."""

    page: Page
    site: Site
    problems: list[str] = field(default_factory=list)
    expected: bool = False  # that the master refuses something, which a browser complains of

    def open(self, target: str) -> Page:
        self.page.goto(self.site.url + target)
        self.page.wait_for_selector("main h1")
        return self.page
