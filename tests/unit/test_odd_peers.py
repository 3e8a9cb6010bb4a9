"""What kernels, engines and supervisors say that is odd, and clocks that are set."""

from __future__ import annotations

import logging
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from pymesos_agent.containers import usage
from pymesos_agent.core.events import CheckpointFailed
from pymesos_agent.runtimes.docker import engine as docker_engine
from pymesos_agent.runtimes.docker.engine import AGENT_LABEL, Engine, bridge_of, why_away
from pymesos_agent.runtimes.docker.images import fetch
from pymesos_agent.shell import Shell
from pymesos_agent.supervision.agent_link import AgentLink
from pymesos_agent.supervision.container import Container
from pymesos_agent.supervision.launching import HelperError, started_by
from pymesos_agent.supervision.limits import check_oom
from pymesos_agent.supervision.procfs import pids_in
from pymesos_agent.supervision.supervisor_link import ODD, SupervisorLink, checked
from pymesos_binpack import core
from pymesos_binpack.alerts.silences import Silence as JobSilence
from pymesos_binpack.core import silencing
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobs.backoff import crashes_within
from pymesos_binpack.jobs.instance import Instance, Saved
from pymesos_binpack.specs import RestartRules
from pymesos_cli.services import SilentError, refusals_of
from pymesos_core.clock import is_over
from pymesos_core.complaints import Complaints
from pymesos_core.outgoing.alert import Alert
from pymesos_core.outgoing.alert_life import State
from pymesos_core.store import StoreError
from pymesos_master.core import Config, access_tokens, enrolment
from pymesos_master.core.alerts.state import Silence
from pymesos_master.core.records import AccessToken, Token
from pymesos_proto.v1 import operator_pb2
from pymesos_testing.binpack_harness import BinpackHarness, job
from pymesos_testing.master_harness import MasterHarness

A_DAY_S = 86400.0


class TestTheKernel:
    def test_processes_of_other_namespaces_are_not_those_of_ones_own_group(
        self, tmp_path: Path
    ) -> None:
        """kill(0, 9) would end the agent, and all of its group."""
        procs = tmp_path / "cgroup.procs"
        procs.write_text("0\n41\n0\n42\n")
        assert pids_in(str(procs)) == [41, 42]

    def test_odd_counts_of_what_was_killed_leave_the_others_to_be_looked_at(
        self, tmp_path: Path
    ) -> None:
        events = tmp_path / "memory.events"
        events.write_text("oom_kill many\n")
        container = Container("c", 41, {"oom_file": str(events)}, outputs=None)  # type: ignore[arg-type]
        check_oom(container)
        assert container.limit is None

    def test_counts_of_disks_are_read_beside_odd_ones(self, tmp_path: Path) -> None:
        io = tmp_path / "io.stat"
        io.write_text("8:0 8:16 rbytes=1 wbytes=2\n8:32 rbytes=10 wbytes=20\n7:0\n")
        assert usage._io_v2(io) == (11, 22)

    def test_a_process_that_ends_as_it_is_looked_at_uses_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def groups_of(_: int) -> Any:
            raise ValueError("not enough values to unpack")

        monkeypatch.setattr(usage, "groups_of", groups_of)
        assert usage.read_usage(41) is None


class TestHelpers:
    @pytest.mark.parametrize("pid", ["0", "-1", "1", "-41", "99999999999999999999"])
    def test_no_pid_that_would_signal_others_is_taken(self, tmp_path: Path, pid: str) -> None:
        (tmp_path / "pid").write_text(pid)
        helper = {"pid_file": str(tmp_path / "pid"), "error_log": str(tmp_path / "log")}
        with pytest.raises(HelperError, match="which is none of a container"):
            started_by(helper, 0)

    def test_a_log_that_is_nested_too_deep_is_told_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "log").write_text("[" * 100_000)
        helper = {"pid_file": str(tmp_path / "none"), "error_log": str(tmp_path / "log")}
        with pytest.raises(HelperError, match=r"\[\[\["):
            started_by(helper, 1)


