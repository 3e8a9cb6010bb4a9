"""The ledger of a framework on the SDK: stored before said, taken over by the next run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pymesos_core.clock import Now
from pymesos_core.store import Change
from pymesos_proto.v1 import scheduler_pb2 as spb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Scheduler, run_framework
from pymesos_sdk import core as sdk
from pymesos_sdk.ledger import GIVEN_UP, Ledger
from pymesos_sdk.standing import Standing

EXAMPLES = Path(__file__).resolve().parents[2] / "frameworks/examples"
Records = dict[tuple[str, str], bytes]


class Harness:
    """A durable driver core; what it writes is durable when `write` is called."""

    def __init__(self, records: Records | None = None) -> None:
        self.records = records if records is not None else {}
        ledger = Ledger()
        ledger.restore(self.records)
        self.core = sdk.DriverCore(
            Standing(pb.FrameworkInfo(name="f")), ledger=ledger, durable=True
        )
        self.effects: list[sdk.Effect] = []
        self.held: list[sdk.Persist] = []

    def feed(self, event: sdk.Event) -> None:
        effects = self.core.step(Now(0.0, 0.0), event)
        self.effects += effects
        self.held += [effect for effect in effects if isinstance(effect, sdk.Persist)]

    def write(self) -> None:
        while self.held:
            store = self.held.pop(0)
            for change in store.changes:
                self.records.pop((change.kind, change.key), None)
                if change.value is not None:
                    self.records[change.kind, change.key] = change.value
            self.feed(sdk.Stored(store.token))

    def connect(self) -> None:
        self.feed(sdk.Connected(1))
        self.hear(subscribed=spb.Event.Subscribed(framework_id="id", heartbeat_interval_s=15))

    def hear(self, **event: object) -> None:
        self.feed(sdk.MasterSaid(1, 1, spb.Event(**event)))  # type: ignore[arg-type]

    def update(self, task_id: str, state: pb.TaskState, uuid: bytes = b"u") -> None:
        """As a driver that acknowledges by itself."""
        status = pb.TaskStatus(task_id=task_id, agent_id="a", state=state, uuid=uuid)
        self.hear(update=spb.Event.Update(status=status))
        if uuid:
            call = spb.Call.Acknowledge(task_id=task_id, agent_id="a", uuid=uuid)
            self.call(acknowledge=call)

    def call(self, **call: object) -> None:
        self.feed(sdk.SchedulerCalled(spb.Call(**call)))  # type: ignore[arg-type]

    def launch(self, task_id: str) -> None:
        info = pb.TaskInfo(task_id=task_id, agent_id="a")
        operation = spb.Operation(launch=spb.Operation.Launch(task_infos=[info]))
        self.call(accept=spb.Call.Accept(offer_ids=["o"], operations=[operation]))

    def sent(self, kind: str) -> list[spb.Call]:
        sends = [effect for effect in self.effects if isinstance(effect, sdk.Send)]
        return [send.call for send in sends if send.call.HasField(kind)]

    def asked(self) -> list[str]:
        return [t.task_id for call in self.sent("reconcile") for t in call.reconcile.tasks]


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.connect()
    harness.write()
    return harness


def test_a_launch_is_stored_before_it_is_sent(h: Harness) -> None:
    h.launch("t")
    assert not h.sent("accept")
    h.write()
    assert len(h.sent("accept")) == 1


def test_an_end_is_stored_before_it_is_acknowledged(h: Harness) -> None:
    h.launch("t")
    h.write()
    h.update("t", pb.TASK_FINISHED)
    assert not h.sent("acknowledge")
    h.write()
    assert len(h.sent("acknowledge")) == 1
    assert h.records.keys() == {("framework", "")}


def test_what_the_framework_keeps_is_stored_before_the_update_is_acknowledged(h: Harness) -> None:
    h.launch("t")
    h.write()
    h.feed(sdk.SchedulerKept((Change("result", "t", b"42"),)))
    h.update("t", pb.TASK_RUNNING)
    assert not h.sent("acknowledge")
    h.write()
    assert h.records["result", "t"] == b"42"
    assert len(h.sent("acknowledge")) == 1


def test_what_needs_no_write_does_not_wait(h: Harness) -> None:
    h.launch("t")
    h.call(decline=spb.Call.Decline(offer_ids=["x"]))
    h.call(suppress=spb.Call.Suppress())
    assert len(h.sent("decline")) == len(h.sent("suppress")) == 1
    assert not h.sent("accept")


def test_a_restart_asks_for_what_was_launched_and_kills_what_was_to_end(h: Harness) -> None:
    for task_id in ("ended", "runs", "ends"):
        h.launch(task_id)
    h.write()
    h.update("ended", pb.TASK_FINISHED)
    h.call(kill=spb.Call.Kill(task_id="ends", agent_id="a"))
    assert not h.sent("kill"), "stored before said"
    h.write()
    assert len(h.sent("kill")) == 1
    again = Harness(dict(h.records))
    assert again.core.ledger.tasks == {"runs": "a", "ends": "a"}
    again.connect()
    assert sorted(again.asked()) == ["ends", "runs"]
    assert [call.kill.task_id for call in again.sent("kill")] == ["ends"]
    again.update("ends", pb.TASK_KILLED)
    again.write()
    assert Harness(dict(again.records)).core.ledger.tasks == {"runs": "a"}


def test_a_launch_that_was_stored_and_not_sent_is_asked_for(h: Harness) -> None:
    h.launch("t")
    assert h.held
    h.effects.clear()
    (store,) = h.held
    h.records |= {(c.kind, c.key): c.value for c in store.changes if c.value is not None}
    again = Harness(dict(h.records))
    again.connect()
    assert again.asked() == ["t"]
    again.update("t", pb.TASK_UNKNOWN, uuid=b"")
    assert not again.core.ledger.tasks


def test_what_was_killed_is_killed_again_when_it_is_heard_of() -> None:
    """A new leader forgot the KILL of a task whose agent had not come back yet."""
    h = Harness()
    h.connect()
    h.call(kill=spb.Call.Kill(task_id="t", agent_id="a"))
    h.write()
    assert len(h.sent("kill")) == 1
    h.update("t", pb.TASK_KILLING)
    assert len(h.sent("kill")) == 1, "it has been heard"
    for state, number in ((pb.TASK_RUNNING, 2), (pb.TASK_KILLED, 2), (pb.TASK_RUNNING, 2)):
        h.update("t", state)
        assert len(h.sent("kill")) == number


def test_the_next_master_is_asked_for_what_was_killed_and_had_not_been_heard_of() -> None:
    """A sidecar that an earlier run launched: the next master does not know it yet, either."""
    h = Harness()
    h.connect()
    h.call(kill=spb.Call.Kill(task_id="t+proxy", agent_id="a"))
    h.write()
    h.connect()
    assert h.asked() == ["t+proxy"]
    kills = len(h.sent("kill"))
    h.update("t+proxy", pb.TASK_RUNNING, uuid=b"")
    assert len(h.sent("kill")) == kills + 1


def test_what_was_given_up_is_killed_whenever_it_is_heard_of() -> None:
    h = Harness({(GIVEN_UP, "old"): b"a"})
    h.connect()
    assert h.asked() == ["old"]
    assert not h.sent("kill")
    h.update("old", pb.TASK_UNREACHABLE, uuid=b"")
    assert not h.sent("kill")
    for number in (1, 2):
        h.update("old", pb.TASK_RUNNING)
        assert len(h.sent("kill")) == number
    h.update("old", pb.TASK_KILLED)
    h.write()
    assert (GIVEN_UP, "old") not in h.records


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_a_record_that_cannot_be_read_is_named(value: bytes) -> None:
    with pytest.raises(ValueError, match="the record of the task t cannot be read"):
        Ledger().restore({("task", "t"): value})


INFO = pb.FrameworkInfo(name="mine")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: mine MASTER, which is host:port or zk://"),
        (["a:1", "b:2"], "usage: mine"),
        (["nowhere"], "mine: "),
    ],
)
def test_a_wrong_command_line_is_said_in_a_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_framework(Scheduler(), INFO, arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["hello_framework.py", "volume_framework.py"])
def test_an_example_without_a_master_says_how_it_is_called(name: str) -> None:
    done = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ") and "Traceback" not in done.stderr


def test_the_framework_that_begins_the_guide_is_whole() -> None:
    guide = (EXAMPLES.parents[1] / "docs/framework-authors-guide.md").read_text("utf-8")
    block = guide.split("```python\n")[1].split("```")[0]
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ") and "Traceback" not in done.stderr
