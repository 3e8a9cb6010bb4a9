"""What an agent runs in containers, for `exec` or a check, ends with it when it is killed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from pymesos_agent.containers.marks import MARK, Marks, new_mark
from pymesos_agent.containers.sessions import Entry, Session, run_entry


def entry(script: str) -> Entry:
    mark = new_mark()
    return Entry(["/bin/sh", "-c", script], {**os.environ, MARK: mark}, Path("/"), mark)


async def test_the_next_agent_ends_it(tmp_path: Path) -> None:
    made, other = entry("sleep 100 & exec sleep 100"), entry("exec sleep 100")
    marks = Marks(tmp_path)
    assert made.kept_in(marks).kept == tmp_path / "commands" / made.mark
    assert (tmp_path / "commands").stat().st_mode & 0o777 == 0o700
    process, others = [
        await asyncio.create_subprocess_exec(*one.argv, env=one.env) for one in (made, other)
    ]
    try:
        await asyncio.to_thread(Marks(tmp_path).end_left)
        async with asyncio.timeout(10):
            assert await process.wait() == -9
        assert others.returncode is None, "of another agent, or left behind by a command that ended"
        assert not list((tmp_path / "commands").iterdir())
        await asyncio.to_thread(Marks(tmp_path).end_left)  # there is nothing left
    finally:
        others.kill()
        await others.wait()


async def test_of_what_has_ended_nothing_is_kept(tmp_path: Path) -> None:
    """What it left behind on purpose is not ended by the next agent either."""
    marks = Marks(tmp_path)
    status, said = await run_entry(entry("echo said").kept_in(marks), 10)
    assert (status, said.strip()) == (0, "said")
    session = Session(entry("echo here").kept_in(marks), None)
    await session.start()
    assert len(list((tmp_path / "commands").iterdir())) == 1
    said_by: list[Any] = [output async for output in session.outputs()]
    await session.close()
    assert said_by[-1].exit_status == 0
    assert not list((tmp_path / "commands").iterdir())


async def test_a_disk_that_is_full_keeps_nobody_from_looking(tmp_path: Path) -> None:
    (tmp_path / "commands").write_text("no folder")
    status, _ = await run_entry(entry("exit 3").kept_in(Marks(tmp_path)), 10)
    assert status == 3
    Marks(tmp_path).end_left()
