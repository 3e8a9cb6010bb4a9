"""How the machine of a master is, which it tells the one that leads; and whether that answers.

A master that hears of no leader for too long tells receivers so: there is nobody else to do it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pymesos_core.clock import Now, utc
from pymesos_core.coordination import MasterInfo
from pymesos_core.following import ask_master
from pymesos_core.outgoing.alert_life import State
from pymesos_core.outgoing.notices import Notice
from pymesos_core.security.renewing import renew_by_s
from pymesos_core.streams import in_thread
from pymesos_core.tasks import until_first
from pymesos_core.transport import CallError, method_of
from pymesos_master.core.alerts.state import ClusterAlert, When, alert_key
from pymesos_master.core.events import MasterReported
from pymesos_master.services.leading import Leadership
from pymesos_proto.v1 import masters_pb2 as pb

REPORT_S = 1.0  # from one report to the next
ANSWER_TIMEOUT_S = 3.0
SILENT_S = 3.0  # a leader that has answered within this is there
LOOK_S = 0.5
REPORT = method_of(
    "/pymesos.v1.Masters/ReportHealth", pb.ReportHealthRequest, pb.ReportHealthResponse
)


class NoLeader:
    """The alert that no master leads, for each receiver, in one life of one master.

    Every master that hears of no leader tells of it, under one key: for receivers it is one alert.
    """

    def __init__(self, address: str, receivers: Iterable[str], for_s: float) -> None:
        self._address = address
        self._for_s = for_s
        self.alerts = [ClusterAlert(alert_key(When.NO_LEADER, "", name)) for name in receivers]

    def look(self, now: Now, heard_s: float, silenced_until_s: float) -> list[Notice]:
        """Return what receivers are to be told now.

        `heard_s`: the monotonic time at which a leader was heard last.
        """
        silent_s = now.mono_s - heard_s
        silenced = now.wall_s < silenced_until_s
        out: list[Notice] = []
        for alert in self.alerts:
            before = alert.state
            if silent_s <= SILENT_S:
                alert.cease(now.wall_s)
            else:
                since = utc(now.wall_s - silent_s)
                why = f"no master that leads has answered the master {self._address} since {since}"
                # It counts from when one was heard last.
                for_s = max(0.0, self._for_s - silent_s) if not alert.since_s else self._for_s
                alert.hold(why, for_s, now.wall_s, now.mono_s, silenced=silenced)
                if before is not alert.state is State.PENDING:
                    alert.since_s = max(1e-9, heard_s)
            if alert.came_to(before, now.wall_s, silenced=silenced):
                out.append(alert.notice())
            elif alert.state is State.FIRING and not alert.told and not silenced:
                alert.told = True
                out.append(alert.notice())
        return out

    def taken(self, notice: Notice, now: Now) -> None:
        """A receiver has taken what it was told."""
        for alert in self.alerts:
            if alert.key == notice.key:
                alert.taken(notice.began_s, now.wall_s, is_over=notice.is_over)


@dataclass
class _Heard:
    at_s: float  # monotonic: when a leader was heard last
    silenced_until_s: float = 0.0


class Health:
    """Reports, and tells that nobody leads, in one life of a master."""

    def __init__(
        self, leadership: Leadership, work_dir: Path, receivers: Iterable[str], for_s: float
    ) -> None:
        self._leadership = leadership
        self._outside = leadership.outside
        self._work_dir = work_dir
        self._heard = _Heard(self._outside.mono_s())
        self._address = str(leadership.me.address)
        self._no_leader = NoLeader(self._address, receivers, for_s)
        self._tells = leadership.make_tells(
            lambda notice: self._no_leader.taken(notice, self._outside.clock())
        )

    async def run(self) -> None:
        """Do so until cancelled."""
        if not self._no_leader.alerts:
            await asyncio.Event().wait()  # nobody is told anything
        await until_first(self._report(), self._look(), self._tells.run())

    async def _look(self) -> None:
        while True:
            heard = self._heard
            found = self._no_leader.look(self._outside.clock(), heard.at_s, heard.silenced_until_s)
            for notice in found:
                self._tells.tell(notice)
            await asyncio.sleep(LOOK_S)

    async def _report(self) -> None:
        while True:
            credentials = self._outside.credentials
            used = await in_thread(disk_used, self._work_dir)
            renew_s = renew_by_s(credentials.current()) if credentials is not None else 0.0
            request = pb.ReportHealthRequest(
                address=self._address, disk_used=used, renew_by_s=renew_s
            )
            try:
                answer = await self._ask(request)
            except CallError:
                pass  # it says so in the log where it follows the leader
            else:
                self._heard = _Heard(self._outside.mono_s(), answer.silenced_until_s)
            await asyncio.sleep(REPORT_S)

    async def _ask(self, request: pb.ReportHealthRequest) -> pb.ReportHealthResponse:
        """Tell the leader, here or elsewhere. Raises CallError."""
        leadership = self._leadership
        leader: MasterInfo | None = leadership.known_leader()
        if leadership.leader is not None or leader is None:
            return reported(leadership, request)
        dial = self._outside.dial
        answer = await ask_master(dial, leader.address, REPORT, request, ANSWER_TIMEOUT_S)
        assert isinstance(answer, pb.ReportHealthResponse)
        return answer


def reported(leadership: Leadership, request: pb.ReportHealthRequest) -> pb.ReportHealthResponse:
    """Take in how a master is, if this one leads, and surely. Raises CallError."""
    leader = leadership.surely_here()
    leader.feed(MasterReported(request.address, request.disk_used, request.renew_by_s))
    silences = leader.core.state.silences.values()
    covering = (one.until_s for one in silences if one.covers(When.NO_LEADER, ""))
    return pb.ReportHealthResponse(silenced_until_s=max(covering, default=0.0))


def disk_used(folder: Path) -> float:
    """The part in use of the disk that has a folder, or would have it; 0 where that is unknown."""
    for at in (folder, *folder.parents):
        try:
            usage = shutil.disk_usage(at)
        except FileNotFoundError:
            continue
        except OSError:
            return 0.0
        usable = usage.used + usage.free  # without what is kept for root, as `df` counts it
        return usage.used / usable if usable else 0.0
    return 0.0