class TestTheSupervisor:
    @pytest.mark.parametrize(
        "said",
        [
            [],
            "x",
            {"ev": "started"},
            {"ev": "started", "id": 7, "pid": 41},
            {"ev": "started", "id": "c"},
            {"ev": "started", "id": "c", "pid": -1},
            {"ev": "started", "id": "c", "pid": "41"},
            {"ev": "started", "id": "c", "pid": 2**70},
            {"ev": "exited", "id": "c", "status": 1e400},
            {"ev": "exited", "id": "c", "status": 0, "peak_bytes": -1},
            {"ev": "failed", "id": "c", "error": None},
            {"id": "c", "pid": 41, "state": "running"},
        ],
    )
    def test_what_is_no_message_of_one_is_refused(self, said: Any) -> None:
        with pytest.raises(ODD):
            checked(said)

    def test_an_odd_line_does_not_take_the_others_with_it(self, tmp_path: Path) -> None:
        heard: list[dict[str, Any]] = []
        link = SupervisorLink(tmp_path, heard.append, on_lost=lambda: None)  # type: ignore[arg-type, return-value]
        for line in (
            b"[" * 100_000,
            b"\xff",
            b"{}",
            b'{"ev": "exited", "id": "c", "status": null}',
        ):
            link._hear(line)
        assert heard == [{"ev": "exited", "id": "c", "status": None}]

    def test_a_caller_that_nests_its_greeting_is_no_agent(self) -> None:
        link = AgentLink(None, "secret", lambda _: None, lambda: None)  # type: ignore[arg-type]
        assert not link._is_hello(b"[" * 4096, 1000)


