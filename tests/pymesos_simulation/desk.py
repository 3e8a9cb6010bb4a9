"""An operator's desk: it watches the cluster and its jobs, lists both in pages, and kills tasks.

All of it goes over the network to the production services. What the desk is told is held against
the truth whenever it has been told everything: nothing is missed, nothing invented.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pymesos_binpack.jobs.groups import main_task_id
from pymesos_binpack.jobs.instance import pb_state
from pymesos_binpack.jobs.state import JOB, JobState
from pymesos_cli.known import Known
from pymesos_core.addresses import HostPort
from pymesos_core.following import leader_of
from pymesos_core.states import is_terminal
from pymesos_core.transport import CallError, Code, method_of
from pymesos_master.core.lifecycles import AgentState
from pymesos_master.core.state import ClusterState, TaskKey
from pymesos_master.history import Cursor
from pymesos_master.shell import Leader
from pymesos_proto.v1 import jobs_pb2 as jobs_pb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_simulation.errands import Errands
from pymesos_simulation.frameworks import FrameworkNode
from pymesos_simulation.masters import MasterNode
from pymesos_simulation.network import Network
from pymesos_simulation.people import Person
from pymesos_simulation.world import World

WATCH_EVENTS = method_of(
    "/pymesos.v1.Operator/WatchEvents", pb.WatchEventsRequest, pb.ClusterEventBatch
)
WATCH_JOB = method_of("/pymesos.v1.Jobs/WatchJob", jobs_pb.WatchJobRequest, jobs_pb.JobView)
GONE = AgentState.GONE.value
KILL_S = 300.0  # agents that are away for longer come back with the weather
PATIENCE_S = 20.0  # of a call
Live = Callable[[], set[TaskKey]]  # what runs on all machines


class Following:
    """What is told of the cluster by its events, which must come without a gap."""

    def __init__(self) -> None:
        self.known = Known()  # as the CLI does
        self.cursor: Cursor | None = None
        self._in_snapshot = True  # for nothing is known yet

    def take(self, batch: pb.ClusterEventBatch) -> None:
        """Fold a batch. A snapshot begins anew, everything else goes on where it was."""
        self._in_snapshot |= batch.snapshot_begins
        cursor = Cursor.parse(batch.cursor) if batch.cursor else None
        if not self._in_snapshot:
            assert cursor is not None and self.cursor is not None, f"no cursor: {batch.event}"
            assert cursor.epoch == self.cursor.epoch, f"{cursor} without a snapshot, {self.cursor}"
            came = [event.sequence for event in batch.event]
            due = list(range(self.cursor.sequence + 1, cursor.sequence + 1))
            assert came == due, f"the events {came} came after {self.cursor}, to {cursor}"
        for _ in self.known.news(batch):
            pass
        if cursor is not None:
            self._in_snapshot = False
            self.cursor = cursor

    def unlike(self, state: ClusterState) -> list[str]:
        """Where what was told differs from the state that it is of."""
        told: dict[str, dict[tuple[str, str], Any]] = {}
        away = (AgentState.RECOVERING, AgentState.UNREACHABLE)
        awaited = {a.agent_id for a in state.agents.values() if a.state in away}
        awaited &= self.known._recovering
        for (what, framework_id, own_id), (agent_id, how) in self.known._live.items():
            if not (what == "task" and agent_id in awaited):  # it may come back with its agent
                told.setdefault(what, {})[framework_id, own_id] = how
        out = []
        agents = {a.agent_id: a.state.value for a in state.agents.values()}
        agents = {agent_id: how for agent_id, how in agents.items() if how != GONE}
        seen = {own_id: how[0] for (_, own_id), how in told.get("agent", {}).items()}
        seen = {own_id: how or agents.get(own_id) for own_id, how in seen.items() if how != GONE}
        if agents != seen:
            out.append(f"agents are {agents}, told were {seen}")
        for what, there in (("framework", state.frameworks), ("offer", state.offers)):
            names = {own_id for _, own_id in told.get(what, {})}
            if names != there.keys():
                out.append(f"{what}s are {sorted(there)}, told were {sorted(names)}")
        tasks = {key: task for agent in state.agents.values() for key, task in agent.tasks.items()}
        live = {key for key, task in tasks.items() if not is_terminal(task.state)}
        known = told.get("task", {}).keys()
        if missing := live - known:
            out.append(f"nothing was told of the tasks {sorted(missing)}")
        if invented := known - tasks.keys():
            out.append(f"there are no tasks {sorted(invented)}, of which was told")
        return out


class Desk(Person):
    """What an operator looks at. It crashes, too, and is slow to read at times."""

    def __init__(
        self,
        world: World,
        network: Network,
        masters: Sequence[MasterNode],
        frameworks: Sequence[FrameworkNode],
        live: Live,
    ) -> None:
        super().__init__(world, "desk", network)
        self._aside = random.Random(f"desk {world.seed}")
        self._masters = masters
        self._frameworks = frameworks
        self._live = live
        self._following = Following()
        self._kill_gap_s = self._aside.choice([5.0, 30.0])
        self._answered_s: dict[TaskKey, float] = {}  # kills, for the first time in fine weather
        self._jobs: dict[tuple[str, str], JobSeen] = {}  # by framework and job id
        self._errands = {f.name: Errands(world, f, self._aside) for f in frameworks}

    def on_start(self) -> None:
        self._following = Following()
        self.spawn(self._follow())
        self.spawn(self._kill())
        for framework in self._frameworks:
            self.spawn(self._look_at_jobs(framework))
            self.spawn(self._run_errands(framework))
        if self.world.faulty:
            self.soon(self._aside.expovariate(1 / 60), self._crash)

    def _crash(self) -> None:
        if self.world.faulty:
            self.crash()

    async def _pause(self, longest_s: float) -> None:
        await asyncio.sleep(self._aside.uniform(0.1, longest_s))

    # The cluster.

    async def _follow(self) -> None:
        """Watch whichever master leads, from where it was."""
        address: HostPort | None = None
        while True:
            at = address or self._aside.choice(self._masters).address
            address = None
            stream = self._channel(at).stream(WATCH_EVENTS)
            cursor = self._following.cursor
            try:
                await stream.write(pb.WatchEventsRequest(cursor=str(cursor or "")))
                await stream.done_writing()
                while (batch := await stream.read()) is not None:
                    with self.world.fatal():
                        self._following.take(batch)
                        self._check_caught_up()
                    if self.world.faulty and self._aside.random() < 0.05:
                        await self._pause(20)
            except CallError as error:
                address = leader_of(error)
            finally:
                stream.cancel()
            await self._pause(2)

    def _followed(self) -> Leader | None:
        """The leader of whom all has come, if there is one."""
        cursor = self._following.cursor
        for master in self._masters:
            leader = master.leadership.leader if master.alive and master.leadership else None
            if leader is not None and cursor is not None and leader.term.epoch == cursor.epoch:
                latest = leader.watching.history.latest
                return leader if latest == cursor.sequence else None
        return None

    def _check_caught_up(self) -> None:
        if (leader := self._followed()) is not None and not self._following._in_snapshot:
            self.world.counts["caught up"] += 1
            unlike = self._following.unlike(leader.core.state)
            assert not unlike, f"all has come up to {self._following.cursor}, and {unlike}"

    async def _ask(self, path: str, request: Any) -> Any:
        """Ask whichever master leads. Raises CallError, TimeoutError."""
        at: HostPort | None = self._aside.choice(self._masters).address
        while at is not None:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return await self._channel(at).call(f"/pymesos.v1.Operator/{path}", request)
            except CallError as error:
                at = leader_of(error)
                if at is None:
                    raise
        return None

    async def _kill(self) -> None:
        """Kill tasks that run, one by one, again and again until they have ended."""
        while True:
            await asyncio.sleep(self._aside.expovariate(1 / self._kill_gap_s))
            try:
                listed = await self._list_tasks() if self.world.faulty else []
                if listed:
                    framework_id, task_id = self._aside.choice(listed)
                    self.world.killed[framework_id, task_id] = None
                    self.world.killed[framework_id, main_task_id(task_id)] = None
                for framework_id, task_id in list(self.world.killed):
                    request = pb.KillTaskRequest(framework_id=framework_id, task_id=task_id)
                    if (framework_id, task_id) in self._live():
                        await self._ask("KillTask", request)
                        self._check_obeyed((framework_id, task_id))
            except CallError as error:
                expected = (Code.UNAVAILABLE, Code.NOT_FOUND, Code.ABORTED, Code.CANCELLED)
                if error.code not in (*expected, Code.FAILED_PRECONDITION):
                    self.world.fail(error)
            except TimeoutError:
                pass

    def _check_obeyed(self, killed: TaskKey) -> None:
        """In fine weather a task ends soon after somebody was answered that it will."""
        self.world.counts["killed"] += 1
        if not self.world.faulty:
            since_s = self._answered_s.setdefault(killed, self.world.now_s)
            with self.world.fatal():
                assert self.world.now_s < since_s + KILL_S, f"{killed} was killed, and runs"

    async def _list_tasks(self) -> list[TaskKey]:
        """Every task, in small pages, in which none comes twice."""
        out: list[TaskKey] = []
        token = ""
        while True:
            page = pb.Page(page_size=self._aside.randint(1, 40), page_token=token)
            answer = await self._ask("ListTasks", pb.ListTasksRequest(page=page))
            out += [(view.framework_id, view.task_info.task_id) for view in answer.tasks]
            token = answer.next_page_token
            if not token:
                break
        with self.world.fatal():
            assert len(set(out)) == len(out), f"a task is listed twice: {sorted(out)}"
        return out

    # The jobs.

    async def _look_at_jobs(self, framework: FrameworkNode) -> None:
        """List the jobs of a framework, and watch each."""
        watched: set[str] = set()
        while True:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    listed = await self._list_jobs(framework)
            except (CallError, TimeoutError):
                listed = []
            for job_id in listed:
                if job_id not in watched:
                    watched.add(job_id)
                    self.spawn(self._watch_job(framework, job_id))
            await self._pause(10)

    async def _list_jobs(self, framework: FrameworkNode) -> list[str]:
        due = set(framework.accepted.values())
        listed: list[str] = []
        token, channel = "", self._channel(framework.address)
        while True:
            request = jobs_pb.ListJobsRequest(include_ended=True, page_size=1, page_token=token)
            answer = await channel.call("/pymesos.v1.Jobs/ListJobs", request)
            listed += [job.job_id for job in answer.jobs]
            token = answer.next_page_token
            if not token:
                break
        with self.world.fatal():
            assert listed == sorted(set(listed)), f"{framework.name} lists {listed}"
            assert due <= set(listed), f"{framework.name} lists {listed}, not {due}"
            known = framework.disk.records.keys() | self._errands[framework.name].forgotten()
            unstored = [j for j in listed if (JOB, j) not in known]
            assert not unstored, f"{framework.name} lists {unstored}, which are not stored"
        return listed

    async def _watch_job(self, framework: FrameworkNode, job_id: str) -> None:
        """To its end, whoever crashes meanwhile."""
        seen = self._jobs.setdefault((framework.name, job_id), JobSeen())
        while True:
            stream = self._channel(framework.address).stream(WATCH_JOB)
            seen.begin()
            try:
                await stream.write(jobs_pb.WatchJobRequest(job_id=job_id))
                await stream.done_writing()
                while (view := await stream.read()) is not None:
                    with self.world.fatal():
                        seen.take(view)
                    if self.world.faulty and self._aside.random() < 0.05:
                        await self._pause(20)
                return
            except CallError:
                pass
            finally:
                stream.cancel()
            await self._pause(5)

    async def _run_errands(self, framework: FrameworkNode) -> None:
        """Submit jobs to a framework, and have them ended."""
        while True:
            await self._pause(20 if self.world.faulty else 2)
            with contextlib.suppress(CallError, TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._errands[framework.name].go_on(self._channel(framework.address))

    # The truth.

    def differences(self) -> Iterator[str]:
        """What the desk does not know yet, and what was asked for and is not done."""
        if not self.alive:
            yield "the desk is down"
            return
        if (leader := self._followed()) is None:
            yield f"the desk is at {self._following.cursor}"
        else:
            yield from self._following.unlike(leader.core.state)
        if running := self.world.killed.keys() & self._live():
            yield f"{sorted(running)} were killed, and run"
        for errands in self._errands.values():
            yield from errands.unlike()
        for framework in self._frameworks:
            for job_id, job in framework.core.jobs.items() if framework.core is not None else ():
                seen = self._jobs.get((framework.name, job_id))
                if seen is None or not seen.is_like(job):
                    yield f"the desk sees the job {job_id} otherwise than it is"


class JobSeen:
    """A job as it was told."""

    def __init__(self) -> None:
        self.state = ""
        self.instances: dict[str, jobs_pb.InstanceView] = {}
        self._whole: set[str] | None = None  # what was told at the beginning of a stream

    def begin(self) -> None:
        """What comes next tells all that there is: what it leaves out was forgotten meanwhile."""
        self._whole = set()

    def take(self, view: jobs_pb.JobView) -> None:
        """Fold a view. What is told is durable: no attempt, and no end, is taken back."""
        self.state = view.state or self.state
        for now in view.instances:
            key = now.name
            if now.removed:
                self.instances.pop(key, None)
                continue
            before = self.instances.get(key)
            if before is not None:
                assert now.done >= before.done, f"{key} of {view.job_id} has ended, and has not"
                assert now.attempts >= before.attempts, (
                    f"{key} of {view.job_id} is at its attempt {now.attempts}, after"
                    f" {before.attempts}"
                )
            self.instances[key] = now
            if self._whole is not None:
                self._whole.add(key)
        if self._whole is not None and not view.more:
            self.instances = {k: i for k, i in self.instances.items() if k in self._whole}
            self._whole = None

    def is_like(self, job: JobState) -> bool:
        """Whether it is told as it is."""
        told = {key: (seen.task_id, seen.state, seen.done) for key, seen in self.instances.items()}
        there = {
            i.name: (saved.task_id, pb_state(saved.state), saved.done)
            for i in job.instances
            for saved in (i.durable,)
        }
        return self.state == job.state and told == there
