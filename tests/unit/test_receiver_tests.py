"""A receiver is tested once at a time, and now and then."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pymesos_core.outgoing import notifier
from pymesos_core.outgoing.notices import Notice
from pymesos_core.outgoing.notifier import Notifier
from pymesos_core.outgoing.receivers import read_receivers
from pymesos_core.outgoing.testing import Tests
from pymesos_core.tasks import running
from pymesos_core.transport import CallError, Code


def test_one_at_a_time_and_one_in_ten_seconds() -> None:
    now_s = 50.0
    tests = Tests(lambda: now_s)
    with tests.of("r"):
        now_s += 60
        with pytest.raises(CallError, match="r is being tested already") as refused, tests.of("r"):
            pass
        assert refused.value.code is Code.RESOURCE_EXHAUSTED
        with tests.of("other"):
            pass
    with tests.of("r"):
        pass
    now_s += 4
    with pytest.raises(CallError, match="less than 10 s ago: try it again in 6 s"), tests.of("r"):
        pass
    now_s += 6
    with pytest.raises(ValueError, match="what fails"), tests.of("r"):
        raise ValueError("what fails is over, too")
    now_s += 10
    with tests.of("r"):
        pass
    now_s += 60
    with tests.of("other"):
        assert list(tests._free_s) == ["other"], "what is long ago is not kept"


MAIL = "{kind: email, smtp: 'h:25', from: p@example.org, to: [a@example.org], tls: none}"


@pytest.fixture
def hole(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Mail to `hole` is not answered until it is set."""
    opened = threading.Event()

    def send(to: object, _: object) -> None:
        if getattr(to, "name", "") == "hole":
            opened.wait()

    monkeypatch.setattr(notifier, "send_mail", send)
    return opened


async def test_a_server_that_never_answers_holds_up_its_own_mail_alone(
    hole: threading.Event,
) -> None:
    taken: list[str] = []
    told = Notifier(
        read_receivers(f"hole: {MAIL}\ngood: {MAIL}"), lambda notice: taken.append(notice.receiver)
    )
    try:
        for name in ("hole", "good"):
            told.tell(Notice(name, name, {}, "s", 1.8e9))
        async with running(told.run()), running(told.test("hole")):
            await told.test("good")
            while not taken:
                await asyncio.sleep(0.01)
            with pytest.raises(CallError, match="hole is being tested already"):
                await told.test("hole")
            with pytest.raises(CallError, match="good was tested"):
                await told.test("good")
            waiting = [each for each in threading.enumerate() if each.name == "mail-hole"]
            assert waiting, "not those that all others share"
            assert all(each.daemon for each in waiting), "no process waits for it at its end"
        assert taken == ["good"]
    finally:
        hole.set()
