"""The page in a real browser, on a live cluster."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect

from pymesos_master.http.page import VIEWS
from pymesos_testing.web import Seen

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
NAMES = {"": "Overview", "fairness": "Offers and fairness"}


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", sorted(VIEWS))
def test_nothing_keeps_people_from_using_it(seen: Seen, view: str, scheme: str) -> None:
    """By axe-core: contrast, names, roles, order of headings."""
    seen.page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    page = seen.open(f"/{view}")
    expect(page.locator("main")).not_to_contain_text("Asking")
    page.evaluate(AXE)
    found = page.evaluate("axe.run()")
    told = [
        f"{one['id']}: {node['html']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
    assert not told, "\n".join(told)
