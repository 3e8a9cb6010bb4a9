"""What jobs, frameworks, agents and people write is shown as text in every view, and never runs."""

from __future__ import annotations

import asyncio
import json
import shlex
import threading
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, Route, expect

from pymesos_master.http.page import VIEWS
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Scheduler
from pymesos_testing.components import wait_for
from pymesos_testing.web import Seen, Site

# Of ids, which have no slash; without CSP and with `innerHTML` it would run.
RUNS = "<img src=x onerror=ran()>"
TEXT = f"</pre></script><script>ran()</script>{RUNS}\"'`${{ran()}}{{{{ran()}}}}"
BACKWARDS, RED, PLAIN = "\u202e", "\x1b[31m", "\x1b[0m"
ELEMENTS = "#app :is(img, script, iframe, object, embed, form[action], a[href^='javascript'])"


class Hostile(Scheduler):
    """Launches one task that says odd things and fails, and one that runs on."""

    def __init__(self) -> None:
        said = f"printf '%s\\n' {shlex.quote(TEXT + RED + 'red' + PLAIN + BACKWARDS)}"
        self.commands = {
            f"fails {RUNS}": f"{said} >&2; exit 3",
            f"runs {RUNS}": f"{said}; sleep 1e6",
        }

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        """See Scheduler."""
        for offer in offers:
            resources = [pb.Resource(name="cpus", scalar=0.1), pb.Resource(name="mem", scalar=32)]
            infos = [
                pb.TaskInfo(
                    task_id=task_id,
                    name=f"name {TEXT}",
                    agent_id=offer.agent_id,
                    resources=resources,
                    command=pb.CommandInfo(shell=True, value=command),
                    labels=[pb.Label(key=f"key {RUNS}", value=TEXT)],
                )
                for task_id, command in self.commands.items()
            ]
            self.commands = {}
            if infos:
                driver.accept([offer.offer_id], infos)
            else:
                driver.decline([offer.offer_id])


@pytest.fixture(scope="module")
def hostile(site: Site) -> Iterator[Site]:
    """The cluster, in which whoever may write a text has written what would run."""
    info = pb.FrameworkInfo(
        name=f"framework {RUNS}", user="root", capabilities=[pb.PARTITION_AWARE]
    )
    driver = Driver(Hostile(), info, site.cli.master)
    thread = threading.Thread(target=lambda: asyncio.run(driver.run()), daemon=True)
    thread.start()
    cli = site.cli
    cli.ok("variables", "set", "*", "odd", TEXT)
    task = {
        "name": "web",
        "kind": "service",
        "command": f"echo {shlex.quote(TEXT)}; sleep 1e6",
        "env": {"ODD": TEXT, "TAKEN": "{{ variables.odd }}"},
        "resources": {"cpus": 0.1, "mem": 32},
    }
    for odd in (TEXT, f"{TEXT} again"):
        task["env"] = {"ODD": odd, "TAKEN": "{{ variables.odd }}"}
        cli.ok("apply", "-", text=json.dumps({"name": "odd", "tasks": [task]}))
    cli.ok("alerts", "silence", "--cluster", "--for", "2h", "--why", TEXT)
    wait_for("both tasks", lambda: len(theirs(site)) == 2, 60)
    yield site
    driver.stop()
    thread.join(20)


def theirs(site: Site) -> list[dict[str, str]]:
    states = ("TASK_RUNNING", "TASK_FAILED")
    return [t for t in site.cli.tasks() if RUNS in t["task_id"] and t["state"] in states]


def nothing_ran(page: Page) -> None:
    assert page.locator(ELEMENTS).count() == 0
    assert page.evaluate("window.has_run") is None


@pytest.fixture
def look(seen: Seen, hostile: Site) -> Seen:
    seen.page.add_init_script("window.ran = () => { window.has_run = true; }")
    return seen


