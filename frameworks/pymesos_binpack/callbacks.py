"""What masters say, by way of the driver, becomes events of the bin-packing core."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from pymesos_binpack import core as c
from pymesos_core.security.policy import Policy
from pymesos_core.security.policy_file import PolicyError, new_cluster, read_policy
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Scheduler

log = logging.getLogger(__name__)


class Callbacks(Scheduler):
    """Feeds the core one event for each callback of the driver."""

    def __init__(self, feed: Callable[[c.Event], None]) -> None:
        self._feed = feed

    def subscribed(self, driver: Driver, framework_id: str) -> None:
        """See Scheduler."""
        self._feed(c.Subscribed(framework_id))
        if scheduler_pb.TELLS_POLICY not in driver.master_capabilities:
            self._feed(c.PolicyTold(new_cluster()))  # one that has none

    def policy(self, driver: Driver, document: str, version: int) -> None:
        """See Scheduler. What cannot be read, as of a later version, allows nothing."""
        try:
            told = read_policy(document, version)
        except PolicyError as error:
            log.error("the cluster's policy cannot be read (%s): all who ask are denied", error)
            told = Policy(version=version)
        self._feed(c.PolicyTold(told))

    def secret_versions(self, driver: Driver, versions: scheduler_pb.Event.SecretVersions) -> None:
        """See Scheduler."""
        told = tuple((each.name, each.version, each.set_at_s) for each in versions.secrets)
        self._feed(c.SecretsTold(versions.role, told, versions.complete, versions.removed))

    def framework_updated(self, driver: Driver, info: pb.FrameworkInfo, problem: str) -> None:
        """See Scheduler."""
        self._feed(c.RolesAnswered(tuple(info.roles), driver.roles, problem))

    def disconnected(self, driver: Driver) -> None:
        """See Scheduler."""
        self._feed(c.Disconnected())

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        """See Scheduler."""
        self._feed(c.OffersReceived(tuple(offers)))

    def rescinded(self, driver: Driver, offer_id: str) -> None:
        """See Scheduler."""
        self._feed(c.OfferRescinded(offer_id))

    def failure(self, driver: Driver, agent_id: str) -> None:
        """See Scheduler."""
        self._feed(c.AgentLost(agent_id))

    def drain(self, driver: Driver, drain: scheduler_pb.Event.Drain) -> None:
        """See Scheduler."""
        self._feed(c.AgentDraining(drain.agent_id, drain.deadline_s, drain.cancelled))

    def uses(self, driver: Driver, uses: Sequence[pb.TaskUse]) -> None:
        """See Scheduler."""
        self._feed(c.UsesTold(tuple(uses)))

    def inverse_offers(self, driver: Driver, inverse_offers: Sequence[pb.InverseOffer]) -> None:
        """See Scheduler."""
        self._feed(c.InverseOffersReceived(tuple(inverse_offers)))

    def update(self, driver: Driver, status: pb.TaskStatus) -> None:
        """See Scheduler."""
        self._feed(c.TaskUpdated(status))
