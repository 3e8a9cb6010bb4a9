"""Events of our core as events of Mesos' scheduler API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pymesos_core.addresses import HostPort
from pymesos_core.coordination.interface import packed_ip
from pymesos_core.mesos import VERSION
from pymesos_core.mesos.json_messages import Fields, to_object
from pymesos_core.mesos.resources import attribute_fields, resource_fields
from pymesos_core.mesos.statuses import NOWHERE, Places, status_fields
from pymesos_master.mesos.frameworks import Format
from pymesos_master.mesos.tasks import NANO
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

AGENT_PATH = "/slave(1)"  # of an agent's endpoints
MOST_NANOSECONDS = 2**63 - 1
MOST_CODE, MOST_SIGNAL = 255, 127  # that a status of waitpid holds
REMOVED = "Framework has been removed"  # all that Mesos says of it
_OPERATIONS = {
    scheduler_pb.Event.OperationUpdate.FINISHED: "OPERATION_FINISHED",
    scheduler_pb.Event.OperationUpdate.ERROR: "OPERATION_ERROR",
    scheduler_pb.Event.OperationUpdate.DROPPED: "OPERATION_DROPPED",
}


@dataclass(frozen=True)
class Here:
    """This master, as Mesos' clients are told of it."""

    master_id: str
    address: HostPort  # of its listener for Mesos
    hostname: str

    def info(self) -> mesos.MasterInfo:
        """The MasterInfo."""
        kinds = mesos.MasterInfo.Capability
        return mesos.MasterInfo(
            id=self.master_id,
            ip=packed_ip(self.address.host),
            port=self.address.port,
            pid=f"master@{self.address}",
            hostname=self.hostname,
            version=VERSION,
            address=mesos.Address(
                hostname=self.hostname, ip=self.address.host, port=self.address.port
            ),
            capabilities=[
                kinds(type=kinds.AGENT_UPDATE),
                kinds(type=kinds.AGENT_DRAINING),
                kinds(type=kinds.QUOTA_V2),
            ],
        )


def translate(
    event: scheduler_pb.Event, form: Format, here: Here, places: Places = NOWHERE
) -> Iterable[Fields]:
    """Yield what a framework is told, as events are made of; what Mesos has no event for is left
    out."""
    match event.WhichOneof("event"):
        case "subscribed":
            yield {"type": "SUBSCRIBED", "subscribed": _subscribed(event.subscribed, here)}
            yield {"type": "HEARTBEAT"}
        case "offers":
            offers = [offer_fields(one, form, places) for one in event.offers.offers]
            yield {"type": "OFFERS", "offers": {"offers": offers} if offers else {}}
        case "rescind":
            yield {"type": "RESCIND", "rescind": {"offer_id": {"value": event.rescind.offer_id}}}
        case "update":
            status = status_fields(event.update.status, places)
            yield {"type": "UPDATE", "update": {"status": status}}
        case "failure":
            yield {"type": "FAILURE", "failure": _failure(event.failure)}
        case "error":
            removed = event.error.code == scheduler_pb.Event.Error.FRAMEWORK_REMOVED
            message = REMOVED if removed else event.error.message
            yield {"type": "ERROR", "error": {"message": message}}
        case "heartbeat":
            yield {"type": "HEARTBEAT"}
        case "message":
            yield {
                "type": "MESSAGE",
                "message": {
                    "agent_id": {"value": event.message.agent_id},
                    "executor_id": {"value": event.message.executor_id},
                    "data": event.message.data,
                },
            }
        case "operation_update":
            status = _operation(event.operation_update)
            yield {
                "type": "UPDATE_OPERATION_STATUS",
                "update_operation_status": {"status": status},
            }
        case "inverse_offers":
            inverse = event.inverse_offers.inverse_offers
            told = [inverse_offer_fields(one, places) for one in inverse]
            yield {
                "type": "INVERSE_OFFERS",
                "inverse_offers": {"inverse_offers": told} if told else {},
            }
        case "rescind_inverse_offer":
            inverse_offer_id = event.rescind_inverse_offer.inverse_offer_id
            yield {
                "type": "RESCIND_INVERSE_OFFER",
                "rescind_inverse_offer": {"inverse_offer_id": {"value": inverse_offer_id}},
            }


