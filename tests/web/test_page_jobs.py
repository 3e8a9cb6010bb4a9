"""Jobs on the page, in a real browser: looked at, changed, tried, scaled."""

from __future__ import annotations

import json
import re

from playwright.sync_api import expect

from pymesos_testing.page_views import flaws, job, rows, text_of
from pymesos_testing.web import Seen


def test_a_job_and_what_it_lacks(seen: Seen) -> None:
    page = seen.open("/")
    page.locator("section", has_text="What waits").get_by_role("link", name="large").click()
    expect(page.locator("main .notice")).to_contain_text("1 instance waits")
    expect(page.locator("main .notice")).to_contain_text("needs 64 cpus")
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.locator("main input[type=search]").fill("prod shop")
    expect(rows(page, "Jobs")).to_have_count(1)
    page.get_by_role("link", name="shop", exact=True).click()
    expect(rows(page, "Instances of shop")).to_have_count(3)
    page.get_by_text("The job file in force").click()
    expect(page.locator("details pre")).to_contain_text("I serve")


def test_a_job_is_scaled_and_changed_and_rolled_back(seen: Seen) -> None:
    seen.site.cli.ok("run", *job(seen.site, "moves", "sleep 100000"))
    page = seen.open("/jobs/moves")
    page.get_by_role("button", name="Scale").click()
    page.get_by_label("web").fill("3")
    line = re.compile(r"pymesos-cli scale moves-[0-9a-f]{8}\.web=3")
    expect(page.locator("dialog .cli code")).to_have_text(line)
    page.locator("dialog").get_by_role("button", name="Scale", exact=True).click()
    expect(rows(page, "Instances of moves")).to_have_count(3)
    expect(rows(page, "Versions of moves")).to_have_count(2)
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.locator("textarea").fill(text_of("moves", "sleep 99999", 3))
    page.get_by_role("button", name="See what would be").click()
    expect(page.locator(".plan h2").first).to_have_text("It would be a new version, after 2.")
    expect(page.locator(".plan .change")).to_contain_text("sleep 99999")
    expect(rows(page, "What becomes of instances")).to_contain_text("3")
    page.get_by_role("button", name="Apply", exact=True).click()
    page.locator("dialog").get_by_role("button", name="Apply", exact=True).click()
    expect(page.locator(".rollout")).to_contain_text("v2 → v3")
    page.locator(".rollout").get_by_role("button", name="Abort").click()
    expect(page.locator("dialog .cli code")).to_contain_text("pymesos-cli rollout abort moves-")
    page.keyboard.press("Escape")
    rows(page, "Versions of moves").nth(1).get_by_role("button", name="Roll back").click()
    page.locator("dialog").get_by_role("button", name="Roll back", exact=True).click()
    expect(rows(page, "Versions of moves")).to_have_count(4)
    page.get_by_role("button", name="Stop").click()
    page.locator("dialog").get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator(".head .state")).to_have_text(re.compile("stop"))


def test_where_a_job_would_go(seen: Seen) -> None:
    page = seen.open("/whatif")
    tasks = [
        {"name": name, "instances": 2, "command": "true", "resources": {"cpus": cpus, "mem": 32}}
        for name, cpus in (("fits", 0.1), ("large", 64))
    ]
    page.locator("textarea").fill(json.dumps({"name": "new", "tasks": tasks}))
    page.get_by_role("button", name="See what would be").click()
    expect(page.locator(".plan h2").first).to_have_text("It would be a new job.")
    where = rows(page, "Where instances would go")
    expect(where.nth(0)).to_contain_text(re.compile("agent-[12]"))
    expect(where.nth(1)).to_contain_text("64")


def test_what_a_job_file_lacks_is_said(seen: Seen) -> None:
    page = seen.open("/whatif")
    page.locator("textarea").fill("name: x\ntask: []")
    seen.expected = True
    page.get_by_role("button", name="See what would be").click()
    expect(page.locator(".wrong")).to_contain_text("task")


def test_a_daemon_and_a_periodic_task(seen: Seen) -> None:
    kind = {"command": "sleep 100000", "resources": {"cpus": 0.1, "mem": 32}}
    only = ["hostname:IS:agent-1"]
    day = [{"name": "DAY", "default": "today"}]
    tasks = [
        {"name": "ships", "kind": "daemon", "constraints": only, **kind},
        {"name": "daily", "kind": "periodic", "schedule": "30 2 * * *", "parameters": day, **kind},
    ]
    file = seen.site.folder / "kinds.json"
    file.write_text(json.dumps({"name": "kinds", "tasks": tasks}), "utf-8")
    seen.site.cli.ok("run", str(file))
    page = seen.open("/jobs/kinds")
    daemon = page.get_by_role("region", name="Daemon ships")
    expect(daemon).to_contain_text("1 running")
    expect(daemon).to_contain_text("1 agent wanted")
    expect(daemon).to_contain_text("1 not eligible, of 2 that are known")
    daemon.get_by_text("Not eligible", exact=True).click()
    expect(daemon.locator("li")).to_contain_text(re.compile("agent-2: hostname:IS:agent-1"))
    periodic = page.get_by_role("region", name="Periodic task daily")
    expect(periodic).to_contain_text("30 2 * * *")
    expect(periodic.locator(".facts time")).to_contain_text("in ")
    periodic.get_by_role("button", name="Trigger").click()
    page.locator("dialog").get_by_label("DAY").fill("the first")
    line = re.compile(r"pymesos-cli trigger kinds-[0-9a-f]{8}\.daily --arg 'DAY=the first'")
    expect(page.locator("dialog .cli code")).to_have_text(line)
    page.locator("dialog").get_by_role("button", name="Trigger", exact=True).click()
    expect(rows(page, "Runs of daily")).to_contain_text("running")
    expect(rows(page, "Runs of daily")).to_contain_text("trigger-")
    assert flaws(page) == []
    seen.site.cli.ok("stop", "kinds")


def test_variables_and_what_is_scaled(seen: Seen) -> None:
    cli = seen.site.cli
    cli.ok("variables", "set", "*", "level", "info")
    task = {
        "name": "web",
        "kind": "service",
        "command": "sleep 100000",
        "env": {"LEVEL": "{{ variables.level }}"},
        "resources": {"cpus": 0.1, "mem": 32},
        "scale": {"min": 1, "max": 4, "target": {"cpu": "60%"}},
    }
    cli.ok("apply", "-", text=json.dumps({"name": "levels", "tasks": [task]}))
    page = seen.open("/variables")
    expect(rows(page, "Variables")).to_contain_text("info")
    page.get_by_role("link", name="level").click()
    expect(page.locator("main h1")).to_have_text("level")
    expect(page.locator(".facts")).to_contain_text("1 job")
    page.get_by_role("button", name="Set", exact=True).click()
    page.locator("dialog").get_by_label("Value").fill("debug it")
    line = "pymesos-cli variables set '*' level 'debug it'"
    expect(page.locator("dialog .cli code")).to_have_text(line)
    page.locator("dialog").get_by_role("button", name="Set", exact=True).click()
    expect(rows(page, "Values of level").first).to_contain_text("debug it")
    assert flaws(page) == []
    page = seen.open("/jobs/levels")
    scaled = page.get_by_role("region", name="Scaled task web")
    expect(scaled).to_contain_text("1, from 1 to 4")
    expect(scaled).to_contain_text("It has not been scaled yet.")
    expect(page.get_by_role("button", name="Scale", exact=True)).to_have_count(0)
    assert flaws(page) == []
    cli.ok("stop", "levels")
