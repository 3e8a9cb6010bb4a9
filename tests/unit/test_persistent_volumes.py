"""Persistent volumes, through the master core."""

from __future__ import annotations

import pytest

from pymesos_core import resources
from pymesos_core.reservations import reserve_for
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import Resources, parse, to_proto
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import operations
from pymesos_testing.master_harness import MasterHarness
from pymesos_testing.reserving import (
    Update,
    accept,
    offered,
    outcomes,
    subscribe,
    task,
    told,
    unreserve,
)


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
