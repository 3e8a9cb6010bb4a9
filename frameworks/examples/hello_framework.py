"""A framework of one's own: run a command five times and say what became of each.

python hello_framework.py HOST:PORT
"""

import sys
from collections.abc import Sequence

from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Room, Scheduler, is_terminal, run_framework

CPUS, MEM = 0.1, 16.0


class Hello(Scheduler):
    def __init__(self, tasks: int) -> None:
        self.waiting = [f"hello-{number}" for number in range(tasks)]
        self.running: set[str] = set()

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        for offer in offers:
            room, tasks = Room(offer), list[pb.TaskInfo]()
            while self.waiting and room.fits(CPUS, MEM):
                task_id = self.waiting.pop(0)
                tasks.append(room.make_task(task_id, f"echo {task_id}", cpus=CPUS, mem=MEM))
                self.running.add(task_id)
            if tasks:
                driver.accept([offer.offer_id], tasks)
            else:
                driver.decline([offer.offer_id], refuse_s=60)

    def update(self, driver: Driver, status: pb.TaskStatus) -> None:
        print(status.task_id, pb.TaskState.Name(status.state), flush=True)
        if is_terminal(status.state):
            self.running.discard(status.task_id)
        if not self.waiting and not self.running:
            driver.teardown()


if __name__ == "__main__":
    info = pb.FrameworkInfo(name="hello", capabilities=[pb.PARTITION_AWARE])
    sys.exit(run_framework(Hello(5), info))
