"""A framework of two instances over the simulated ZooKeeper: elected and fenced by production code.

What was acknowledged, heard and settled is the framework's, whichever of its instances did it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote

from pymesos_binpack.ahead import Ahead
from pymesos_binpack.answers import StartsAgainError
from pymesos_binpack.electing import begin_life, contend, elsewhere
from pymesos_binpack.jobs.instance import INSTANCE
from pymesos_binpack.placement.packing import read_policy
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services.audited import AuditedJobs
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.shell import Binpack
from pymesos_binpack.specs import Job
from pymesos_core.addresses import HostPort
from pymesos_core.coordination import MasterInfo, Term
from pymesos_core.coordination.zk_registry import ZkRecords
from pymesos_core.coordination.zk_store import ZkStore, framework_url
from pymesos_core.coordination.zk_watched import WatchedRecords
from pymesos_core.coordination.zookeeper import INSTANCES, ZkContender, ZkDetector
from pymesos_core.security.auditing import Audit
from pymesos_core.store import Change, Records, StateStore
from pymesos_core.tasks import beside
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver
from pymesos_simulation import restored
from pymesos_simulation.budgets import Budgets
from pymesos_simulation.coordinator import URL, Coordinator, client_of, detector_of
from pymesos_simulation.ensemble import SESSION_S
from pymesos_simulation.frameworks import (
    MASTER,
    FrameworkNode,
    WatchedDriver,
    side_of,
)
from pymesos_simulation.network import handlers_of, outside_of
from pymesos_simulation.pages import Promises
from pymesos_simulation.registries import InOrderRegistry
from pymesos_simulation.watched_binpack import WatchedBinpack
from pymesos_simulation.zookeeper import Client, Transaction


class WatchedClient:
    """A client of ZooKeeper whose writes are looked at when they are made: by who leads alone."""

    def __init__(self, client: Client, epoch_version: int) -> None:
        self._client = client
        self._epoch_version = epoch_version

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transaction(self) -> Transaction:
        """See kazoo."""
        made = self._client.transaction()
        check = made.check

        def check_and_look(path: str, version: int) -> None:
            check(path, version)
            made.add("look", lambda: self._look(path), lambda: True)

        made.check = check_and_look  # type: ignore[method-assign]
        return made

    def _look(self, epoch_path: str) -> None:
        with self._client.node.world.fatal():
            _, stat = self._client._ensemble.get(epoch_path)
            late = stat.version - self._epoch_version
            assert not late, f"{self._client.node.name} writes, and {late} were elected since"


class InstanceRegistry(InOrderRegistry):
    """Nothing is written by who leads no more, either."""

    def __init__(self, client: Any, path: str, epoch_version: int) -> None:
        super().__init__(WatchedClient(client, epoch_version), path, epoch_version)


class Kept:
    """What ZooKeeper has of a framework now, to be looked at by the simulation."""

    def __init__(self, coordinator: Coordinator, path: str) -> None:
        self._coordinator, self._path = coordinator, path

    def load(self) -> Records:
        """See Registry."""
        records = self._coordinator.records(f"{self._path}/registry")
        return {(kind, unquote(key)): value for (kind, key), value in records.items()}

    def commit(self, changes: list[Change]) -> None:
        """See Registry: what is noted in a journal is not finished here."""
        raise AssertionError("the simulation writes nothing")


class ElectedNode(FrameworkNode):
    """One of the instances."""

    pair: FrameworkPair
    keeps_read = False  # what the other writes, as the main program does: see Ahead.keep

    def on_start(self) -> None:
        self.core = self.binpack = self.driver = None
        self.spawn(self._serve())

    async def _serve(self) -> None:
        """As the main program does."""
        me = MasterInfo(f"{self.name}.{self.generation}", self.address, self.name)
        url, client = self.pair.url, client_of(self, self.coordinator)
        contender = ZkContender(
            *(url, me, SESSION_S),
            client=client,
            registry=InstanceRegistry,
            records=WatchedRecords if self.keeps_read else ZkRecords,
            elected=INSTANCES,
        )
        detector = ZkDetector(url, SESSION_S, client=client, elected=INSTANCES)
        await detector.start(patient=True)
        service = JobsService(
            None, JobRoles((self.role, side_of(self.role))), lambda: elsewhere(me, detector.leader)
        )
        self.network.listen(self, self.address, handlers_of(AuditedJobs(service, Audit())))
        outside = outside_of(self, self.network)
        self.ahead = Ahead(outside.mono_s)

        async def stand_by() -> None:
            """The certificate lasts for the whole run."""
            async with contextlib.AsyncExitStack() as stack:
                if self.keeps_read:
                    keeping = self.ahead.keep(contender.records)
                    await stack.enter_async_context(beside(keeping))
                await self.ahead.follow(contender.records)

        await contend(contender, service, self._begin, outside, stand_by)

    def _begin(self, term: Term, store: StateStore, records: Records) -> Binpack:
        make = partial(
            Binpack,
            master=MASTER,
            detector=detector_of(self, self.coordinator),
            outside=outside_of(self, self.network),
            driver=partial(Driver, core=WatchedDriver),
            tells=self.paging,
        )
        info = self.info_of(self.pair.name)
        self.binpack = binpack = begin_life(info, self._read, make, term, store, records)
        self.driver = binpack.driver
        self.pair.leads(self, term.epoch)
        for request_id, job in self.jobs.items():
            if request_id not in self.accepted:
                self.spawn(self._submit_to(binpack, request_id, job))
        return binpack

    def _read(self, records: Records) -> WatchedBinpack:
        """Take over from what is stored."""
        with self.world.fatal():
            roles, load = (self.role,), self.ahead.load
            self.core = core = WatchedBinpack(read_policy("default"), records, roles, load)
            core.node, core.budgets, core.offered = self, Budgets(), {}
            core.promises = Promises(records)
            missing = self.accepted.keys() - {job.request_id for job in core.jobs.values()}
            assert not missing, f"{self.name} forgot {missing}, which {self.pair.name} acknowledged"
        return core

    async def _submit_to(self, binpack: Binpack, request_id: str, job: Job) -> None:
        """A client that repeats its request to whichever instance leads."""
        await asyncio.sleep(max(0.0, self.due_s[request_id] - self.world.now_s))
        if request_id not in self.accepted:
            with contextlib.suppress(StartsAgainError):
                versions = restored.versions_of(self.world, job)
                job_id = await binpack.submit(job, request_id, versions=versions)
                self.accepted[request_id] = job_id

    @property
    def principal(self) -> str:
        """Both have certificates of one principal, since they are one framework."""
        return f"{self.kind}/{self.pair.name}"

    @property
    def acts(self) -> bool:
        """Whether it is the one that was elected last."""
        return self.pair.acting is self

    @property
    def stored(self) -> Records:
        """What ZooKeeper has."""
        return self.pair.stored()


class FrameworkPair:
    """One framework, of two instances."""

    def __init__(self, name: str, coordinator: Coordinator, nodes: Sequence[ElectedNode]) -> None:
        self.name = name
        self.url = framework_url(URL, name)
        self.nodes = list(nodes)
        self.acting = self.nodes[0]
        self.epoch = 0
        self._coordinator = coordinator
        first = self.nodes[0]
        for node in self.nodes:
            node.pair = self
            node.accepted, node.ends, node.settled = first.accepted, first.ends, first.settled
            node.pager = first.pager
            node.heard, node.jobs, node.due_s = first.heard, first.jobs, first.due_s

    def leads(self, node: ElectedNode, epoch: int) -> None:
        """An instance goes on from what is stored; a later one may have done so before."""
        if epoch > self.epoch:
            self.acting, self.epoch = node, epoch
            node.world.counts["takeover"] += 1

    @property
    def core(self) -> WatchedBinpack | None:
        """The core of the instance that was elected last."""
        return self.acting.core

    @property
    def address(self) -> HostPort:
        """Where the instance that was elected last is asked."""
        return self.acting.address

    @property
    def accepted(self) -> dict[str, str]:
        """The jobs that were acknowledged, by the ids of their requests."""
        return self.acting.accepted

    @property
    def jobs(self) -> Mapping[str, Job]:
        """What was submitted, by the ids of the requests."""
        return self.acting.jobs

    @property
    def ends(self) -> dict[str, pb.TaskState]:
        """The ends of tasks that were told."""
        return self.acting.ends

    @property
    def framework_id(self) -> str:
        """What the master calls it."""
        return self.acting.framework_id

    @property
    def alive(self) -> bool:
        """Whether the instance that was elected last lives."""
        return self.acting.alive

    @property
    def done(self) -> bool:
        """Whether its work is."""
        return self.acting.done

    def stored(self) -> Records:
        """What ZooKeeper has of it now."""
        return ZkStore(Kept(self._coordinator, self.url.path)).load()

    def differences(self) -> list[str]:
        """Where what is stored is not what the instance that acts goes by."""
        if self.core is None:
            return [f"no instance of {self.name} has led"]
        stored = {key: value for (kind, key), value in self.stored().items() if kind == INSTANCE}
        unlike = [
            instance.key
            for instance in self.core.instances()
            if (instance.key in stored or instance.durable.task_id)
            and json.loads(stored.get(instance.key, b"{}"))
            != json.loads(json.dumps(instance.durable.record()))
        ]
        return [f"{self.name} has stored other than it knows of {unlike}"] if unlike else []
