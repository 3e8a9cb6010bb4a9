"""Commands wait for a framework that was disconnected only just now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from pymesos_cli import services
from pymesos_cli.cluster import Cluster
from pymesos_master.core import events as ev
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.master_harness import MasterHarness


def framework(state: str, away_s: float | None = None) -> pb.FrameworkView:
    at_s = 0.0 if away_s is None else time.time() - away_s
    info = types_pb2.FrameworkInfo(name="jobs", framework_id="f-1", jobs_address="127.0.0.1:9")
    return pb.FrameworkView(info=info, state=state, disconnected_at_s=at_s)


class Listing:
    """A cluster whose frameworks are others each time that they are listed, up to the last."""

    def __init__(self, *views: pb.FrameworkView) -> None:
        self.timeout_s = 10.0
        self.times = 0
        self._views: Iterator[pb.FrameworkView] = iter(views)
        self._view = pb.FrameworkView()

    async def frameworks(self) -> list[pb.FrameworkView]:
        self.times += 1
        self._view = next(self._views, self._view)
        return [self._view]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "ASK_AGAIN_S", 0.0)


async def asked(listing: Listing) -> str:
    """The state of the framework, as who needs it is told."""
    (view,) = await services.serving_again(cast(Cluster, cast(Any, listing)))
    return view.state


async def test_one_that_left_just_now_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    away = framework("disconnected", 1.0)
    listing = Listing(away, away, away, framework("active"))
    assert await asked(listing) == "active" and listing.times == 4
    told = capsys.readouterr()
    assert told.err.count("framework jobs (f-1) is disconnected since a moment ago: waiting") == 1
    assert told.out == ""


@pytest.mark.parametrize("away_s", [services.COMES_BACK_S + 1.0, None])
async def test_one_that_left_before_is_not(
    capsys: pytest.CaptureFixture[str], away_s: float | None
) -> None:
    """Nor one of which an older master does not say when."""
    listing = Listing(framework("disconnected", away_s))
    assert await asked(listing) == "disconnected" and listing.times == 1
    assert capsys.readouterr().err == ""


async def test_the_wait_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "COMES_BACK_S", 0.05)
    listing = Listing(framework("disconnected", -1e6))  # by a clock that is far ahead
    assert await asked(listing) == "disconnected" and listing.times > 1


def test_the_leader_says_since_when_it_is_away() -> None:
    h = MasterHarness()
    connection = h.subscribe()
    framework_id = h.framework_id(connection)
    assert h.core.state.frameworks[framework_id].disconnected_at_s == 0.0
    h.feed(ev.FrameworkDisconnected(connection))
    assert h.core.state.frameworks[framework_id].disconnected_at_s == h.now.wall_s
    h.now_s += 5
    new = MasterHarness(registry=h.registry, now_s=h.now_s)  # the next leader knows no more
    framework = new.core.state.frameworks[framework_id]
    assert framework.disconnected_at_s == new.now.wall_s
    new.subscribe(framework_id=framework_id)
    assert framework.disconnected_at_s == 0.0
