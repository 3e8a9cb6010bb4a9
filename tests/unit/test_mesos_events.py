"""Events of Mesos' scheduler API, as frameworks of Mesos read them."""

from __future__ import annotations

from typing import Any

from pymesos_core.addresses import HostPort
from pymesos_core.contract_rules import MAX_TIME_S
from pymesos_core.mesos.json_messages import fields_to_json, to_json, to_object
from pymesos_core.mesos.statuses import NOWHERE, Places
from pymesos_master.mesos.events import Here, translate
from pymesos_master.mesos.frameworks import Format, fixed_problem
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

HERE = Here("id", HostPort("127.0.0.1", 5050), "host")


# Events.


OLD = Format()


def said_of(
    event: scheduler_pb.Event, form: Format = OLD, places: Places = NOWHERE
) -> list[mesos_scheduler.Event]:
    """What a framework is told; that it is the same in both encodings is looked at besides."""
    out = []
    for fields in translate(event, form, HERE, places):
        out.append(mesos_scheduler.Event(**fields))
        assert fields_to_json(fields) == to_json(out[-1])
    return out


def told(event: scheduler_pb.Event, form: Format = OLD) -> list[dict[str, Any]]:
    return [to_object(one) for one in said_of(event, form)]


def status_of(**said: Any) -> dict[str, Any]:
    update = scheduler_pb.Event.Update(status=pb.TaskStatus(task_id="t", agent_id="a", **said))
    (event,) = told(scheduler_pb.Event(update=update))
    found: dict[str, Any] = event["update"]["status"]
    return found


def test_a_subscription_begins_with_a_heartbeat() -> None:
    subscribed = scheduler_pb.Event.Subscribed(framework_id="f", heartbeat_interval_s=15)
    first, second = told(scheduler_pb.Event(subscribed=subscribed))
    assert second == {"type": "HEARTBEAT"}
    master = first["subscribed"]["master_info"]
    assert (master["ip"], master["port"], master["version"]) == (16777343, 5050, "1.12.0")
    assert master["pid"] == "master@127.0.0.1:5050"


def test_a_command_has_the_executor_that_mesos_would_have_made() -> None:
    by_agent = status_of(
        state=pb.TASK_FAILED,
        source=pb.SOURCE_AGENT,
        reason=pb.REASON_MAX_COMPLETION_TIME_REACHED,
        uuid=b"u" * 16,
    )
    assert by_agent["source"] == "SOURCE_EXECUTOR"
    assert by_agent["executor_id"] == {"value": "t"}
    by_master = status_of(
        state=pb.TASK_DROPPED, source=pb.SOURCE_MASTER, reason=pb.REASON_INVALID_OFFERS
    )
    assert by_master["source"] == "SOURCE_MASTER"
    assert "executor_id" not in by_master and "uuid" not in by_master
    unknown = status_of(
        state=pb.TASK_UNKNOWN, source=pb.SOURCE_MASTER, reason=pb.REASON_RECONCILIATION
    )
    assert "container_status" not in unknown, "where nothing is known of one"


def test_every_state_and_reason_has_its_name() -> None:
    for name, number in pb.TaskState.items():
        if number:
            assert status_of(state=number)["state"] == name
    for name, number in pb.Reason.items():
        said = status_of(state=pb.TASK_FAILED, reason=number).get("reason")
        ours = ("REASON_UNSPECIFIED", "REASON_AGENT_DISK_FULL", "REASON_CONFIG_CHANGED")
        ours_alone = name in ours
        # Mesos' agents say of what runs on revocable resources that it was preempted.
        theirs = name.replace("RESOURCES_REVOKED", "CONTAINER_PREEMPTED")
        assert said == (None if ours_alone else theirs)


def test_an_exit_status_is_what_waitpid_says() -> None:
    least, most = -(2**31), 2**31 - 1
    for code, expected in ((3, 768), (-9, 9), (0, 0), (255, 65280), (most, 65280), (least, 127)):
        failure = scheduler_pb.Event.Failure(agent_id="a", executor_id="e", status=code)
        (event,) = told(scheduler_pb.Event(failure=failure))
        assert event["failure"]["status"] == expected


