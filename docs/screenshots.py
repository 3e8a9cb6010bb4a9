"""Make the pictures of docs/web.md: python docs/screenshots.py [FOLDER]

It starts a cluster of its own (`pymesos-cli local`), runs a few jobs there, and looks at the page
with Chromium: the pictures are of the real thing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).with_name("images")
WIDTH, HEIGHT = 1180, 690
COLOURS = 96  # of a picture, which is small then
CLI = (sys.executable, "-m", "pymesos_cli.main")
JOB = """
name: shop
role: prod/web
tasks:
  - {name: web, kind: service, instances: 14, command: "sleep %d",
     resources: {cpus: 0.7, mem: 900}}
  - {name: cache, kind: service, instances: 6, command: sleep 9999,
     resources: {cpus: 0.3, mem: 400}}
"""
TRAINING = """
name: training
role: research
tasks:
  - {name: model, kind: service, instances: 2, command: sleep 9999,
     resources: {cpus: 12, mem: 64000}}
  - {name: data, kind: service, instances: 9, command: sleep 9999,
     resources: {cpus: 1.5, mem: 700}}
"""
FAILS = """
name: nightly
tasks:
  - {name: report, instances: 3, command: exit 3, resources: {cpus: 0.1, mem: 32}}
"""


def run_jobs(master: str, folder: Path) -> None:
    """Start what the pictures show, and change a job so that a rollout goes on."""

    def cli(*words: str) -> None:
        subprocess.run([*CLI, "--master", master, *words], check=True, stdout=subprocess.DEVNULL)

    def file(name: str, text: str) -> str:
        path = folder / f"{name}.yaml"
        path.write_text(text, "utf-8")
        return str(path)

    cli("weights", "prod=3", "research=2")
    cli("quota", "set", "research", "--limit", "cpus:20;mem:20000")
    for name, text in (("shop", JOB % 9998), ("training", TRAINING), ("nightly", FAILS)):
        cli("run", file(name, text))
    time.sleep(60)  # of history
    cli("cordon", "agent-7")
    cli("apply", file("shop", JOB % 9997))
    time.sleep(12)


def take(browser: Browser, url: str, folder: Path) -> None:
    """Take the pictures."""
    for name, target, scheme in (
        ("web-overview", "/", "light"),
        ("web-job", "/jobs/shop", "light"),
        ("web-agents", "/agents?sort=-tasks", "dark"),
    ):
        page: Page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT},
            color_scheme="light" if scheme == "light" else "dark",
        )
        page.goto(url + target)
        page.wait_for_selector("main h1")
        page.wait_for_timeout(2500)
        path = folder / f"{name}.png"
        page.screenshot(path=path)
        page.close()
        Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)


def main(folder: Path) -> None:
    """Take all pictures into a folder."""
    flags = ("--no-auth", "--agents", "16", "--runtime", "process")
    local = subprocess.Popen(
        [*CLI, "local", *flags, "--resources", "cpus:4;mem:4096;disk:8192"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert local.stdout is not None
    try:
        master = local.stdout.readline().removeprefix("master ").strip()
        url = local.stdout.readline().removeprefix("web ").strip()
        with tempfile.TemporaryDirectory() as jobs, sync_playwright() as playwright:
            run_jobs(master, Path(jobs))
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            take(browser, url, folder)
            browser.close()
    finally:
        local.terminate()
        local.wait(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else IMAGES)
