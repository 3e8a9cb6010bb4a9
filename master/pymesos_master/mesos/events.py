"""Events of our core as events of Mesos' scheduler API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pymesos_core.addresses import HostPort
from pymesos_core.coordination.interface import packed_ip
from pymesos_core.mesos import VERSION
from pymesos_core.mesos.resources import attribute_to_mesos, to_mesos
from pymesos_core.mesos.statuses import NOWHERE, Places, status_to_mesos
from pymesos_master.mesos.frameworks import Format
from pymesos_master.mesos.tasks import NANO
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

Event = mesos_scheduler.Event
AGENT_PATH = "/slave(1)"  # of an agent's endpoints
MOST_NANOSECONDS = 2**63 - 1
MOST_CODE, MOST_SIGNAL = 255, 127  # that a status of waitpid holds
REMOVED = "Framework has been removed"  # all that Mesos says of it
_OPERATIONS = {
    scheduler_pb.Event.OperationUpdate.FINISHED: mesos.OPERATION_FINISHED,
    scheduler_pb.Event.OperationUpdate.ERROR: mesos.OPERATION_ERROR,
    scheduler_pb.Event.OperationUpdate.DROPPED: mesos.OPERATION_DROPPED,
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
) -> Iterable[Event]:
    """Yield what a framework is told; what Mesos has no event for is left out."""
    match event.WhichOneof("event"):
        case "subscribed":
            yield _subscribed(event.subscribed, here)
            yield Event(type=Event.HEARTBEAT)
        case "offers":
            out = Event(type=Event.OFFERS)
            out.offers.offers.extend(
                offer_to_mesos(one, form, places) for one in event.offers.offers
            )
            yield out
        case "rescind":
            out = Event(type=Event.RESCIND)
            out.rescind.offer_id.value = event.rescind.offer_id
            yield out
        case "update":
            out = Event(type=Event.UPDATE)
            out.update.status.CopyFrom(status_to_mesos(event.update.status, places))
            yield out
        case "failure":
            yield _failure(event.failure)
        case "error":
            out = Event(type=Event.ERROR)
            removed = event.error.code == scheduler_pb.Event.Error.FRAMEWORK_REMOVED
            out.error.message = REMOVED if removed else event.error.message
            yield out
        case "heartbeat":
            yield Event(type=Event.HEARTBEAT)
        case "message":
            out = Event(type=Event.MESSAGE)
            out.message.agent_id.value = event.message.agent_id
            out.message.executor_id.value = event.message.executor_id
            out.message.data = event.message.data
            yield out
        case "operation_update":
            yield _operation(event.operation_update)
        case "inverse_offers":
            out = Event(type=Event.INVERSE_OFFERS)
            inverse = event.inverse_offers.inverse_offers
            out.inverse_offers.inverse_offers.extend(
                inverse_offer_to_mesos(one, places) for one in inverse
            )
            yield out
        case "rescind_inverse_offer":
            out = Event(type=Event.RESCIND_INVERSE_OFFER)
            told = event.rescind_inverse_offer
            out.rescind_inverse_offer.inverse_offer_id.value = told.inverse_offer_id
            yield out


def _subscribed(told: scheduler_pb.Event.Subscribed, here: Here) -> Event:
    out = Event(type=Event.SUBSCRIBED)
    out.subscribed.framework_id.value = told.framework_id
    out.subscribed.heartbeat_interval_seconds = told.heartbeat_interval_s
    out.subscribed.master_info.CopyFrom(here.info())
    return out


def offer_to_mesos(offer: pb.Offer, form: Format, places: Places) -> mesos.Offer:
    out = mesos.Offer(hostname=offer.hostname)
    out.id.value = offer.offer_id
    out.framework_id.value = offer.framework_id
    out.agent_id.value = offer.agent_id
    allocated_to = offer.role if form.multi_role else None
    for resource in offer.resources:
        shown = to_mesos(resource, refined=form.refined, allocated_to=allocated_to)
        if shown is not None:
            out.resources.append(shown)
    out.attributes.extend(map(attribute_to_mesos, offer.attributes))
    if (at := places.agent(offer.agent_id)) is not None:  # clients look for the ip
        out.url.CopyFrom(_url(at, offer.hostname))
    for executor_id in places.executors(offer.framework_id, offer.agent_id):
        out.executor_ids.add().value = executor_id
    if allocated_to is not None:
        out.allocation_info.role = allocated_to
    if offer.HasField("unavailability"):
        out.unavailability.CopyFrom(unavailability_to_mesos(offer.unavailability))
    return out


def unavailability_to_mesos(window: pb.Unavailability) -> mesos.Unavailability:
    out = mesos.Unavailability()
    out.start.nanoseconds = _nanoseconds(window.start_s)
    if window.duration_s:
        out.duration.nanoseconds = _nanoseconds(window.duration_s)
    return out


def _url(at: HostPort, hostname: str) -> mesos.URL:
    """Where Mesos would serve of an agent."""
    out = mesos.URL(scheme="http", path=AGENT_PATH)
    out.address.hostname, out.address.ip, out.address.port = hostname, at.host, at.port
    return out


def _nanoseconds(seconds: float) -> int:
    """As far as an int64 goes, which is the year 2262."""
    return min(round(seconds * NANO), MOST_NANOSECONDS)


def inverse_offer_to_mesos(offer: pb.InverseOffer, places: Places) -> mesos.InverseOffer:
    out = mesos.InverseOffer()
    out.id.value = offer.inverse_offer_id
    out.framework_id.value = offer.framework_id
    out.agent_id.value = offer.agent_id
    out.unavailability.CopyFrom(unavailability_to_mesos(offer.unavailability))
    if (at := places.agent(offer.agent_id)) is not None:
        out.url.CopyFrom(_url(at, at.host))
    return out


def _failure(told: scheduler_pb.Event.Failure) -> Event:
    out = Event(type=Event.FAILURE)
    if told.agent_id:
        out.failure.agent_id.value = told.agent_id
    if told.executor_id:
        out.failure.executor_id.value = told.executor_id
    if told.HasField("status"):  # as waitpid has it
        code, signal = min(told.status, MOST_CODE), min(-told.status, MOST_SIGNAL)
        out.failure.status = code << 8 if code >= 0 else signal
    return out


def _operation(told: scheduler_pb.Event.OperationUpdate) -> Event:
    out = Event(type=Event.UPDATE_OPERATION_STATUS)
    status = out.update_operation_status.status
    status.operation_id.value = told.operation_id
    status.state = _OPERATIONS.get(told.state, mesos.OPERATION_UNKNOWN)
    if told.message:
        status.message = told.message
    if told.agent_id:
        status.agent_id.value = told.agent_id
    return out
