"""Callers to whom the policy gives little see and get what their rules say, and no more.

Nothing of it is taken on trust: what they are told is held against the roles that the registry has
for each framework, and what they ask for and may not have must be denied.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.following import leader_of
from pymesos_core.resources import parse, to_proto
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.desk import PATIENCE_S, WATCH_EVENTS
from pymesos_simulation.frameworks import DriverNode
from pymesos_simulation.masters import MasterNode
from pymesos_simulation.network import Network
from pymesos_simulation.people import Person
from pymesos_simulation.world import World

SEEN = "eng"  # with what is below it: all that the snoop may read
POLICY = f"""\
allow:
- who: [operator/root, operator/desk, operator/editor, operator/setter, operator/keeper]
  do: ["*"]
  role: "**"
- who: [framework/framework*, framework/rude*]
  do: [subscribe, serve, launch, reserve]
  role: "**"
  as: {{user: ["*"]}}
- {{who: operator/snoop, do: [read], role: "{SEEN}/**"}}
"""
LODGER = "- {who: framework/lodger, do: [subscribe], role: ops}\n"
ROOT = Caller("operator/root", Method.CERT)
Roles = Callable[[str], Sequence[str]]  # of a framework, by its id


def policy(number: int) -> str:
    """One of many that mean the same to those who are there, but for the lodger."""
    more = f"- {{who: operator/nobody-{number}, do: [read], role: ops}}\n"
    return f"{POLICY}{LODGER if number % 3 else ''}{more}"


def is_seen(role: str) -> bool:
    """Whether the snoop may read a role."""
    return role == SEEN or role.startswith(f"{SEEN}/")


class Snoop(Person):
    """An operator who may read some roles, and tries what he may not."""

    def __init__(
        self, world: World, network: Network, masters: Sequence[MasterNode], roles: Roles
    ) -> None:
        super().__init__(world, "snoop", network)
        self._masters = masters
        self._roles = roles
        self._tasks: list[tuple[str, str]] = []

    def on_start(self) -> None:
        self.spawn(self._follow())
        self.spawn(self._try())

    def _check(self, what: str, framework_id: str) -> None:
        roles = self._roles(framework_id)
        with self.world.fatal():
            assert any(map(is_seen, roles)), f"{what} of {roles} is shown to {self.principal}"
        self.world.counts["snooped"] += 1

    async def _follow(self) -> None:
        """Watch whichever master leads."""
        address: HostPort | None = None
        while True:
            stream = self._channel(address or self._any_master()).stream(WATCH_EVENTS)
            address = None
            try:
                await stream.write(pb.WatchEventsRequest())
                await stream.done_writing()
                while (batch := await stream.read()) is not None:
                    for event in batch.event:
                        kind = pb.ClusterEvent.Kind.Name(event.kind)
                        if event.framework_id:
                            self._check(kind, event.framework_id)
                        elif kind in ("QUOTA_SET", "WEIGHT_SET"):
                            with self.world.fatal():
                                role = event.message.partition(":")[0]
                                assert is_seen(role), f"{kind} of {role} is shown to the snoop"
            except CallError as error:
                address = leader_of(error)
                self._check_error(error)
            finally:
                stream.cancel()
            await self._pause()

    async def _try(self) -> None:
        """Look at all, and do what only others may."""
        while True:
            await self._pause()
            try:
                await self._look()
                await self._meddle()
            except CallError as error:
                self._check_error(error)
            except TimeoutError:
                pass

    async def _look(self) -> None:
        frameworks = await self._ask("ListFrameworks", pb.ListFrameworksRequest())
        for framework in frameworks.frameworks if frameworks else ():
            self._check("a framework", framework.info.framework_id)
        tasks = await self._ask("ListTasks", pb.ListTasksRequest(include_completed=True))
        for task in tasks.tasks if tasks else ():
            self._check("a task", task.framework_id)
            with self.world.fatal():
                values = [v.value for v in task.task_info.command.environment]
                assert not any(values), f"the snoop sees the environment of {task.task_info}"
        self._tasks = [(t.framework_id, t.task_info.task_id) for t in tasks.tasks] if tasks else []
        offers = await self._ask("ListOffers", pb.ListOffersRequest())
        for offer in offers.offers if offers else ():
            self._check("an offer", offer.offer.framework_id)

    async def _meddle(self) -> None:
        """Each of these has to be denied, whoever leads, and whatever else happens."""
        framework_id, task_id = self._tasks[0] if self._tasks else ("f", "t")
        for path, request in (
            ("KillTask", pb.KillTaskRequest(framework_id=framework_id, task_id=task_id)),
            ("TeardownFramework", pb.TeardownFrameworkRequest(framework_id=framework_id)),
            ("SetWeight", pb.SetWeightRequest(role=SEEN, weight=3.0)),
            ("SetPolicy", pb.SetPolicyRequest(document=POLICY)),
            ("GetPolicy", pb.GetPolicyRequest()),
            ("ListQuarantinedRecords", pb.ListQuarantinedRecordsRequest()),
        ):
            try:
                answer = await self._ask(path, request)
            except CallError as error:
                self._check_error(error, Code.PERMISSION_DENIED)
                continue
            with self.world.fatal():
                assert answer is None, f"{path} of the snoop is answered"

    async def _ask(self, path: str, request: object) -> Any | None:
        """The answer of whichever master leads. Raises CallError, TimeoutError."""
        at: HostPort | None = self._any_master()
        while at is not None:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return await self._channel(at).call(f"/pymesos.v1.Operator/{path}", request)
            except CallError as error:
                at = leader_of(error)
                if at is None:
                    raise
        return None

    def _check_error(self, error: CallError, *more: Code) -> None:
        """What may befall anybody; of what he may do nothing is denied."""
        usual = (Code.UNAVAILABLE, Code.ABORTED, Code.CANCELLED, Code.FAILED_PRECONDITION)
        if error.code not in (*usual, *more):
            self.world.fail(error)
        self.world.counts["denied"] += error.code == Code.PERMISSION_DENIED

    def _any_master(self) -> HostPort:
        return self.world.aside.choice(self._masters).address

    async def _pause(self) -> None:
        await asyncio.sleep(self.world.aside.uniform(0.5, 10))


class Stranger(DriverNode):
    """A framework that no rule names. It comes again and again, and is never offered anything."""

    def __init__(self, world: World, name: str, coordinator: Coordinator, network: Network) -> None:
        super().__init__(world, name, coordinator, network)
        self._task_ids = itertools.count()

    def make_info(self) -> types_pb2.FrameworkInfo:
        return types_pb2.FrameworkInfo(
            name=self.name, roles=["ops"], capabilities=[types_pb2.PARTITION_AWARE]
        )

    def on_offers(self, offers: Sequence[types_pb2.Offer]) -> None:
        self.world.fail(AssertionError(f"{self.principal} is offered {len(offers)} offers"))

    def on_fail(self, message: str) -> None:
        self.world.counts["denied"] += 1
        with self.world.fatal():
            assert "may not subscribe in the role ops" in message, f"{self.name}: {message}"

    def on_crash(self) -> None:
        super().on_crash()
        self.world.at(self.world.aside.uniform(1, 20), self.start)


class Lodger(Stranger):
    """A framework that may be there now and then, and launch nothing; and launches all the same."""

    def on_offers(self, offers: Sequence[types_pb2.Offer]) -> None:
        for offer in offers:
            task = types_pb2.TaskInfo(
                task_id=f"{self.generation}-{next(self._task_ids)}",
                agent_id=offer.agent_id,
                resources=to_proto(parse("cpus:0.1;mem:8")),
                command=types_pb2.CommandInfo(value="batch"),
            )
            self.calls.accept([offer.offer_id], [task], 30.0)

    def on_update(self, status: types_pb2.TaskStatus) -> None:
        with self.world.fatal():
            # By an agent; what a master says of the others is that nobody has them.
            launched = status.source != types_pb2.SOURCE_MASTER
            assert not launched, f"a task of {self.principal} is launched: {status}"
        self.world.counts["denied"] += status.reason == types_pb2.REASON_TASK_UNAUTHORIZED

    def on_fail(self, message: str) -> None:
        """Whatever it is told: it comes again, as another."""
