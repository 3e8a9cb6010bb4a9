"""What the author of a framework writes: a Scheduler, and the errors that its driver ends with."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pymesos_proto.v1 import scheduler_pb2 as pb
from pymesos_proto.v1 import types_pb2

if TYPE_CHECKING:
    from pymesos_sdk.driver import Driver

log = logging.getLogger(__name__)


class FrameworkError(Exception):
    """The master will not have this framework: the message is its own."""


class FrameworkRemovedError(FrameworkError):
    """The framework is no more: an operator removed it, or it was away for too long."""


class FrameworkDeniedError(FrameworkError):
    """The cluster's policy does not let the framework be in its roles, now or any more.

    It is still known, and its tasks run on for its failover timeout.
    """


class FrameworkSupersededError(FrameworkError):
    """Another with the framework's id has subscribed, later or in a higher epoch."""


class Scheduler:
    """What a framework is told. Override what you need; nothing here may block.

    Every status update is acknowledged when `update` returns, unless the driver was made with
    `acknowledge=False`: then the framework calls `driver.acknowledge(status)` itself.
    """

    def subscribed(self, driver: Driver, framework_id: str) -> None:
        """The framework is subscribed, for the first time or again."""

    def offers(self, driver: Driver, offers: Sequence[types_pb2.Offer]) -> None:
        """Resources are offered. Accept or decline every offer; a held one times out."""
        driver.decline([offer.offer_id for offer in offers])

    def rescinded(self, driver: Driver, offer_id: str) -> None:
        """An offer is no longer valid."""

    def update(self, driver: Driver, status: types_pb2.TaskStatus) -> None:
        """A task is in a new state. The same update may come more than once."""

    def failure(self, driver: Driver, agent_id: str) -> None:
        """An agent is gone or unreachable; updates of its tasks come, too."""

    def executor_lost(
        self, driver: Driver, agent_id: str, executor_id: str, status: int | None
    ) -> None:
        """A custom executor has ended; updates of its tasks come, too."""

    def message(self, driver: Driver, agent_id: str, executor_id: str, data: bytes) -> None:
        """What a custom executor says. Told once: it can be lost."""

    def refused(self, driver: Driver, refused: pb.Event.Refused) -> None:
        """The master did not carry out a call: it was wrong, or is not known to that version."""
        log.warning("the master refused %s: %s", refused.call or "a call", refused.message)

    def operation(self, driver: Driver, update: pb.Event.OperationUpdate) -> None:
        """What became of an operation that had an id. Told once: it can be lost."""

    def policy(self, driver: Driver, document: str, version: int) -> None:
        """The policy by which a framework that serves jobs is to answer; told again when it is
        set."""

    def secret_versions(self, driver: Driver, versions: pb.Event.SecretVersions) -> None:
        """To a framework that serves jobs: at which versions secrets of a role are, all of them
        after it has subscribed, and then each that is set."""

    def drain(self, driver: Driver, drain: pb.Event.Drain) -> None:
        """An operator empties an agent on which the framework has tasks, or may have.

        Nothing of it is offered, and what is left there at `deadline_s` (Unix time) is killed, with
        the reason AGENT_DRAINING: start what replaces it elsewhere, and kill what is there. Told
        again whenever the framework has subscribed; `cancelled`: it is not emptied any more.
        """

    def uses(self, driver: Driver, uses: Sequence[types_pb2.TaskUse]) -> None:
        """What tasks use whose TaskInfo has a `measure`, every few seconds. Told once: it can be
        lost."""

    def inverse_offers(
        self, driver: Driver, inverse_offers: Sequence[types_pb2.InverseOffer]
    ) -> None:
        """Machines with tasks of the framework may be away, at the times that these say.

        Only a framework that declares INVERSE_OFFERS is asked. Accept or decline each; nothing
        follows from it but that operators see it. Windows are told again when it has subscribed.
        """

    def inverse_rescinded(self, driver: Driver, inverse_offer_id: str) -> None:
        """An inverse offer does not count any more: its window has changed, or is no more."""

    def framework_updated(
        self, driver: Driver, info: types_pb2.FrameworkInfo, problem: str
    ) -> None:
        """What `update_framework` said is in force; or the master refused it, for `problem`.

        What is refused is said no more: the framework is, and subscribes as, what it was before.
        """

    def disconnected(self, driver: Driver) -> None:
        """The master is away, and every offer with it. The driver looks for it."""