class TestEngines:
    def engine(self, **client: Any) -> Engine:
        made = Engine("a1", lambda _: None, lambda _: None, lambda: None)
        made.client = types.SimpleNamespace(**client)
        return made

    def test_only_containers_with_the_label_are_an_agents_own(self) -> None:
        """An engine that knows nothing of the filter lists those of others, too."""
        mine = {"Id": "1", "Labels": {AGENT_LABEL: "a1"}}
        others = [
            {"Id": "2", "Labels": None},
            {"Id": "3"},
            {"Id": "4", "Labels": {AGENT_LABEL: "a2"}},
        ]
        engine = self.engine(containers=lambda **_: [mine, *others])
        assert engine.containers() == [mine]

    @pytest.mark.parametrize("error", [KeyError("State"), TypeError("None"), AttributeError("get")])
    def test_one_that_answers_otherwise_than_the_api_says_is_away_until_it_does(
        self, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def catch_up() -> None:
            raise error

        engine = Engine("a1", lambda _: None, lambda _: None, catch_up)
        monkeypatch.setattr(engine, "_follow", lambda: None)
        assert engine._catch_up() == f"what it answers cannot be read: {error!r}"
        assert not engine.is_here

    def test_networks_of_any_making_have_a_bridge_or_none(self, tmp_path: Path) -> None:
        (tmp_path / "br0").touch()
        configs: list[dict[str, Any]] = [{}, {"Subnet": "10.1.0.1/16", "Gateway": "10.1.0.1"}]
        options = {"com.docker.network.bridge.name": "br0"}
        bridge = bridge_of({"Options": options, "IPAM": {"Config": configs}}, tmp_path)
        assert bridge is not None and str(bridge.clients) == "10.1.0.0/16"
        assert bridge_of({"Options": options, "IPAM": None}, tmp_path) is None

    def test_components_without_a_name(self) -> None:
        client = types.SimpleNamespace(version=lambda: {"Components": [{"Name": None}, {}]})
        assert docker_engine._kind_of(client) == "docker"

    def test_odd_reports_of_how_far_it_is_do_not_fail_what_is_fetched(self) -> None:
        events = [
            {"status": "Downloading", "progressDetail": {"total": 5}},
            {"status": "Downloading", "progressDetail": {"current": "1", "total": "5"}},
            {"status": "Downloading", "progressDetail": {"current": 1, "total": 5}},
        ]
        streams = types.SimpleNamespace(pull=lambda *_, **__: events)
        fetch(streams, "busybox", lambda _: None, lambda: False)

    def test_the_reason_of_other_errors_stays(self) -> None:
        assert why_away(ConnectionRefusedError()) == "nobody listens on its socket"


class TestClocks:
    def test_crashes_at_times_to_come_do_not_count(self) -> None:
        """A clock was a day ahead, and is set back: they would end the service all that day."""
        spec = parse_job({"name": "j", "tasks": [{"name": "t", "command": "x"}]}).tasks[0]
        now_s = 1.8e9
        saved = Saved(crashed_s=[now_s - 700, now_s - 5, now_s + 1, now_s + A_DAY_S])
        instance = Instance("j", "j", spec, 0, saved)
        rules = RestartRules(fails=True, within_s=600)
        assert crashes_within(instance, rules, now_s, crashed=True) == [now_s - 5, now_s + 1, now_s]

    @pytest.mark.parametrize(
        ("ends_in_s", "over"),
        [(0, True), (-1, True), (1, False), (3600, False), (3600 + A_DAY_S + 1, True)],
    )
    def test_what_would_last_longer_than_anything_does_is_over(
        self, ends_in_s: float, over: bool
    ) -> None:
        """What ends too late was begun by a clock that was ahead, and has been set back."""
        assert is_over(1.8e9 + ends_in_s, 3600.0, 1.8e9) is over

    def test_access_tokens_of_a_time_to_come_are_good_for_nothing(self) -> None:
        made = AccessToken("d", "operator/ann", ("read",), "", 2.1e9, 2.1e9 + 3600)
        assert access_tokens.has_ended(made, 1.8e9) and not access_tokens.has_ended(made, 2.1e9)
        ahead = replace(made, made_at_s=1.8e9 + 60, ends_at_s=1.8e9 + 3660)
        assert not access_tokens.has_ended(ahead, 1.8e9), "clocks are never quite the same"

    def test_tokens_to_join_of_a_time_to_come_are_good_for_nothing(self) -> None:
        made = Token("agent/a", 2.1e9, "operator/ann")
        assert enrolment.has_ended(made, 1.8e9) and not enrolment.has_ended(made, 2.1e9 - 3600)

    def test_an_alert_that_pends_since_a_time_to_come_pends_since_now(self) -> None:
        """Otherwise the alert would fire years later."""
        alert = Alert("k", State.PENDING, since_s=2.1e9)
        assert alert.hold("why", 30, 1.8e9, 1.8e9, silenced=False) == 30
        assert alert.hold("why", 30, 1.8e9 + 30, 1.8e9 + 30, silenced=False) is None
        assert alert.state is State.FIRING

    def test_silences_of_a_time_to_come_end(self) -> None:
        h = MasterHarness(Config(receivers=("oncall",)))
        silence = Silence("", "", h.now.wall_s + 12 * 365 * A_DAY_S, "", "")
        h.core.state.silences[silence.key] = silence
        h.advance(2)
        assert not h.core.state.silences

    def test_silences_of_jobs_of_a_time_to_come_end(self) -> None:
        h = BinpackHarness()
        h.feed(core.Subscribed("f"))
        h.submit(job())
        h.core._ctx.silences.by_key["j-r//"] = silence = JobSilence("j-r", "", "", 4e9, "", "")
        silencing._end_by(h.core._ctx, silence)
        h.advance(1)
        assert not h.core._ctx.silences.by_key


HUNG = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:5170: "


@pytest.mark.parametrize(
    ("code", "details", "said"),
    [
        ("UNAVAILABLE", f"{HUNG}Connection refused", "is not reachable: nothing listens there"),
        (
            "UNAVAILABLE",
            f"{HUNG}connection attempt timed out before receiving SETTINGS frame",
            "is not reachable: what listens there does not answer",
        ),
        ("UNAVAILABLE", "Socket closed", "is not reachable"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", "is not reachable: it has not answered in time"),
    ],
)
def test_no_words_of_grpc_say_that_a_framework_is_silent(
    code: str, details: str, said: str
) -> None:
    view = operator_pb2.FrameworkView()
    view.info.name, view.info.framework_id, view.info.jobs_address = "b", "f-1", "h:5170"
    nothing = grpc.aio.Metadata()
    with pytest.raises(SilentError) as silent, refusals_of(view):
        raise grpc.aio.AioRpcError(grpc.StatusCode[code], nothing, nothing, details)
    begin = f"framework b (f-1) serves the jobs of * at h:5170, and {said}. Its tasks run on"
    assert silent.value.format_message().startswith(begin)


def test_a_disk_that_stays_full_is_told_of_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Once a second, what is left of it would be the log's."""
    shell = Shell.__new__(Shell)
    now_s = 0.0
    shell._complaints = Complaints(logging.getLogger("pymesos_agent.shell"), lambda: now_s)
    for second in range(90):
        now_s = float(second)
        event = shell._written(second, StoreError("cannot write x: it is full"))
        assert event == CheckpointFailed(second, "cannot write x: it is full")
    said = "the checkpoint: it is tried again each second: cannot write x: it is full"
    assert caplog.messages == [said, f"{said} (and 59 more like it before)"]
