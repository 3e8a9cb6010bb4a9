"""`pymesos-cli web`: the page of a closed cluster, with the certificate of whoever runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect


@contextmanager
def command(*words: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A command that runs until it is interrupted, and its first two lines."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pymesos_cli", *words],
        stdout=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process, [process.stdout.readline().strip() for _ in range(2)]
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture(scope="module")
def closed() -> Iterator[str]:
    """The address of the page of a cluster with certificates; its context is the current one."""
    with command("local", "--agents", "1", "--runtime", "process") as (_, lines):
        assert lines[1].startswith("web https://127.0.0.1:"), lines
        yield lines[1].removeprefix("web ")


def test_it_shows_the_cluster_to_the_first_browser_only(closed: str, browser: Browser) -> None:
    with command("web", "--no-open") as (process, lines):
        url = lines[0]
        assert url.startswith("http://127.0.0.1:")
        context = browser.new_context()
        page = context.new_page()
        problems: list[str] = []
        page.on(
            "console", lambda said: problems.append(said.text) if said.type == "error" else None
        )
        page.goto(url)
        expect(page.locator(".count", has_text="Agents")).to_contain_text("1")
        assert "code=" not in page.url, "the code is not left where others see it"
        page.keyboard.press("g")
        page.keyboard.press("a")
        page.get_by_role("link", name="agent-1").click()
        page.get_by_role("button", name="Cordon").click()
        page.locator("dialog").get_by_role("button", name="Cordon", exact=True).click()
        expect(page.locator(".notice")).to_contain_text("cordoned")
        expect(page.locator(".notice")).to_contain_text("operator/")
        page.keyboard.press("g")
        page.keyboard.press("e")
        expect(page.locator(".head .state")).to_have_text("live")
        assert not problems
        [cookie] = context.cookies()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(url, timeout=10)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(url.partition("?")[0] + "v1/agents", timeout=10)
        context.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_without_a_certificate_the_page_says_what_to_do(closed: str, browser: Browser) -> None:
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(closed)
    expect(page.locator("main .notice")).to_contain_text("pymesos-cli web")
    context.close()


def test_a_browser_signs_in_with_a_code_and_out_again(closed: str, browser: Browser) -> None:
    made = [sys.executable, "-m", "pymesos_cli", "web", "--code"]
    code = subprocess.run(made, capture_output=True, text=True, timeout=60, check=True).stdout
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(closed)
    page.get_by_label("Code", exact=True).fill("nonsense")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("form .wrong")).to_contain_text("make another")
    page.get_by_label("Code", exact=True).fill(code)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".count", has_text="Agents")).to_contain_text("1")
    cookies = {cookie["name"]: cookie for cookie in context.cookies()}
    session = cookies["__Host-pymesos"]
    assert session["httpOnly"] and session["secure"] and session["sameSite"] == "Strict"
    page.goto(f"{closed}/agents")
    page.get_by_role("link", name="agent-1").click()
    page.get_by_role("button", name=re.compile("Cordon|Activate")).click()
    page.locator("dialog .buttons button").last.click()
    expect(page.locator("dialog")).to_have_count(0)
    forged = page.evaluate(
        """fetch("/v1/sign-out", {method: "POST", body: "{}",
        headers: {"Content-Type": "application/json"}}).then((answer) => answer.status)"""
    )
    assert forged == 403, "without the token the cookie is not enough"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Code", exact=True)).to_be_visible()
    assert not context.cookies()
    context.close()


def test_a_port_that_is_taken_is_said(closed: str) -> None:
    port = closed.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "pymesos_cli", "web", "--no-open", "--port", port],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and "choose another port with --port" in done.stderr
