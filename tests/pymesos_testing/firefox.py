"""Debian's Firefox, driven by WebDriver BiDi: Playwright knows only builds of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

FIREFOX = "firefox-esr"
START_S, ANSWER_S = 90.0, 60.0
# Nothing of it is to ask anybody else.
PREFERENCES = """\
user_pref("app.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9/");
"""


class Firefox:
    """One tab, and what its consoles have said that was wrong."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._tab = ""
        self.problems: list[str] = []

    async def begin(self) -> None:
        """Hear what consoles say, and find the tab."""
        await self._do("session.new", capabilities={})
        await self._do("session.subscribe", events=["log.entryAdded"])
        tree = await self._do("browsingContext.getTree")
        self._tab = tree["contexts"][0]["context"]

    async def open(self, url: str) -> None:
        """Go to an address, and wait for what it loads."""
        await self._do("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    async def wait_for(self, expression: str) -> Any:
        """Evaluate JavaScript until something comes of it."""
        async with asyncio.timeout(ANSWER_S):
            while True:
                said = await self._do(
                    "script.evaluate",
                    expression=expression,
                    target={"context": self._tab},
                    awaitPromise=True,
                )
                assert said["type"] == "success", said
                if found := said["result"].get("value"):
                    return found
                await asyncio.sleep(0.1)

    async def _do(self, method: str, **params: Any) -> Any:
        """Send one command; its result."""
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(ANSWER_S):
            while True:
                said = json.loads(await self._socket.receive_str())
                if said.get("method") == "log.entryAdded":
                    entry = said["params"]
                    if entry["level"] in ("error", "warn"):
                        self.problems.append(entry["text"])
                elif said.get("id") == number:
                    assert said["type"] == "success", said
                    return said["result"]


@asynccontextmanager
async def firefox() -> AsyncIterator[Firefox]:
    """A Firefox of its own, without a window, which ends with the body."""
    path = shutil.which(FIREFOX)
    assert path is not None, f"there is no {FIREFOX}; deploy/test-deps.sh installs it"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        (Path(profile) / "user.js").write_text(PREFERENCES, "ascii")
        process = await asyncio.create_subprocess_exec(
            path, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            url = f"{await _listening(process, Path(profile))}/session"
            async with ClientSession() as asks, asks.ws_connect(url, max_msg_size=0) as socket:
                driven = Firefox(socket)
                await driven.begin()
                yield driven
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _listening(process: asyncio.subprocess.Process, profile: Path) -> str:
    """Where it takes commands, as it writes into its profile."""
    async with asyncio.timeout(START_S):
        while True:
            assert process.returncode is None, f"{FIREFOX} has ended, with {process.returncode}"
            with contextlib.suppress(OSError, ValueError):
                at = json.loads((profile / "WebDriverBiDiServer.json").read_text("utf-8"))
                return f"ws://{at['ws_host']}:{at['ws_port']}"
            await asyncio.sleep(0.1)