def _subscribed(told: scheduler_pb.Event.Subscribed, here: Here) -> Fields:
    return {
        "framework_id": {"value": told.framework_id},
        "heartbeat_interval_seconds": told.heartbeat_interval_s,
        "master_info": to_object(here.info()),
    }


def offer_to_mesos(offer: pb.Offer, form: Format, places: Places) -> mesos.Offer:
    """Return an offer."""
    return mesos.Offer(**offer_fields(offer, form, places))


def offer_fields(offer: pb.Offer, form: Format, places: Places) -> Fields:
    """Return what an offer is made of."""
    allocated_to = offer.role if form.multi_role else None
    out: Fields = {
        "id": {"value": offer.offer_id},
        "framework_id": {"value": offer.framework_id},
        "agent_id": {"value": offer.agent_id},
        "hostname": offer.hostname,
    }
    resources = [
        fields
        for one in offer.resources
        if (fields := resource_fields(one, refined=form.refined, allocated_to=allocated_to))
    ]
    if resources:
        out["resources"] = resources
    if executor_ids := places.executors(offer.framework_id, offer.agent_id):
        out["executor_ids"] = [{"value": executor_id} for executor_id in executor_ids]
    if offer.attributes:
        out["attributes"] = [attribute_fields(one) for one in offer.attributes]
    if (at := places.agent(offer.agent_id)) is not None:  # clients look for the ip
        out["url"] = _url(at, offer.hostname)
    if offer.HasField("unavailability"):
        out["unavailability"] = _window(offer.unavailability)
    if allocated_to is not None:
        out["allocation_info"] = {"role": allocated_to}
    return out


def unavailability_to_mesos(window: pb.Unavailability) -> mesos.Unavailability:
    """Return when an agent is not there."""
    return mesos.Unavailability(**_window(window))


def _window(window: pb.Unavailability) -> Fields:
    out = {"start": {"nanoseconds": _nanoseconds(window.start_s)}}
    if window.duration_s:
        out["duration"] = {"nanoseconds": _nanoseconds(window.duration_s)}
    return out


def _url(at: HostPort, hostname: str) -> Fields:
    """Where Mesos would serve of an agent."""
    address = {"hostname": hostname, "ip": at.host, "port": at.port}
    return {"scheme": "http", "address": address, "path": AGENT_PATH}


def _nanoseconds(seconds: float) -> int:
    """As far as an int64 goes, which is the year 2262."""
    return min(round(seconds * NANO), MOST_NANOSECONDS)


def inverse_offer_fields(offer: pb.InverseOffer, places: Places) -> Fields:
    """Return what an inverse offer is made of."""
    out: Fields = {"id": {"value": offer.inverse_offer_id}}
    if (at := places.agent(offer.agent_id)) is not None:
        out["url"] = _url(at, at.host)
    out["framework_id"] = {"value": offer.framework_id}
    out["agent_id"] = {"value": offer.agent_id}
    out["unavailability"] = _window(offer.unavailability)
    return out


def _failure(told: scheduler_pb.Event.Failure) -> Fields:
    out: Fields = {}
    if told.agent_id:
        out["agent_id"] = {"value": told.agent_id}
    if told.executor_id:
        out["executor_id"] = {"value": told.executor_id}
    if told.HasField("status"):  # as waitpid has it
        code, signal = min(told.status, MOST_CODE), min(-told.status, MOST_SIGNAL)
        out["status"] = code << 8 if code >= 0 else signal
    return out


def _operation(told: scheduler_pb.Event.OperationUpdate) -> Fields:
    out: Fields = {
        "operation_id": {"value": told.operation_id},
        "state": _OPERATIONS.get(told.state, "OPERATION_UNKNOWN"),
    }
    if told.message:
        out["message"] = told.message
    if told.agent_id:
        out["agent_id"] = {"value": told.agent_id}
    return out
