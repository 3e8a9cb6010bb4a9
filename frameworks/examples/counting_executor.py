"""A framework with an executor of its own: one process an agent counts for many tasks.

python frameworks/examples/counting_executor.py HOST:PORT [TASKS [STEPS]]

The same file is both: an agent starts it again as the executor. A task counts to STEPS, a step each
0.1 s, in the executor's memory; what it has counted is sent to the framework as a message.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Room, Scheduler, is_terminal, run_framework
from pymesos_sdk.executor import Executor, ExecutorDriver

STEP_S = 0.1


class Counter(Executor):
    """Counts for each task until it is told to stop."""

    def __init__(self) -> None:
        self.counting: dict[str, asyncio.Task[None]] = {}

    def launch(self, driver: ExecutorDriver, task: pb.TaskInfo) -> None:
        counting = asyncio.create_task(self._count(driver, task.task_id, int(task.data)))
        self.counting[task.task_id] = counting

    async def _count(self, driver: ExecutorDriver, task_id: str, steps: int) -> None:
        driver.update(task_id, pb.TASK_RUNNING)
        for _ in range(steps):
            await asyncio.sleep(STEP_S)
        driver.send_message(f"{task_id} counted to {steps} in process {os.getpid()}".encode())
        driver.update(task_id, pb.TASK_FINISHED)

    def kill(self, driver: ExecutorDriver, task_id: str, policy: pb.KillPolicy) -> None:
        if self.counting[task_id].cancel():
            driver.update(task_id, pb.TASK_KILLED)

    def shutdown(self, driver: ExecutorDriver) -> None:
        for task_id in list(self.counting):
            self.kill(driver, task_id, pb.KillPolicy())
        driver.stop()


class Counting(Scheduler):
    """Launches the tasks on whatever is offered, all in one executor on each agent."""

    def __init__(self, tasks: int, steps: int) -> None:
        self.waiting = [f"count-{number}" for number in range(tasks)]
        self.left = set(self.waiting)
        self.steps = steps
        self.executor = pb.ExecutorInfo(
            executor_id="counter",
            command=pb.CommandInfo(value=sys.executable, arguments=[str(Path(__file__).resolve())]),
        )

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        for offer in offers:
            room, tasks = Room(offer), list[pb.TaskInfo]()
            while self.waiting and len(tasks) < 5 and room.fits(0.1, 32):
                task = room.make_task(self.waiting.pop(0), "", cpus=0.1, mem=32)
                task.ClearField("command")
                task.ClearField("container")
                task.executor.CopyFrom(self.executor)
                task.data = str(self.steps).encode()
                tasks.append(task)
            driver.accept([offer.offer_id], tasks, refuse_s=None if tasks else 3600)

    def message(self, driver: Driver, agent_id: str, executor_id: str, data: bytes) -> None:
        print(data.decode(), flush=True)

    def update(self, driver: Driver, status: pb.TaskStatus) -> None:
        print(status.task_id, pb.TaskState.Name(status.state), status.message, flush=True)
        if is_terminal(status.state):
            self.left.discard(status.task_id)
            if not self.left:
                driver.teardown()

    def executor_lost(
        self, driver: Driver, agent_id: str, executor_id: str, status: int | None
    ) -> None:
        print(f"{executor_id} has ended with status {status}", flush=True)


def main() -> None:
    """The framework, unless an agent started us."""
    if "PYMESOS_EXECUTOR_ID" in os.environ:
        asyncio.run(ExecutorDriver(Counter()).run())
        return
    master, numbers = sys.argv[1:2], sys.argv[2:]
    if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        sys.exit("usage: counting_executor.py [HOST:PORT [TASKS [STEPS]]]")
    tasks, steps = [*map(int, numbers), *(5, 10)[len(numbers) :]]
    info = pb.FrameworkInfo(
        name="counting",
        user=getpass.getuser(),  # its executor is this file, which others may not be able to read
        capabilities=[pb.PARTITION_AWARE],
        failover_timeout_s=60,
    )
    sys.exit(run_framework(Counting(tasks, steps), info, master))


if __name__ == "__main__":
    main()