def test_offers_are_written_as_the_framework_wants_them() -> None:
    offer = pb.Offer(offer_id="o", framework_id="f", agent_id="a", hostname="h", role="dev")
    offer.resources.add(name="cpus", scalar=1).reservations.add(role="dev")
    offer.resources.add(name="mem", scalar=2)
    event = scheduler_pb.Event(offers=scheduler_pb.Event.Offers(offers=[offer]))
    old = told(event)[0]["offers"]["offers"][0]
    assert [one.get("role") for one in old["resources"]] == ["dev", "*"]
    assert "allocation_info" not in old and "reservation" in old["resources"][0]
    new = told(event, Format(refined=True, multi_role=True))[0]["offers"]["offers"][0]
    assert new["allocation_info"] == {"role": "dev"}
    assert new["resources"][0]["reservations"] == [{"role": "dev", "type": "DYNAMIC"}]
    assert "role" not in new["resources"][1]


def test_an_offer_says_where_its_agent_is() -> None:
    offer = pb.Offer(offer_id="o", framework_id="f", agent_id="a", hostname="h", role="*")
    event = scheduler_pb.Event(offers=scheduler_pb.Event.Offers(offers=[offer]))
    places = Places(agent=lambda agent_id: HostPort("10.0.0.3", 5051) if agent_id == "a" else None)
    (out,) = said_of(event, OLD, places)
    assert to_object(out.offers.offers[0].url) == {
        "scheme": "http",
        "address": {"hostname": "h", "ip": "10.0.0.3", "port": 5051},
        "path": "/slave(1)",
    }


def test_an_offer_names_the_executors_that_its_framework_has_there() -> None:
    offer = pb.Offer(offer_id="o", framework_id="f", agent_id="a", hostname="h", role="*")
    event = scheduler_pb.Event(offers=scheduler_pb.Event.Offers(offers=[offer]))
    there = {("f", "a"): ["e1", "e2"]}
    places = Places(executors=lambda framework_id, agent_id: there[framework_id, agent_id])
    (out,) = said_of(event, OLD, places)
    assert [one.value for one in out.offers.offers[0].executor_ids] == ["e1", "e2"]


def test_maintenance_beyond_what_mesos_can_say_is_its_last_moment() -> None:
    window = pb.Unavailability(start_s=MAX_TIME_S, duration_s=MAX_TIME_S)
    common: dict[str, Any] = {"framework_id": "f", "agent_id": "a", "unavailability": window}
    offer = pb.Offer(offer_id="o", hostname="h", role="*", **common)
    inverse = pb.InverseOffer(inverse_offer_id="i", **common)
    for event in (
        scheduler_pb.Event(offers=scheduler_pb.Event.Offers(offers=[offer])),
        scheduler_pb.Event(
            inverse_offers=scheduler_pb.Event.InverseOffers(inverse_offers=[inverse])
        ),
    ):
        (out,) = said_of(event)
        (one,) = out.offers.offers or out.inverse_offers.inverse_offers
        last = mesos.Unavailability(
            start={"nanoseconds": 2**63 - 1}, duration={"nanoseconds": 2**63 - 1}
        )
        assert one.unavailability == last


def test_what_mesos_has_no_event_for_is_left_out() -> None:
    for event in (
        scheduler_pb.Event(refused=scheduler_pb.Event.Refused(message="m")),
        scheduler_pb.Event(policy=scheduler_pb.Event.Policy(document="d")),
        scheduler_pb.Event(set_revoked=scheduler_pb.Event.SetRevoked()),
        scheduler_pb.Event(drain=scheduler_pb.Event.Drain(agent_id="a")),
        scheduler_pb.Event(framework_updated=scheduler_pb.Event.FrameworkUpdated()),
        scheduler_pb.Event(),
    ):
        assert told(event) == []


def test_a_removed_framework_is_told_so_in_the_words_of_mesos() -> None:
    code = scheduler_pb.Event.Error.FRAMEWORK_REMOVED
    error = scheduler_pb.Event.Error(message="Framework has been removed: by x", code=code)
    (event,) = told(scheduler_pb.Event(error=error))
    assert event["error"]["message"] == "Framework has been removed"


def test_what_an_update_may_not_change_is_said_as_mesos_says_it() -> None:
    known = pb.FrameworkInfo(user="root", name="a")
    assert fixed_problem(known, pb.FrameworkInfo(user="root", name="b")) is None
    told = fixed_problem(known, pb.FrameworkInfo(user="root", checkpoint=True))
    assert told == (
        "Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update from 'false' to"
        " 'true'"
    )
    assert "from 'root' to 'x'" in (fixed_problem(known, pb.FrameworkInfo(user="x")) or "")
