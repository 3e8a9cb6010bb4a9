"""The page in a real browser, on a live cluster."""

from __future__ import annotations

import asyncio
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page, expect

from pymesos_master.http.page import VIEWS
from pymesos_testing.firefox import FIREFOX, firefox
from pymesos_testing.page_views import flaws, job, rows
from pymesos_testing.web import Seen, Site

NAMES = {"": "Overview", "fairness": "Offers and fairness", "whatif": "What if"}


def names(page: Page) -> list[str]:
    """The first cell of each row that is shown."""
    return page.locator("main tbody tr:not(.space) td:first-child").all_inner_texts()


@pytest.mark.parametrize("view", sorted(VIEWS))
@pytest.mark.parametrize("width", [1280, 400])
def test_every_view_loads(seen: Seen, view: str, width: int) -> None:
    seen.page.set_viewport_size({"width": width, "height": 800})
    page = seen.open(f"/{view}")
    expect(page.locator("main h1")).to_have_text(NAMES.get(view, view.capitalize()))
    expect(page.locator("nav [aria-current=page]")).to_have_count(1)
    expect(page.locator("main")).not_to_contain_text("Asking")
    expect(page.locator(".wrong")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"


def test_every_page_opens_in_firefox(site: Site) -> None:
    if shutil.which(FIREFOX) is None:
        pytest.skip(f"there is no {FIREFOX}; deploy/test-deps.sh installs it")

    async def look() -> list[str]:
        async with firefox() as browser:
            task = site.cli.tasks(state="TASK_RUNNING")[0]
            framework, job = task["framework_id"], "shop"
            addresses = [*sorted(VIEWS), f"tasks/{framework}/{task['task_id']}", f"jobs/{job}"]
            for address in addresses:
                await browser.open(f"{site.url}/{address}")
                title = await browser.wait_for("document.querySelector('main h1')?.textContent")
                view = address.partition("/")[0]
                if view == address:
                    assert title == NAMES.get(view, view.capitalize())
                await browser.wait_for(
                    "!document.querySelector('main').textContent.match(/Asking/)"
                )
            await browser.wait_for("document.querySelector('main section') !== null")
            return browser.problems

    with ThreadPoolExecutor(1) as thread:  # Playwright has the loop of this one
        assert thread.submit(asyncio.run, look()).result() == []


def test_the_overview_tells_of_the_cluster(seen: Seen) -> None:
    page = seen.open("/")
    main = page.locator("main")
    expect(main.locator(".count", has_text="Agents")).to_contain_text("2")
    expect(main.locator(".count", has_text="Tasks")).to_contain_text("3")
    expect(main).to_contain_text("led by")
    expect(main.locator(".resource", has_text="CPUs")).to_contain_text("1.5 allocated")
    expect(main.get_by_text("exit 3")).to_be_visible()


def test_from_a_failure_to_its_story_and_its_agent(seen: Seen) -> None:
    page = seen.open("/")
    page.get_by_role("link", name=re.compile(r"^crash-")).click()
    expect(page.locator(".story")).to_contain_text("exit 3")
    expect(page.locator("main h1")).to_be_focused()
    page.locator(".story a").first.click()
    expect(page.locator("main h1")).to_have_text(re.compile("agent-[12]"))
    page.go_back()
    expect(page.locator("main h1")).to_have_text(re.compile("^crash-"))


def test_tasks_are_searched_and_sorted_by_the_master(seen: Seen) -> None:
    page = seen.open("/tasks")
    expect(page.locator("main tbody tr:not(.space)")).to_have_count(3)
    page.get_by_label("also ended").check()
    expect(page.locator("main tbody tr:not(.space)")).to_have_count(4)
    page.get_by_role("link", name="Task", exact=True).click()
    page.wait_for_url("**sort=id**")
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Task")
    expect(page.locator("tbody tr:not(.space) td").first).to_contain_text("crash-")
    assert names(page) == sorted(names(page))
    page.locator("main input[type=search]").fill("WEB.1 prod")
    expect(page.locator("main tbody tr:not(.space)")).to_have_count(1)
    assert "search=WEB.1+prod" in page.url
    page.get_by_label("State").select_option("TASK_FAILED")
    expect(page.locator("main .none")).to_have_text("No task is like that.")


def test_what_is_looked_for_is_not_taken_along(seen: Seen) -> None:
    page = seen.open("/tasks")
    page.locator("main input[type=search]").wait_for()
    page.evaluate(
        """() => {
          const box = document.querySelector("main input[type=search]");
          box.value = "web";
          box.dispatchEvent(new Event("input", { bubbles: true }));
          document.querySelector("a[href='/jobs']").click();
        }"""
    )
    page.wait_for_timeout(300)
    assert page.url == f"{seen.site.url}/jobs"


def test_an_address_shows_to_a_colleague_what_it_shows_here(seen: Seen) -> None:
    page = seen.open("/tasks?completed=true&search=crash&sort=-id")
    expect(page.locator("main tbody tr:not(.space)")).to_have_count(1)
    expect(page.locator("main input[type=search]")).to_have_value("crash")
    expect(page.get_by_label("also ended")).to_be_checked()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Task")


def test_an_agent(seen: Seen) -> None:
    page = seen.open("/agents")
    expect(page.locator("main tbody tr:not(.space)")).to_have_count(2)
    expect(page.locator("canvas.map")).to_have_attribute("aria-label", re.compile("2 agents"))
    page.get_by_role("link", name="agent-2").click()
    expect(page.locator("main h1")).to_have_text("agent-2")
    expect(page.locator(".resource", has_text="CPUs")).to_be_visible()
    expect(page.locator(".cli code").first).to_contain_text("pymesos-cli agents")


def test_the_map_leads_to_an_agent(seen: Seen) -> None:
    page = seen.open("/agents?sort=-tasks")
    page.locator("canvas.map").hover(position={"x": 5, "y": 5})
    expect(page.locator(".tip")).to_contain_text("agent-")
    page.locator("canvas.map").click(position={"x": 5, "y": 5})
    expect(page.locator("main h1")).to_have_text(re.compile("agent-[12]"))


def test_roles_and_who_holds_what(seen: Seen) -> None:
    seen.site.cli.ok("weights", "prod=2", "prod/web=3")
    page = seen.open("/fairness")
    row = page.locator("tr", has_text="web").first
    expect(row).to_contain_text("3")
    expect(page.get_by_role("region", name="Roles")).to_contain_text("prod")
    expect(page.get_by_role("region", name="What frameworks hold")).to_contain_text("binpack")


def test_keys(seen: Seen) -> None:
    page = seen.open("/")
    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(page.locator("main h1")).to_have_text("Agents")
    page.keyboard.press("?")
    expect(page.locator("dialog.help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.wait_for_selector("main tbody tr:not(.space)")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("main tbody tr:not(.space) a").nth(1)).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("crash")
    expect(page.locator("dialog.palette li")).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url("**/tasks?completed=true&search=crash")


def test_what_was_found_is_gone_to(seen: Seen) -> None:
    page = seen.open("/")
    page.get_by_role("button", name="Search everything").click()
    page.keyboard.type("agent-2")
    page.locator("dialog.palette li a[href^='/agents/']").first.click()
    expect(page.locator("main h1")).to_have_text("agent-2")
    expect(page.locator("dialog")).to_have_count(0)


def test_the_switch_of_colours(seen: Seen) -> None:
    seen.page.emulate_media(color_scheme="light")
    page = seen.open("/")
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.keyboard.press("d")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert light != dark
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_what_there_is_not(seen: Seen) -> None:
    page = seen.open("/agents/nobody")
    expect(page.locator("main")).to_contain_text("No agent is called nobody.")
    page = seen.open("/tasks/F/%3Cb%3E")
    expect(page.locator("main")).to_contain_text("knows no task <b>")
    seen.expected = True
    page = seen.open("/jobs/%3Cb%3E%20%26")
    expect(page.locator("main")).to_contain_text("No job is called <b> &.")
    expect(page.locator(".wrong")).to_have_count(0)
    for nowhere in ("/job", "/jobs/shop/web", "/tasks/F", "/fairness/prod"):
        page = seen.open(nowhere)
        expect(page.locator("main h1")).to_have_text("Nothing is here")
        expect(page.get_by_role("link", name="To the overview")).to_be_visible()
    expect(seen.open("/agents?by=size").locator("main table").first).to_contain_text("agent-1")
    page = seen.open("/agents?sort=size")
    expect(page.locator("main .wrong")).to_contain_text("expected is one of hostname")
    expect(page.locator("main .none")).to_have_text("It could not be read.")


def test_what_a_task_writes(seen: Seen) -> None:
    page = seen.open("/tasks?search=shop")
    page.locator("main tbody a").first.click()
    expect(page.locator("pre.log")).to_have_text("I serve\n")
    page.get_by_placeholder("Find in these lines").fill("SERVE")
    expect(page.locator("pre.log mark")).to_have_text("serve")
    page.get_by_placeholder("Find in these lines").fill("nothing")
    expect(page.locator("pre.log mark")).to_have_count(0)
    expect(page.locator(".logs")).to_contain_text("0 of 2 lines")
    page.locator(".logs select").select_option("stderr")
    expect(page.locator("pre.log")).to_have_text("It has written nothing.")


def test_a_command_in_a_task(seen: Seen) -> None:
    page = seen.open("/tasks?search=shop")
    page.locator("main tbody a").first.click()
    section = page.locator("section.exec")
    section.get_by_label("Command", exact=True).fill("echo no >&2; cat; exit 4")
    line = re.compile(r"pymesos-cli exec -it shop-\S+ -- sh -c 'echo no >&2; cat; exit 4'")
    expect(section.locator(".cli code")).to_have_text(line)
    section.get_by_role("button", name="Run").click()
    expect(section.locator("pre .wrong")).to_have_text("no\n")
    section.get_by_label("Input, line by line").fill("typed here")
    page.keyboard.press("Enter")
    expect(section.locator("pre .out")).to_have_text("typed here\n")
    section.get_by_role("button", name="End input").click()
    expect(section.get_by_role("status")).to_have_text("It has ended, with 4.")
    section.get_by_label("Command", exact=True).fill("sleep 1000")
    section.get_by_role("button", name="Run").click()
    expect(section.locator("pre")).to_have_text("It has said nothing yet.")
    section.get_by_role("button", name="Interrupt").click()
    expect(section.get_by_role("status")).to_contain_text("It has ended, with")


def test_what_happens_is_told_as_it_happens(seen: Seen) -> None:
    page = seen.open("/events?search=heard")
    expect(page.locator(".head .state")).to_have_text("live")
    seen.site.cli.ok("run", *job(seen.site, "heard", "sleep 100000"))
    expect(rows(page, "Events").filter(has_text="task updated")).not_to_have_count(0)
    expect(rows(page, "Events").first).to_contain_text("heard-")
    page.get_by_role("button", name="Hold").click()
    many = rows(page, "Events").count()
    seen.site.cli.ok("stop", "heard")
    page.wait_for_timeout(1000)
    expect(rows(page, "Events")).to_have_count(many)
    page.get_by_role("button", name="Go on").click()
    expect(rows(page, "Events").filter(has_text="killed")).not_to_have_count(0)


def test_why_a_task_is_there_and_its_files(seen: Seen) -> None:
    page = seen.open("/tasks?search=shop")
    page.locator("main tbody a").first.click()
    expect(page.locator("section", has=page.get_by_text("Why there"))).to_contain_text("2 agents")
    files = rows(page, "Files of the task")
    expect(files).to_have_count(2)
    with page.expect_download() as loading:
        files.get_by_role("button", name="stdout").click()
    assert loading.value.path().read_text() == "I serve\n"
    assert loading.value.suggested_filename.startswith("stdout")


def test_why_a_framework_is_not_offered_more(seen: Seen) -> None:
    page = seen.open("/frameworks")
    page.get_by_role("link", name="binpack").click()
    told = page.get_by_role("region", name="Why it is not offered more")
    expect(told).to_contain_text("prod/web")
    expect(told).to_contain_text("it wants none")


def test_what_a_task_and_an_agent_use(seen: Seen) -> None:
    page = seen.open("/tasks?search=shop")
    page.locator("main tbody a").first.click()
    used = page.get_by_role("region", name="What it uses", exact=True)
    expect(used.locator("canvas.curves")).to_have_count(2)
    label = re.compile(r"^Memory used: .* now, at most .*, of 32 MiB\.$")
    expect(used.locator("canvas.curves").last).to_have_attribute("aria-label", label)
    used.get_by_text("As a table").click()
    expect(used.locator("tbody tr")).not_to_have_count(0)
    assert flaws(page) == []
    page.locator(".facts").get_by_role("link", name=re.compile("agent-[12]")).click()
    expect(used.locator("canvas.curves")).to_have_count(2)
    expect(used.locator("canvas.curves").last).to_have_attribute("aria-label", re.compile("4 GiB"))


def test_a_task_is_killed(seen: Seen) -> None:
    seen.site.cli.ok("run", *job(seen.site, "victim", "sleep 100000"))
    page = seen.open("/tasks?search=victim")
    page.locator("main tbody a").first.click()
    page.get_by_role("button", name="Kill").click()
    expect(page.locator("dialog .cli code")).to_contain_text("pymesos-cli kill victim-")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("dialog")).to_have_count(0)
    page.get_by_role("button", name="Kill").click()
    page.locator("dialog").get_by_role("button", name="Kill", exact=True).click()
    expect(page.locator(".story")).to_contain_text("killed")
    expect(page.locator(".story .heard li")).not_to_have_count(0)
    seen.site.cli.ok("stop", "victim")


def test_an_agent_is_drained_and_activated(seen: Seen) -> None:
    page = seen.open("/agents")
    page.get_by_role("link", name="agent-2").click()
    page.get_by_role("button", name="Drain").click()
    expect(page.locator("dialog .cli code")).to_have_text("pymesos-cli drain agent-2 --within 10m")
    page.locator("dialog").get_by_role("button", name="Drain", exact=True).click()
    expect(page.locator("main .notice")).to_contain_text("drain")
    page.get_by_role("button", name="Activate").click()
    page.locator("dialog").get_by_role("button", name="Activate", exact=True).click()
    expect(page.locator("main .notice")).to_have_count(0)


def test_what_fires_who_is_not_reached_and_a_silence(seen: Seen) -> None:
    page = seen.open("/")
    of_overview = page.locator(".count", has=page.get_by_role("link", name="Alerts"))
    expect(of_overview).to_contain_text("2 receivers not reached")
    of_overview.get_by_role("link", name="Alerts").click()
    unplaced = page.locator("main tbody tr", has_text="unplaced")
    expect(unplaced).to_contain_text("large/one")
    expect(unplaced).to_contain_text("firing")
    expect(page.locator("main tbody tr", has_text="the masters")).to_contain_text("not since")
    master = seen.site.cli.master
    full = page.locator("main tbody tr", has_text="disk full").filter(has_text=master)
    full.get_by_role("button", name="Silence").click()
    dialog = page.locator("dialog")
    line = f"alerts silence --cluster --when disk_full --subject {master} --for 2h"
    expect(dialog.locator(".cli code")).to_have_text(f"pymesos-cli {line}")
    dialog.get_by_label("Why").fill("a new disk comes")
    expect(dialog.locator(".cli code")).to_have_text(f"pymesos-cli {line} --why 'a new disk comes'")
    dialog.get_by_role("button", name="Silence", exact=True).click()
    expect(full).to_contain_text("silenced")
    (listed,) = (a for a in seen.site.cli.json("alerts", "list") if a.get("subject") == master)
    assert listed["silenced_for"] == "a new disk comes"
    page.get_by_role("button", name="End", exact=True).click()
    dialog.get_by_role("button", name="End", exact=True).click()
    expect(full).not_to_contain_text("silenced")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", sorted(VIEWS))
def test_nothing_keeps_people_from_using_it(seen: Seen, view: str, scheme: str) -> None:
    """By axe-core: contrast, names, roles, order of headings."""
    seen.page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    page = seen.open(f"/{view}")
    expect(page.locator("main")).not_to_contain_text("Asking")
    assert not flaws(page), "\n".join(flaws(page))