@pytest.mark.parametrize("view", sorted(VIEWS))
def test_every_view_shows_it_as_text(look: Seen, view: str) -> None:
    page = look.open(f"/{view}?completed=true&ended=true&search=")
    expect(page.locator("main")).not_to_contain_text("Asking")
    nothing_ran(page)
    if view in ("", "tasks", "frameworks", "fairness"):
        expect(page.locator("main")).to_contain_text(RUNS)


def test_everything_by_itself_shows_it_as_text(look: Seen) -> None:
    framework = theirs(look.site)[0]["framework_id"]
    agent = look.site.cli.json("agents")[0]["agent_id"]
    for target in (
        f"frameworks/{framework}",
        f"agents/{agent}",
        "jobs/odd",
        f"agents/{quote(RUNS)}",
    ):
        page = look.open(f"/{target}")
        expect(page.locator("main")).not_to_contain_text("Asking")
        nothing_ran(page)
    page = look.open("/jobs/odd")
    expect(page.locator("main")).to_contain_text("again")
    page.get_by_text("The job file in force").click()
    expect(page.locator("details pre")).to_contain_text("ran()")
    nothing_ran(page)
    page = look.open("/variables")
    page.get_by_role("link", name="odd").click()
    expect(page.locator(".facts")).to_contain_text(TEXT)
    nothing_ran(page)


def test_what_a_task_writes_is_text_and_hides_nothing(look: Seen) -> None:
    """Neither colours of terminals nor marks that would have a line read from right to left."""
    framework = theirs(look.site)[0]["framework_id"]
    page = look.open(f"/tasks/{framework}/{quote('runs ' + RUNS)}")
    log = page.locator("section.logs pre.log")
    expect(log).to_have_text(f"{TEXT}red\\u202e\n")
    page.get_by_placeholder("Find in these lines").fill("ONERROR")
    expect(log.locator("mark")).to_have_text("onerror")
    page.get_by_role("button", name="Kill").click()
    expect(page.locator("dialog h2")).to_have_text(f"Kill runs {RUNS}?")
    expect(page.locator("dialog .cli code")).to_have_text(f"pymesos-cli kill 'runs {RUNS}'")
    nothing_ran(page)
    page.go_back()
    page.go_forward()
    expect(page.locator("dialog")).to_have_count(0)
    page = look.open(f"/tasks/{framework}/{quote('fails ' + RUNS)}")
    expect(page.locator(".story")).to_contain_text("exit 3")
    nothing_ran(page)


def test_what_is_found_and_what_happened_are_text(look: Seen) -> None:
    page = look.open("/events")
    expect(page.locator(".head .state")).to_have_text("live")
    page.keyboard.press("/")
    page.keyboard.type("onerror")
    expect(page.locator("dialog.palette li")).to_have_count(3)
    nothing_ran(page)
    page.keyboard.press("Escape")
    look.site.cli.ok("kill", f"runs {RUNS}")
    expect(page.locator("main tbody tr", has_text=RUNS)).not_to_have_count(0)
    nothing_ran(page)


def test_how_a_question_is_asked(look: Seen) -> None:
    """What is not filled in is not sent, and who has closed the question is told of a refusal."""
    look.expected = True
    page = look.open("/variables")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/v1/*/set", hold)
    page.route("**/v1/*/silence", hold)
    page.get_by_role("button", name="Set a variable").click()
    dialog = page.locator("dialog")
    dialog.get_by_role("button", name="Set a variable").click()
    dialog.get_by_label("Role").fill("a b")
    dialog.get_by_label("Role").press("Enter")
    page.wait_for_timeout(300)
    assert not held, "it has no name"
    dialog.get_by_label("Name").fill("x")
    dialog.get_by_label("Name").press("Enter")
    expect(dialog.locator(".buttons button").last).to_be_disabled()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    (asked,) = held
    asked.continue_()
    expect(dialog.locator(".wrong")).to_contain_text("white space")
    page.keyboard.press("Escape")
    page = look.open("/alerts")
    page.get_by_role("button", name="Silence the cluster").click()
    dialog.get_by_label("hours").fill("")
    dialog.locator(".buttons button").last.click()
    page.wait_for_timeout(300)
    assert held == [asked], "for no time at all it would end a silence"
