"""What a peer sends is taken whole or refused whole, and hurts nobody but the peer.

Each input here ended a leader, or kept it from others, before it was checked.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from pymesos_core import limits
from pymesos_core.reservations import size_bytes, size_problem
from pymesos_core.resource_values import ResourceError, to_milli
from pymesos_core.resources import from_proto, parse, to_proto
from pymesos_master.core import events as ev
from pymesos_master.core.records import AGENT
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, registering, task


@pytest.fixture
def h() -> MasterHarness:
    return MasterHarness()


def register(
    h: MasterHarness,
    info: pb.AgentInfo,
    tasks: tuple[agent_pb.TaskRecord, ...] = (),
    reserved: tuple[pb.Resource, ...] = (),
) -> str:
    """Why the agent was refused; empty: it was not."""
    connection = 900 + len(h.agent_inbox)
    info.address.ip = info.address.ip or "127.0.0.1"
    h.feed(registering(connection, info, "i", tasks, reserved=reserved))
    (first, *_) = h.agent_inbox[connection]
    if first.HasField("registered"):
        return ""
    assert connection in h.closed
    return first.refused.message


def operation(**kind: object) -> scheduler_pb.Operation:
    return scheduler_pb.Operation(id="o", **kind)  # type: ignore[arg-type]


def reserve(label_bytes: int, key: str = "k", cpus: float = 1.0) -> scheduler_pb.Operation:
    wanted = pb.Resource(name="cpus", scalar=cpus)
    wanted.reservations.add(role="db", labels=[pb.Label(key=key, value="x" * label_bytes)])
    return operation(reserve=scheduler_pb.Operation.Reserve(resources=[wanted]))


def outcomes(h: MasterHarness, framework: int) -> list[scheduler_pb.Event.OperationUpdate]:
    return [
        e.operation_update for e in h.framework_inbox[framework] if e.HasField("operation_update")
    ]


LARGE_SET = pb.Resource(name="s", set=pb.StringSet(item=["x" * 700_000]))


MANY_RANGES = pb.Resource(
    name="p", ranges=pb.Ranges(range=[pb.Range(begin=2 * n, end=2 * n) for n in range(20_000)])
)


class TestAgents:
    @pytest.mark.parametrize(
        ("info", "says"),
        [
            (pb.AgentInfo(version="x" * 900_000), "at most 65536"),
            (pb.AgentInfo(attributes=[pb.Attribute(name=f"a{n}", text="b") for n in range(300)]),
             "attributes has 300 attributes; at most 256"),
            (pb.AgentInfo(isolation={"k" * 5000: "v"}), "isolation"),
            (pb.AgentInfo(resources=[LARGE_SET]), "at most"),
            (pb.AgentInfo(resources=[MANY_RANGES]), "at most"),
            (pb.AgentInfo(resources=[pb.Resource(name="cpus", scalar=1e308)]), "at most"),
            (pb.AgentInfo(agent_id=" "), "agent_id"),
            (pb.AgentInfo(agent_id="a\u202eb"), "agent_id"),
            (pb.AgentInfo(address=pb.Address(hostname="a\u202eb")), "hostname"),
        ],
    )  # fmt: skip
    def test_what_is_too_large_or_no_agent_is_refused(
        self, h: MasterHarness, info: pb.AgentInfo, says: str
    ) -> None:
        assert says in register(h, info)
        assert not h.registry and h.stepped_down is None
        assert register(h, pb.AgentInfo(resources=to_proto(parse("cpus:1")))) == ""

    def test_an_offer_of_the_largest_agent_fits_into_a_message(self, h: MasterHarness) -> None:
        info = pb.AgentInfo(resources=to_proto(parse("cpus:64;mem:65536")))
        for number in range(200):
            text = "x" * 240
            info.resources.add(name=f"s{number % 60}").set.item.append(f"{text}{number}")
            if number >= 59:
                break
        while info.ByteSize() < limits.AGENT_INFO.most - 600:
            name, text = f"a{len(info.attributes)}", "x" * 250
            info.attributes.add(name=name, text=text)
        assert register(h, info) == ""
        framework = h.subscribe()
        (offer,) = h.offers(framework)
        assert offer.ByteSize() < limits.MESSAGE.most

    def test_tasks_that_hold_the_same_port_are_refused_in_words(self, h: MasterHarness) -> None:
        info = pb.AgentInfo(resources=to_proto(parse("cpus:4;ports:[1-10]")))
        records = tuple(
            agent_pb.TaskRecord(
                framework_id="f",
                state=pb.TASK_RUNNING,
                task_info=pb.TaskInfo(task_id=name, resources=to_proto(parse("ports:[1-5]"))),
            )
            for name in "ab"
        )
        assert "overlap" in register(h, info, records)

    def test_a_task_in_no_state_is_refused_in_words(self, h: MasterHarness) -> None:
        info = pb.AgentInfo(resources=to_proto(parse("cpus:4")))
        record = agent_pb.TaskRecord(
            framework_id="f",
            state=777,  # type: ignore[arg-type]
            task_info=pb.TaskInfo(task_id="t"),
        )
        assert "TASK_STATE_777" in register(h, info, (record,))

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"role": "/".join(["a"] * 3000)}, "A role has 5999 bytes"),
            ({"role": "a//b"}, "invalid part '': names are expected between slashes"),
            ({"task_info": pb.TaskInfo(task_id="a\u202eb")}, "that nobody sees: U+202E"),
            ({"task_info": pb.TaskInfo(task_id="x" * 300_000)}, "An id has 300000 bytes"),
            ({"task_info": pb.TaskInfo()}, "must not be empty"),
            ({"task_info": pb.TaskInfo(task_id="t", data=b"x" * 300_000)}, "at most 262144"),
        ],
    )
    def test_a_record_of_what_is_no_task_is_refused_in_words(
        self, h: MasterHarness, change: dict[str, Any], problem: str
    ) -> None:
        fields: dict[str, Any] = {
            "framework_id": h.framework_id(h.subscribe()),
            "task_info": pb.TaskInfo(task_id="t"),
            "state": pb.TASK_RUNNING,
        }
        record = agent_pb.TaskRecord(**{**fields, **change})
        said = register(h, pb.AgentInfo(resources=to_proto(parse("cpus:4"))), (record,))
        assert problem in said and len(said) < 2000

    @pytest.mark.parametrize(
        "change",
        [
            {"task_id": "other"},
            {"state": 777},
            {"state": pb.TASK_STAGING},
            {"state": pb.TASK_UNREACHABLE},
            {"state": pb.TASK_FINISHED},  # of a task that runs
            {"timestamp_s": math.nan},
            {"uuid": b"u" * 5000},
        ],
    )
    def test_a_bad_status_in_a_record_is_left_out_and_said(
        self, h: MasterHarness, change: dict[str, Any]
    ) -> None:
        framework = h.subscribe()
        framework_id = h.framework_id(framework)
        fields: dict[str, Any] = {"task_id": "t", "state": pb.TASK_RUNNING, "uuid": b"u"}
        status = pb.TaskStatus(**{**fields, **change})
        record = agent_pb.TaskRecord(
            framework_id=framework_id,
            task_info=pb.TaskInfo(task_id="t", resources=to_proto(parse("cpus:1"))),
            state=pb.TASK_RUNNING,
            unacknowledged=[status],
            status=status,
        )
        agent = h.agent(tasks=[record])
        task = h.core.state.frameworks[framework_id].tasks["t"]
        assert task.unacknowledged is None and task.status is None
        assert {c.kind for c in h.complaints} == {"a bad status of a task"}
        acknowledge = scheduler_pb.Call.Acknowledge(
            agent_id=h.agent_id(agent), task_id="t", uuid=status.uuid
        )
        h.call(framework, acknowledge=acknowledge)
        assert h.core.state.frameworks[framework_id].tasks["t"].state == pb.TASK_RUNNING

    @pytest.mark.parametrize("uuid", [b"", b"u"])
    def test_a_task_has_not_ended_while_its_latest_state_is_that_it_runs(
        self, h: MasterHarness, uuid: bytes
    ) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.update(agent, framework_id, "t", pb.TASK_FINISHED, uuid, latest=pb.TASK_RUNNING)
        acknowledge = scheduler_pb.Call.Acknowledge(
            agent_id=h.agent_id(agent), task_id="t", uuid=uuid
        )
        h.call(framework, acknowledge=acknowledge)
        assert "TASK_FINISHED of a task whose latest state is" in h.complaints[-1].message
        assert "t" in h.core.state.frameworks[framework_id].tasks and not h.statuses(framework)

    @pytest.mark.parametrize(
        "change",
        [
            {"state": 777},
            {"state": pb.TASK_UNREACHABLE},
            {"state": pb.TASK_STATE_UNSPECIFIED},
            {"timestamp_s": math.nan},
            {"timestamp_s": 1e308},
            {"message": "x" * 70_000},
            {"uuid": b"u" * 65},
        ],
    )
    def test_a_bad_update_is_left_out_and_said(
        self, h: MasterHarness, change: dict[str, object]
    ) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        before = len(h.framework_inbox[framework])
        status = pb.TaskStatus(task_id="t", state=pb.TASK_RUNNING, uuid=b"u", timestamp_s=1)
        status = pb.TaskStatus(**{**{f.name: v for f, v in status.ListFields()}, **change})
        h.feed(ev.TaskStatusUpdated(
            agent, agent_pb.StatusUpdate(framework_id=h.framework_id(framework), status=status)
        ))  # fmt: skip
        assert len(h.framework_inbox[framework]) == before
        assert h.complaints[-1].kind == "a bad status update"
        assert agent not in h.closed

    def test_a_bad_latest_state_is_left_out(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        latest: pb.TaskState = 777  # type: ignore[assignment]
        h.update(agent, h.framework_id(framework), "t", pb.TASK_RUNNING, latest=latest)
        assert h.complaints and not h.statuses(framework)

    def test_a_bad_report_of_usage_is_left_out(self, h: MasterHarness) -> None:
        agent = h.agent()
        h.feed(ev.AgentUsageReported(agent, agent_pb.Usage(cpus_used=math.nan)))
        assert h.core.state.agents[h.agent_id(agent)].usage is None
        assert "cpus_used is nan" in h.complaints[-1].message


class TestAccept:
    @pytest.mark.parametrize("scalar", [1e308, 1.7976931348623157e308, 2.0**63, math.nan, -1.0])
    def test_a_number_that_cannot_be_is_the_tasks_error(
        self, h: MasterHarness, scalar: float
    ) -> None:
        agent, framework = h.agent(), h.subscribe()
        (offer,) = h.offers(framework)
        bad, good = task(offer, "bad"), task(offer, "good")
        bad.resources[0].scalar = scalar
        h.accept(framework, [offer.offer_id], bad, good)
        assert [(s.task_id, s.state) for s in h.statuses(framework)] == [("bad", pb.TASK_ERROR)]
        assert h.launched(agent) == ["good"]
        (rest,) = h.offers(framework)
        assert from_proto(rest.resources) == parse("cpus:3;mem:4064")

    @pytest.mark.parametrize(
        "keys",
        [
            {"kill_policy": pb.KillPolicy(grace_period_s=1e308)},
            {"max_completion_time_s": math.inf},
            {"health_check": pb.Check(command=pb.CommandInfo(value="x"), interval_s=math.nan)},
            {"health_check": pb.Check(tcp=pb.Check.Tcp(port_index=2**31))},
            {"labels": [pb.Label(key="a\u202eb")]},
            {"labels": [pb.Label(key=" ")]},
            {"labels": [pb.Label(key="k")] * 300},
            {"task_id": "a\u202eb"},
            {"command": pb.CommandInfo(shell=True, value="x" * 131_072)},
            {"command": pb.CommandInfo(
                shell=True, value="x", environment=[pb.EnvironmentVariable(name="a\0")])},
            {"artifacts": [pb.Artifact(uri="http://h/\0")]},
            {"container": pb.ContainerInfo(port_mappings=[pb.PortMapping(container_port=70_000)])},
            {"container": pb.ContainerInfo(mounts=[pb.ContainerMount(container_path="a\0")])},
        ],
    )  # fmt: skip
    def test_what_no_task_may_say(self, h: MasterHarness, keys: dict[str, object]) -> None:
        agent, framework = h.agent(), h.subscribe()
        (offer,) = h.offers(framework)
        info = task(offer, "t")
        info = pb.TaskInfo(**{**{f.name: v for f, v in info.ListFields()}, **keys})
        h.accept(framework, [offer.offer_id], info)
        assert h.last(framework).state == pb.TASK_ERROR
        assert h.launched(agent) == [] and len(h.offers(framework)) == 1

    def test_two_tasks_of_one_id(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        (offer,) = h.offers(framework)
        h.accept(framework, [offer.offer_id], task(offer, "t"), task(offer, "t"))
        assert h.launched(agent) == ["t"]
        assert "duplicate ID" in h.last(framework).message

    def test_too_many_tasks_are_refused_whole_and_the_offer_goes_to_others(
        self, h: MasterHarness
    ) -> None:
        agent, framework = h.agent(), h.subscribe()
        (offer,) = h.offers(framework)
        many = [task(offer, f"t{n}") for n in range(limits.CALL_TASKS.most + 1)]
        h.accept(framework, [offer.offer_id], *many)
        (refused,) = h.refused(framework)
        assert refused.code == scheduler_pb.Event.Refused.TOO_LARGE
        assert refused.message.startswith("A call has 1001 tasks; at most 1000 are accepted. None")
        assert h.launched(agent) == [] and not h.statuses(framework)
        assert not h.offers(framework), "it would be refused again"
        other = h.subscribe()
        h.advance(0.1)
        assert [o.agent_id for o in h.offers(other)] == [offer.agent_id]

    def test_an_operation_of_a_newer_kind_is_an_error(self, h: MasterHarness) -> None:
        h.agent()
        framework = h.subscribe()
        (offer,) = h.offers(framework)
        h.call(framework, accept=scheduler_pb.Call.Accept(
            offer_ids=[offer.offer_id], operations=[scheduler_pb.Operation(id="o")],
            filters=scheduler_pb.Filters(refuse_seconds=0),
        ))  # fmt: skip
        assert outcomes(h, framework)[0].state == scheduler_pb.Event.OperationUpdate.ERROR
        assert len(h.offers(framework)) == 1


class TestReservations:
    def accept(self, h: MasterHarness, framework: int, *ops: scheduler_pb.Operation) -> None:
        (offer,) = h.offers(framework)
        h.call(framework, accept=scheduler_pb.Call.Accept(
            offer_ids=[offer.offer_id], operations=ops,
            filters=scheduler_pb.Filters(refuse_seconds=0),
        ))  # fmt: skip

    def test_a_huge_label_is_refused_before_anything_is_written(self, h: MasterHarness) -> None:
        h.agent()
        framework = h.subscribe(roles=["db"])
        self.accept(h, framework, reserve(600_000))
        assert "at most 65536" in outcomes(h, framework)[0].message
        (record,) = [v for k, v in h.registry.items() if k[0] == AGENT]
        assert not registry_pb.AgentRecord.FromString(record).reserved
        assert h.stepped_down is None and len(h.offers(framework)) == 1

    def test_many_small_ones_fill_the_record_up_to_its_limit(self, h: MasterHarness) -> None:
        h.agent("cpus:1000;mem:1000")
        framework = h.subscribe(roles=["db"])
        for round_ in range(5):
            self.accept(h, framework, *(reserve(10_000, f"{round_}-{n}") for n in range(4)))
        done = [outcome.state for outcome in outcomes(h, framework)]
        finished, error = scheduler_pb.Event.OperationUpdate.FINISHED, "at most 131072"
        assert done.count(finished) == 13
        assert error in outcomes(h, framework)[-1].message
        (record,) = [
            registry_pb.AgentRecord.FromString(v) for k, v in h.registry.items() if k[0] == AGENT
        ]
        assert size_bytes(from_proto(record.reserved)) <= limits.RESERVED.most
        assert len(h.offers(framework)) == 1

    def test_ports_are_reserved_in_no_more_ranges_than_an_agent_reads_again(self) -> None:
        kept = parse(f"ports(db):[{','.join(str(4 * n) for n in range(1000))}]")
        given = parse(f"ports(db):[{','.join(str(4 * n + 2) for n in range(1000))}]")
        assert size_problem(0, kept) is None
        assert size_problem(0, kept, given) == "ports has 2000 ranges; at most 1024 are accepted"

    def test_an_operator_is_told_when_there_is_no_room(self, h: MasterHarness) -> None:
        agent_id = h.agent_id(h.agent("cpus:4;disk:100000"))
        for number in range(1, 200):
            disk = pb.Resource(name="disk", scalar=1)
            disk.disk.persistence_id, disk.disk.container_path = f"v{number}", "x" * 1000
            h.feed(ev.OperatorReserved(number, agent_id, "db", (disk,)))
        assert h.answers[1] is None
        assert "at most 131072" in (h.answers[199] or "")
        assert h.stepped_down is None


class TestCalls:
    @pytest.mark.parametrize(
        "call",
        [
            {"kill": scheduler_pb.Call.Kill(
                task_id="t", kill_policy=pb.KillPolicy(grace_period_s=math.nan))},
            {"kill": scheduler_pb.Call.Kill(
                task_id="t", kill_policy=pb.KillPolicy(grace_period_s=1e308))},
            {"kill": scheduler_pb.Call.Kill(task_id="t" * 1000)},
            {"revive": scheduler_pb.Call.Revive(roles=["typo"])},
            {"suppress": scheduler_pb.Call.Suppress(roles=["typo"])},
            {"revive": scheduler_pb.Call.Revive(roles=["*"] * 300)},
            {"acknowledge": scheduler_pb.Call.Acknowledge(task_id="t", uuid=b"x" * 100)},
            {"message": scheduler_pb.Call.Message(executor_id="a\u202eb")},
            {"subscribe": scheduler_pb.Call.Subscribe()},
            {},
        ],
    )  # fmt: skip
    def test_a_bad_call_is_refused_and_the_stream_goes_on(
        self, h: MasterHarness, call: dict[str, object]
    ) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        sent = len(h.agent_inbox[agent])
        h.call(framework, **call)
        (refused,) = h.refused(framework)
        assert refused.message and refused.code
        assert refused.call == next(iter(call), "").upper()
        assert framework not in h.closed and not h.errors(framework)
        assert len(h.agent_inbox[agent]) == sent
        assert h.complaints[-1].peer == h.framework_id(framework)

    @pytest.mark.parametrize(
        ("seconds", "is_refused"),
        [(math.nan, True), (math.inf, False), (-1, True), (1e308, False), (0.0, False)],
    )
    def test_a_failover_timeout_is_a_number_and_at_most_ten_years(
        self, h: MasterHarness, seconds: float, is_refused: bool
    ) -> None:
        framework = h.subscribe(failover_timeout_s=seconds)
        assert bool(h.errors(framework)) == is_refused
        h.feed(ev.FrameworkDisconnected(framework))
        h.advance(1)
        assert h.core.next_deadline_s() is not None

    def test_a_role_that_is_not_subscribed_is_shown_nothing(self, h: MasterHarness) -> None:
        h.agent()
        info = pb.FrameworkInfo(name="f", roles=["web"])
        subscribe = scheduler_pb.Call.Subscribe(
            framework_info=info, suppressed_roles=["db"], optimistic_roles=["db"]
        )
        h.feed(ev.FrameworkSubscribing(1, subscribe))
        other = h.subscribe()
        assert len(h.offers(1)) + len(h.offers(other)) == 1


def test_an_answer_to_an_operator_is_short_whatever_was_asked(h: MasterHarness) -> None:
    h.feed(ev.OperatorKilledTask(1, "", "x" * 900_000))
    h.feed(ev.OperatorMarkedGone(2, "x" * 900_000))
    h.feed(ev.OperatorToreDown(3, "x" * 900_000))
    h.feed(ev.OperatorReleasedRecord(4, "x" * 900_000, "y"))
    h.feed(ev.OperatorSetWeight(5, "x" * 900_000, 2.0))
    h.feed(ev.OperatorReserved(6, "x" * 900_000, "db", ()))
    for number in range(1, 7):
        assert 0 < len(h.answers[number] or "") < 2000


def test_resources_that_overflow_are_refused_by_name() -> None:
    with pytest.raises(ResourceError, match="cpus is 1e\\+308; at most"):
        to_milli("cpus", 1e308)
