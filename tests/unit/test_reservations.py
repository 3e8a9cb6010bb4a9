"""Reservations, volumes, offer constraints and optimistic offers, through the master core."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from pymesos_core import resources
from pymesos_core.caller import Caller, Method
from pymesos_core.reservations import reserve_for
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import Resources, from_proto, parse, to_proto
from pymesos_master.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import operations
from pymesos_testing.master_harness import MasterHarness, registering

Update = scheduler_pb.Event.OperationUpdate
REQUESTS = itertools.count(1)


def subscribe(h: MasterHarness, role: str, *capabilities: pb.FrameworkCapability) -> int:
    return h.subscribe(roles=[role], name=role, capabilities=(pb.PARTITION_AWARE, *capabilities))


def accept(
    h: MasterHarness,
    framework: int,
    offer: pb.Offer,
    *made: scheduler_pb.Operation,
    tasks: Iterable[pb.TaskInfo] = (),
) -> None:
    launch = scheduler_pb.Operation(launch=scheduler_pb.Operation.Launch(task_infos=tasks))
    call = scheduler_pb.Call.Accept(
        offer_ids=[offer.offer_id],
        operations=[*made, launch],
        filters=scheduler_pb.Filters(refuse_seconds=0),
    )
    h.call(framework, accept=call)


def task(offer: pb.Offer, task_id: str, needed: Resources) -> pb.TaskInfo:
    return pb.TaskInfo(
        task_id=task_id,
        agent_id=offer.agent_id,
        resources=to_proto(needed),
        command=pb.CommandInfo(shell=True, value="true"),
    )


def told(h: MasterHarness, agent: int) -> list[Resources]:
    """What the agent was told is reserved, each time."""
    return [
        from_proto(m.set_reserved.reserved)
        for m in h.agent_inbox[agent]
        if m.HasField("set_reserved")
    ]


def outcomes(h: MasterHarness, framework: int) -> list[tuple[str, int]]:
    return [
        (e.operation_update.operation_id, e.operation_update.state)
        for e in h.framework_inbox[framework]
        if e.HasField("operation_update")
    ]


def offered(h: MasterHarness, framework: int) -> Resources:
    return resources.total(from_proto(offer.resources) for offer in h.offers(framework))


def reserve(h: MasterHarness, agent: int, role: str, text: str) -> str | None:
    request = next(REQUESTS)
    wanted = tuple(to_proto(parse(text)))
    h.feed(ev.OperatorReserved(request, h.agent_id(agent), role, wanted))
    return h.answers[request]


def unreserve(
    h: MasterHarness, agent: int, role: str, text: str = "", volume: str = ""
) -> str | None:
    request = next(REQUESTS)
    wanted = to_proto(parse(text))
    if volume:
        disk = pb.Resource.Disk(persistence_id=volume, container_path="data")
        wanted.append(pb.Resource(name="disk", scalar=500, disk=disk))
    h.feed(ev.OperatorUnreserved(request, h.agent_id(agent), role, tuple(wanted)))
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


class TestVolumes:
    def created(
        self, *, shared: bool = False
    ) -> tuple[MasterHarness, int, int, Resources, Resources]:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:400;disk:1000")
        db = subscribe(h, "db", *([pb.SHARED_RESOURCES] if shared else []))
        (offer,) = h.offers(db)
        reserving, disk = operations.reserve(parse("disk:500"), "db")
        creating, volume = operations.create(disk, "data", "db", shared=shared, operation_id="c")
        needed = parse("cpus:1;mem:100") + volume
        accept(h, db, offer, reserving, creating, tasks=[task(offer, "t", needed)])
        assert outcomes(h, db) == [("c", Update.FINISHED)]
        assert h.launched(agent) == ["t"]
        return h, agent, db, volume, needed

    def test_a_database_finds_its_data_again(self) -> None:
        h, agent, db, volume, needed = self.created()
        assert not offered(h, db).contains(volume), "it is in use"
        h.update(agent, h.framework_id(db), "t", pb.TASK_FAILED)
        h.decline(db, [o.offer_id for o in h.offers(db)], 0)
        assert offered(h, db).contains(volume)
        (offer,) = h.offers(db)
        h.accept(db, [offer.offer_id], task(offer, "t2", needed))
        assert h.launched(agent) == ["t", "t2"]

    def test_a_part_of_a_volume_cannot_be_used(self) -> None:
        h, agent, db, volume, _ = self.created()
        h.update(agent, h.framework_id(db), "t", pb.TASK_FAILED)
        (offer,) = h.offers(db)
        (tag,) = volume.tagged
        part = parse("cpus:1") + Resources(tagged={tag: parse("disk:100")})
        h.accept(db, [offer.offer_id], task(offer, "t2", part))
        assert h.last(db).state == pb.TASK_ERROR

    def test_it_is_destroyed_when_nobody_uses_it(self) -> None:
        h, agent, db, volume, _ = self.created()
        assert "or a task uses it" in (unreserve(h, agent, "db", volume="data") or "")
        h.update(agent, h.framework_id(db), "t", pb.TASK_FAILED)
        (offer,) = h.offers(db)
        accept(h, db, offer, operations.destroy(volume, "d")[0])
        assert outcomes(h, db)[-1] == ("d", Update.FINISHED)
        assert not offered(h, db).contains(volume)
        assert told(h, agent)[-1] == reserve_for(parse("disk:500"), "db", "")

    def test_it_is_made_larger_and_smaller(self) -> None:
        h, agent, db, volume, _ = self.created()
        h.update(agent, h.framework_id(db), "t", pb.TASK_FAILED)
        (offer,) = h.offers(db)
        reserving, more = operations.reserve(parse("disk:100"), "db")
        growing, larger = operations.grow(volume, more, "g")
        accept(h, db, offer, reserving, growing)
        assert outcomes(h, db)[-1] == ("g", Update.FINISHED)
        assert larger.amounts() == parse("disk:600").amounts()
        assert offered(h, db).contains(larger) and told(h, agent)[-1] == larger
        (offer,) = h.offers(db)
        _, less = operations.reserve(parse("disk:200"), "db")
        shrinking, given = operations.shrink(larger, less, "s")
        accept(h, db, offer, shrinking)
        assert outcomes(h, db)[-1] == ("s", Update.FINISHED)
        (tag,) = volume.tagged
        assert given == Resources(tagged={tag: parse("disk:400")}) + less
        assert offered(h, db).contains(given) and told(h, agent)[-1] == given

    def test_what_is_no_resizing_is_refused(self) -> None:
        h, agent, db, volume, _ = self.created()
        h.update(agent, h.framework_id(db), "t", pb.TASK_FAILED)
        (other,) = reserve_for(parse("disk:10"), "web", "").tagged
        of_another = Resources(tagged={other: parse("disk:10")})
        for part, says in (
            (parse("disk:10"), "has not the reservation of the volume"),
            (of_another, "has not the reservation of the volume"),
            (reserve_for(parse("cpus:1"), "db", ""), "more or less than one volume"),
            (reserve_for(parse("disk:500"), "db", ""), "is not less than the volume"),
        ):
            (offer,) = h.offers(db)
            shrink = scheduler_pb.Operation.ShrinkVolume(
                volume=to_proto(volume)[0], subtraction=to_proto(part)[0]
            )
            accept(h, db, offer, scheduler_pb.Operation(id="s", shrink_volume=shrink))
            assert outcomes(h, db)[-1] == ("s", Update.ERROR)
            said = [e for e in h.framework_inbox[db] if e.HasField("operation_update")][-1]
            assert says in said.operation_update.message
            h.advance(10)
        assert offered(h, db).contains(volume)

    @pytest.mark.parametrize("kind", ["grow", "shrink"])
    def test_what_overlaps_is_refused(self, kind: str) -> None:
        h, agent, db, volume, _ = self.created()
        h.update(agent, h.framework_id(db), "t", pb.TASK_FAILED)
        of_volume, of_disk = to_proto(volume)[0], reserve_for(parse("disk:10"), "db", "")
        part = to_proto(of_disk)[0]
        for one in (of_volume, part):
            one.set.item.append("sda")
        (offer,) = h.offers(db)
        grow = scheduler_pb.Operation.GrowVolume(volume=of_volume, addition=part)
        shrink = scheduler_pb.Operation.ShrinkVolume(volume=of_volume, subtraction=part)
        accept(
            h,
            db,
            offer,
            scheduler_pb.Operation(id="o", grow_volume=grow)
            if kind == "grow"
            else scheduler_pb.Operation(id="o", shrink_volume=shrink),
        )
        assert outcomes(h, db)[-1] == ("o", Update.ERROR)
        assert offered(h, db).contains(volume)

    def test_one_that_is_held_at_its_size_keeps_it(self) -> None:
        h, agent, db, volume, _ = self.created()
        h.update(agent, h.framework_id(db), "t", pb.TASK_FAILED)
        h.core.state.agents[h.agent_id(agent)].info.isolation["process volumes"] = "ext4"
        (offer,) = h.offers(db)
        shrinking, _ = operations.shrink(volume, reserve_for(parse("disk:10"), "db", ""), "s")
        accept(h, db, offer, shrinking)
        assert outcomes(h, db)[-1] == ("s", Update.ERROR)

    def test_a_shared_one_keeps_its_size(self) -> None:
        _, _, _, volume, _ = self.created(shared=True)
        with pytest.raises(ResourceError, match="shared volume"):
            operations.grow(volume, reserve_for(parse("disk:10"), "db", ""))

    def test_an_operator_destroys_what_is_named(self) -> None:
        h, agent, db, _, _ = self.created()
        h.update(agent, h.framework_id(db), "t", pb.TASK_FAILED)
        assert "name each" in (unreserve(h, agent, "db") or "")
        assert unreserve(h, agent, "db", volume="data") is None
        assert told(h, agent)[-1] == resources.EMPTY

    def test_a_shared_one_is_used_by_several_and_not_destroyed_meanwhile(self) -> None:
        h, agent, db, volume, needed = self.created(shared=True)
        assert offered(h, db).contains(volume)
        (offer,) = h.offers(db)
        h.accept(db, [offer.offer_id], task(offer, "t2", needed), task(offer, "t3", needed))
        assert h.launched(agent) == ["t", "t2", "t3"]
        (offer,) = h.offers(db)
        accept(h, db, offer, operations.destroy(volume, "d")[0])
        assert outcomes(h, db)[-1] == ("d", Update.ERROR)

    def test_two_destroy_a_shared_one_at_a_time(self) -> None:
        h, agent, db, volume, _ = self.created(shared=True)
        h.update(agent, h.framework_id(db), "t", pb.TASK_FAILED)
        h.decline(db, [o.offer_id for o in h.offers(db)], 0)
        other = subscribe(h, "db", pb.SHARED_RESOURCES)
        (offer,) = h.offers(db)
        h.hold_writes = True
        destroying = [operations.destroy(volume, name)[0] for name in ("d", "again")]
        accept(h, db, offer, *destroying)
        h.hold_writes = False
        h.write()
        assert outcomes(h, db)[-2:] == [("d", Update.FINISHED), ("again", Update.ERROR)]
        assert not offered(h, other).contains(volume)

    def test_two_of_one_id_in_one_accept(self) -> None:
        h = MasterHarness()
        h.agent("cpus:4;mem:400;disk:1000")
        db = subscribe(h, "db")
        (offer,) = h.offers(db)
        reserving, disk = operations.reserve(parse("disk:500"), "db")
        half = Resources(tagged={tag: parse("disk:250") for tag in disk.tagged})
        one, _ = operations.create(half, "data", "a", operation_id="one")
        two, _ = operations.create(half, "data", "b", operation_id="two")
        accept(h, db, offer, reserving, one, two)
        assert outcomes(h, db) == [("one", Update.FINISHED), ("two", Update.ERROR)]

    def test_it_is_shown_to_those_who_can_share_only(self) -> None:
        h, _, db, volume, _ = self.created(shared=True)
        h.decline(db, [o.offer_id for o in h.offers(db)], 1e6)
        assert not offered(h, subscribe(h, "db")).contains(volume)

    def test_an_id_is_given_once(self) -> None:
        h, _, db, _, _ = self.created()
        (offer,) = h.offers(db)
        reserving, disk = operations.reserve(parse("disk:100"), "db")
        creating, _ = operations.create(disk, "data", "elsewhere", operation_id="again")
        accept(h, db, offer, reserving, creating)
        assert outcomes(h, db)[-1] == ("again", Update.ERROR)


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


class TestCapabilities:
    def test_gpus_are_for_those_who_declare_them(self) -> None:
        h = MasterHarness()
        h.agent("cpus:4;mem:400;gpus#0:1;gpus#1:1")
        assert not h.offers(subscribe(h, "plain"))
        gpu = subscribe(h, "gpu", pb.GPU_RESOURCES)
        (offer,) = h.offers(gpu)
        half = parse("cpus:1;gpus#0:0.5")
        h.accept(gpu, [offer.offer_id], task(offer, "a", half), task(offer, "b", half))
        (offer,) = h.offers(gpu)
        assert from_proto(offer.resources) == parse("cpus:2;mem:400;gpus#1:1")

    def test_revocable(self) -> None:
        h = MasterHarness()
        h.agent("cpus:1;mem:100;cpus{REV}:3")
        assert offered(h, subscribe(h, "plain")) == parse("cpus:1;mem:100")
        taker = subscribe(h, "other", pb.REVOCABLE_RESOURCES)
        assert offered(h, taker) == parse("cpus{REV}:3")


def constrained(h: MasterHarness, *constraints: scheduler_pb.AttributeConstraint) -> int:
    info = pb.FrameworkInfo(name="f", capabilities=[pb.PARTITION_AWARE])
    group = scheduler_pb.OfferConstraints.Group(constraints=constraints)
    subscribing = scheduler_pb.Call.Subscribe(
        framework_info=info, offer_constraints={"*": scheduler_pb.OfferConstraints(groups=[group])}
    )
    h.feed(ev.FrameworkSubscribing(900, subscribing))
    return 900


class TestConstraints:
    def agents(self) -> MasterHarness:
        h = MasterHarness()
        for number, attributes in enumerate([{"rack": "r1"}, {"rack": "r2"}, {}]):
            info = pb.AgentInfo(
                agent_id=f"a{number}",
                address=pb.Address(hostname=f"h{number}", ip="127.0.0.1", port=number + 1),
                resources=to_proto(parse("cpus:1;mem:100")),
                attributes=[pb.Attribute(name=n, text=t) for n, t in attributes.items()],
            )
            h.feed(ev.AgentRegistering(100 + number, info, "i"))
        return h

    @pytest.mark.parametrize(
        ("constraint", "agents"),
        [
            ({"attribute": "rack", "exists": {}}, {"a0", "a1"}),
            ({"attribute": "rack", "not_exists": {}}, {"a2"}),
            ({"attribute": "rack", "text_equals": "r1"}, {"a0"}),
            ({"attribute": "rack", "text_not_equals": "r1"}, {"a1", "a2"}),
            ({"attribute": "hostname", "text_equals": "h2"}, {"a2"}),
            ({"attribute": "hostname", "text_matches": "h[01]"}, {"a0", "a1"}),
            ({"attribute": "rack", "text_matches": "r"}, set()),
            ({"attribute": "rack", "text_not_matches": "r[1-9]"}, {"a2"}),
        ],
    )
    def test_predicates(self, constraint: dict[str, object], agents: set[str]) -> None:
        h = self.agents()
        framework = constrained(h, scheduler_pb.AttributeConstraint(**constraint))  # type: ignore[arg-type]
        assert {offer.agent_id for offer in h.offers(framework)} == agents

    def test_what_they_leave_is_offered_to_others(self) -> None:
        h = self.agents()
        constrained(h, scheduler_pb.AttributeConstraint(attribute="rack", text_equals="r1"))
        assert {offer.agent_id for offer in h.offers(h.subscribe())} == {"a1", "a2"}

    def test_one_without_a_predicate_is_refused(self) -> None:
        h = self.agents()
        framework = constrained(h, scheduler_pb.AttributeConstraint(attribute="rack"))
        assert "has no predicate" in h.errors(framework)[0]

    @pytest.mark.parametrize(
        ("pattern", "says"),
        [
            ("(", "missing )"),
            ("(?=a)", "not a regular expression of RE2"),
            ("[a-z]{90}x{90}", "too complex"),
            ("x" * 2000, "more than 1024 bytes"),
        ],
    )
    def test_a_pattern_that_cannot_be_is_refused(self, pattern: str, says: str) -> None:
        h = self.agents()
        constraint = scheduler_pb.AttributeConstraint(attribute="rack", text_matches=pattern)
        assert says in h.errors(constrained(h, constraint))[0]


def optimistic(h: MasterHarness) -> int:
    info = pb.FrameworkInfo(name="o", capabilities=[pb.PARTITION_AWARE])
    subscribing = scheduler_pb.Call.Subscribe(framework_info=info, optimistic_roles=["*"])
    h.feed(ev.FrameworkSubscribing(901, subscribing))
    return 901


class TestOptimisticOffers:
    def test_a_copy_is_shown_and_wins(self) -> None:
        h = MasterHarness()
        plain, second = h.subscribe(), optimistic(h)
        agents = [h.agent("cpus:4;mem:400") for _ in range(2)]
        mine = h.offers(second)
        assert len(mine) == 2 and len(h.offers(plain)) == 1
        (copy,) = [offer for offer in mine if offer.optimistic]
        h.accept(second, [copy.offer_id], task(copy, "t", parse("cpus:1;mem:100")))
        assert sum(len(h.launched(agent)) for agent in agents) == 1
        (rescind,) = [e.rescind for e in h.framework_inbox[plain] if e.HasField("rescind")]
        assert rescind.reason == "accepted by another framework"
        assert h.core.state.frameworks[h.framework_id(plain)].offer_conflicts == 1
        assert h.core.allocator.held("*")["cpus"] <= 8000

    def test_the_owner_wins(self) -> None:
        h = MasterHarness()
        plain, second = h.subscribe(), optimistic(h)
        for _ in range(2):
            h.agent("cpus:4;mem:400")
        (copy,) = [offer for offer in h.offers(second) if offer.optimistic]
        (mine,) = h.offers(plain)
        h.accept(plain, [mine.offer_id], task(mine, "t", parse("cpus:4;mem:400")))
        h.accept(second, [copy.offer_id], task(copy, "u", parse("cpus:1;mem:100")))
        assert h.last(second).state == pb.TASK_DROPPED
        assert h.core.state.frameworks[h.framework_id(second)].offer_conflicts == 1

    def test_a_copy_goes_with_its_offer(self) -> None:
        h = MasterHarness()
        plain, second = h.subscribe(), optimistic(h)
        for _ in range(2):
            h.agent("cpus:4;mem:400")
        (copy,) = [offer for offer in h.offers(second) if offer.optimistic]
        h.decline(plain, [o.offer_id for o in h.offers(plain)], 1e6)
        assert copy.offer_id not in h.core.state.offers
        assert h.core.state.frameworks[h.framework_id(second)].offer_conflicts == 0

    def test_a_declined_copy_is_not_shown_again(self) -> None:
        h = MasterHarness()
        plain, second = h.subscribe(), optimistic(h)
        for _ in range(2):
            h.agent("cpus:4;mem:400")
        (copy,) = [offer for offer in h.offers(second) if offer.optimistic]
        h.decline(second, [copy.offer_id], 1e6)
        h.decline(plain, [o.offer_id for o in h.offers(plain)], 0)
        h.advance(0.01)
        assert not [offer for offer in h.offers(second) if offer.optimistic]

    def test_nobody_else_sees_copies(self) -> None:
        h = MasterHarness()
        first, second = h.subscribe(), h.subscribe()
        h.agent("cpus:4;mem:400")
        assert len(h.offers(first)) + len(h.offers(second)) == 1
