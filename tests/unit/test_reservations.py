"""Reservations, volumes, offer constraints and optimistic offers, through the master core."""

from __future__ import annotations

import pytest

from pymesos_core import resources
from pymesos_core.caller import Caller, Method
from pymesos_core.reservations import reserve_for
from pymesos_core.resources import from_proto, parse, to_proto
from pymesos_master.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import operations
from pymesos_testing.master_harness import MasterHarness, registering
from pymesos_testing.reserving import (
    REQUESTS,
    Update,
    accept,
    offered,
    outcomes,
    subscribe,
    task,
    told,
    unreserve,
)


def reserve(h: MasterHarness, agent: int, role: str, text: str) -> str | None:
    request = next(REQUESTS)
    wanted = tuple(to_proto(parse(text)))
    h.feed(ev.OperatorReserved(request, h.agent_id(agent), role, wanted))
    return h.answers[request]


class TestReserving:
    def test_what_is_reserved_is_offered_to_its_role_only(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400")
        db = subscribe(h, "db")
        (offer,) = h.offers(db)
        operation, given = operations.reserve(parse("cpus:3;mem:300"), "db", operation_id="r")
        accept(h, db, offer, operation)
        assert outcomes(h, db) == [("r", Update.FINISHED)]
        assert told(h, agent) == [given]
        web = subscribe(h, "web")
        h.decline(db, [o.offer_id for o in h.offers(db)], 1e6)
        assert offered(h, web) == parse("cpus:1;mem:100")

    @pytest.mark.parametrize(
        ("principal", "state"),
        [("", Update.FINISHED), ("framework/db", Update.FINISHED), ("framework/x", Update.ERROR)],
    )
    def test_nobody_reserves_as_somebody_else(self, principal: str, state: int) -> None:
        """Who does not say as whom may, since its certificate says it."""
        h = MasterHarness()
        h.agent("cpus:4;mem:400")
        caller = Caller("framework/db", Method.CERT)
        db = h.subscribe(roles=["db"], caller=caller)
        (offer,) = h.offers(db)
        operation, _ = operations.reserve(parse("cpus:3"), "db", principal, operation_id="r")
        accept(h, db, offer, operation)
        assert outcomes(h, db) == [("r", state)]

    def test_it_is_written_before_it_is_told(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400")
        db = subscribe(h, "db")
        (offer,) = h.offers(db)
        operation, given = operations.reserve(parse("cpus:3;mem:300"), "db", operation_id="r")
        h.hold_writes = True
        accept(h, db, offer, operation, tasks=[task(offer, "t", given)])
        assert not outcomes(h, db) and not told(h, agent) and not h.launched(agent)
        h.advance(1.0)
        assert not h.offers(db), "what is being reserved is offered to nobody"
        h.hold_writes = False
        h.write()
        assert outcomes(h, db) == [("r", Update.FINISHED)]
        kinds = [m.WhichOneof("message") for m in h.agent_inbox[agent]]
        assert kinds.index("set_reserved") < kinds.index("launch")
        assert offered(h, db) == parse("cpus:1;mem:100")

    def test_the_agent_goes_while_it_is_written(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400")
        db = subscribe(h, "db")
        (offer,) = h.offers(db)
        operation, given = operations.reserve(parse("cpus:3;mem:300"), "db", operation_id="r")
        h.hold_writes = True
        accept(h, db, offer, operation, tasks=[task(offer, "t", given)])
        h.feed(ev.AgentDisconnected(agent))
        h.hold_writes = False
        h.write()
        assert outcomes(h, db) == [("r", Update.FINISHED)]
        assert h.last(db).state == pb.TASK_DROPPED
        again = h.agent("cpus:4;mem:400", h.agent_id(agent))
        assert told(h, again) == [given], "it does not know yet"
        assert offered(h, db) == parse("cpus:1;mem:100") + given

    def test_the_agent_comes_back_while_it_is_written(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400", port=7)
        db = subscribe(h, "db")
        (offer,) = h.offers(db)
        operation, given = operations.reserve(parse("cpus:3;mem:300"), "db", operation_id="r")
        h.hold_writes = True
        accept(h, db, offer, operation)
        h.feed(ev.AgentDisconnected(agent))
        again = h.agent("cpus:4;mem:400", h.agent_id(agent), port=7)
        h.hold_writes = False
        h.write()
        assert told(h, again) == [given]
        assert offered(h, db) == parse("cpus:1;mem:100") + given

    def test_twice_the_same_while_it_comes_back(self) -> None:
        """The agent shows what it had before, until the first change is written."""
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400", port=7)
        assert reserve(h, agent, "db", "cpus:2") is None
        for change, other in ((unreserve, reserve), (reserve, unreserve)):
            h.hold_writes = True
            with pytest.raises(KeyError):
                change(h, agent, "db", "cpus:2")
            h.feed(ev.AgentDisconnected(agent))
            agent = h.agent("cpus:4;mem:400", h.agent_id(agent), port=7)
            said = change(h, agent, "db", "cpus:2")
            assert said is not None and "being changed" in said
            h.hold_writes = False
            h.write()
            assert other(h, agent, "db", "cpus:2") is None
            assert change(h, agent, "db", "cpus:2") is None

    def test_what_is_being_reserved_is_offered_to_nobody_though_its_agent_comes_back(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400", port=7)
        db = subscribe(h, "db")
        h.hold_writes = True
        with pytest.raises(KeyError):
            reserve(h, agent, "web", "cpus:3")
        h.feed(ev.AgentDisconnected(agent))
        h.agent("cpus:4;mem:400", h.agent_id(agent), port=7)
        h.advance(1.0)
        assert not h.offers(db)
        h.hold_writes = False
        h.write()
        assert offered(h, db) == parse("cpus:1;mem:400")

    def test_two_at_a_time(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400")
        db = subscribe(h, "db")
        (offer,) = h.offers(db)
        first, one = operations.reserve(parse("cpus:1"), "db")
        h.hold_writes = True
        accept(h, db, offer, first)
        assert reserve_held(h, agent, "web", "cpus:1") == "refused"
        h.hold_writes = False
        h.write()
        assert reserve(h, agent, "web", "cpus:2") is None
        assert told(h, agent)[-1] == one + reserve_for(parse("cpus:2"), "web", "")

    def test_it_survives_a_new_leader(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400")
        agent_id = h.agent_id(agent)
        assert reserve(h, agent, "db", "cpus:3") is None
        h2 = MasterHarness(registry=h.registry)
        back = h2.agent("cpus:4;mem:400", agent_id)
        assert told(h2, back) == [reserve_for(parse("cpus:3"), "db", "")]
        web = subscribe(h2, "web")
        assert offered(h2, web) == parse("cpus:1;mem:400")

    def test_what_the_registry_does_not_hold_is_learnt_from_the_agent(self) -> None:
        h = MasterHarness()
        reserved = reserve_for(parse("cpus:3"), "db", "")
        info = pb.AgentInfo(agent_id="back", resources=to_proto(parse("cpus:4;mem:400")))
        h.feed(ev.AgentRegistering(500, info, "i", reserved=tuple(to_proto(reserved))))
        assert not told(h, 500)
        assert offered(h, subscribe(h, "web")) == parse("cpus:1;mem:400")

    def test_an_agent_with_less_than_is_reserved_is_refused(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400")
        assert reserve(h, agent, "db", "cpus:3") is None
        h.feed(ev.AgentDisconnected(agent))
        info = pb.AgentInfo(agent_id=h.agent_id(agent), resources=to_proto(parse("cpus:2")))
        h.feed(ev.AgentRegistering(500, info, "i"))
        assert "reserved on the agent" in h.agent_inbox[500][-1].refused.message

    def test_a_smaller_agent_whose_tasks_leave_nothing_to_reserve_is_refused(self) -> None:
        """Found by the simulator: it had not been told of the reservation when it came back."""
        h = MasterHarness()
        agent, framework = h.agent("cpus:4;mem:400"), h.subscribe()
        offer = h.run(framework, "t", "cpus:2;mem:100")
        assert reserve(h, agent, "db", "cpus:1") is None
        h.feed(ev.AgentDisconnected(agent))
        record = agent_pb.TaskRecord(
            framework_id=h.framework_id(framework),
            task_info=task(offer, "t", parse("cpus:2;mem:100")),
            state=pb.TASK_RUNNING,
        )
        info = pb.AgentInfo(agent_id=h.agent_id(agent), resources=to_proto(parse("cpus:2;mem:400")))
        h.feed(registering(500, info, "i", (record,)))
        assert "hold cpus:2;mem:100, more" in h.agent_inbox[500][-1].refused.message
        record.state = pb.TASK_FINISHED
        h.feed(registering(501, info, "i", (record,)))
        assert h.agent_inbox[501][0].HasField("registered")

    def test_refinement(self) -> None:
        h = MasterHarness()
        h.agent("cpus(eng):4;mem(eng):400")
        web = subscribe(h, "eng/web")
        assert offered(h, subscribe(h, "ops")) == resources.EMPTY
        (offer,) = h.offers(web)
        mine = from_proto(offer.resources)
        assert mine == parse("cpus(eng):4;mem(eng):400")
        operation, given = operations.reserve(mine, "eng/web", operation_id="r")
        accept(h, web, offer, operation)
        assert outcomes(h, web) == [("r", Update.FINISHED)]
        assert offered(h, web) == given
        (offer,) = h.offers(web)
        accept(h, web, offer, operations.unreserve(given, "u")[0])
        assert outcomes(h, web)[-1] == ("u", Update.FINISHED)
        assert offered(h, web) == mine

    @pytest.mark.parametrize(
        ("wanted", "role", "says"),
        [
            ("cpus:1", "web", "reserves for web"),
            ("cpus:5", "db", "is not in the offer"),
            ("gpus:1", "db", "is not in the offer"),
        ],
    )
    def test_what_is_refused(self, wanted: str, role: str, says: str) -> None:
        h = MasterHarness()
        h.agent("cpus:4;mem:400")
        db = subscribe(h, "db")
        (offer,) = h.offers(db)
        accept(h, db, offer, operations.reserve(parse(wanted), role, operation_id="r")[0])
        update = next(e for e in h.framework_inbox[db] if e.HasField("operation_update"))
        assert update.operation_update.state == Update.ERROR
        assert says in update.operation_update.message
        assert offered(h, db) == parse("cpus:4;mem:400")


def reserve_held(h: MasterHarness, agent: int, role: str, text: str) -> str:
    """An operator asks for what an ACCEPT holds."""
    request = next(REQUESTS)
    wanted = tuple(to_proto(parse(text)))
    h.feed(ev.OperatorReserved(request, h.agent_id(agent), role, wanted))
    return "refused" if h.answers.get(request) else "taken"


class TestOperators:
    def test_offers_are_rescinded_for_it(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400")
        web = subscribe(h, "web")
        assert offered(h, web) == parse("cpus:4;mem:400")
        assert reserve(h, agent, "db", "cpus:4") is None
        rescinds = [e.rescind for e in h.framework_inbox[web] if e.HasField("rescind")]
        assert "reservations change" in rescinds[0].reason
        assert offered(h, web) == parse("mem:400")

    def test_nobody_gets_it_while_it_is_written(self) -> None:
        """Found by the simulator: an offer of it was accepted before the write was durable."""
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400")
        web = subscribe(h, "web")
        (offer,) = h.offers(web)
        h.hold_writes = True
        assert reserve_held(h, agent, "db", "cpus:1") == "taken"
        h.accept(web, [offer.offer_id], task(offer, "t", parse("cpus:4")))
        assert h.last(web).state == pb.TASK_DROPPED
        assert offered(h, web) == parse("cpus:3;mem:400")
        h.hold_writes = False
        h.write()
        assert offered(h, web) == parse("cpus:3;mem:400")

    def test_it_is_ended_once(self) -> None:
        """Found by the simulator: two operators unreserved the same."""
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400")
        assert reserve(h, agent, "db", "cpus:1") is None
        h.hold_writes = True
        for request in (901, 902):
            h.feed(ev.OperatorUnreserved(request, h.agent_id(agent), "db", ()))
        h.hold_writes = False
        h.write()
        assert h.answers[901] is None and "nothing" in (h.answers[902] or "")

    def test_not_what_a_task_uses(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400")
        web = subscribe(h, "web")
        h.run(web, text="cpus:3;mem:100")
        assert "neither used" in (reserve(h, agent, "db", "cpus:2") or "")
        assert reserve(h, agent, "db", "cpus:1") is None

    @pytest.mark.parametrize(
        ("role", "text", "says"),
        [
            ("*", "cpus:1", "stands for everybody"),
            ("a b", "cpus:1", "white space"),
            ("db", "cpus(x):1", "carry a reservation"),
            ("db", "", "no resources"),
        ],
    )
    def test_what_is_refused(self, role: str, text: str, says: str) -> None:
        h = MasterHarness()
        assert says in (reserve(h, h.agent(), role, text) or "")

    def test_unreserve(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400")
        assert "nothing" in (unreserve(h, agent, "db") or "")
        assert reserve(h, agent, "db", "cpus:3;mem:100") is None
        assert unreserve(h, agent, "db", "cpus:1") is None
        assert told(h, agent)[-1] == reserve_for(parse("cpus:2;mem:100"), "db", "")
        assert unreserve(h, agent, "db") is None
        assert offered(h, subscribe(h, "web")) == parse("cpus:4;mem:400")

    def test_a_volume_that_there_is_not(self) -> None:
        """The error used to say that a disk of one MiB with the volume was not free."""
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400;disk:1000")
        said = unreserve(h, agent, "db", volume="nope")
        assert said == "the volume 'nope' of db is not there, or a task uses it; no other is free"
        request = next(REQUESTS)
        wanted = [
            pb.Resource(
                name="disk",
                scalar=10,
                disk=pb.Resource.Disk(persistence_id=f"v{number}", container_path="data"),
            )
            for number in range(7)
        ]
        h.feed(ev.OperatorReserved(request, h.agent_id(agent), "db", tuple(wanted)))
        assert h.answers[request] is None
        said = unreserve(h, agent, "db", volume="nope") or ""
        assert said.endswith("free are: 'v0', 'v1', 'v2', 'v3', 'v4', … (7 in all)")

    def test_an_agent_that_is_away(self) -> None:
        h = MasterHarness()
        agent = h.agent()
        h.feed(ev.AgentDisconnected(agent))
        assert "disconnected" in (reserve(h, agent, "db", "cpus:1") or "")
