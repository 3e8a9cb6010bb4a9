"""Reserve disk, make it a volume, and run a task that writes to it.

python volume_framework.py HOST:PORT
"""

import sys
from collections.abc import Sequence

from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import scheduler_pb2
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Scheduler, is_terminal, make_task, operations, run_framework


class Keeper(Scheduler):
    launched = False

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        for offer in offers:
            if self.launched:
                driver.decline([offer.offer_id], refuse_s=60)
                continue
            self.launched = True
            reserving, disk = operations.reserve(parse("disk:64"), "db")
            creating, volume = operations.create(disk, "data", "db-data", operation_id="create-1")
            task = make_task(offer, "keep-1", "echo kept > db-data/file", cpus=0.1, mem=32)
            task.resources.extend(to_proto(volume))
            driver.accept([offer.offer_id], [task], before=[reserving, creating])

    def operation(self, driver: Driver, update: scheduler_pb2.Event.OperationUpdate) -> None:
        state = scheduler_pb2.Event.OperationUpdate.State.Name(update.state)
        print(update.operation_id, state, update.message)

    def update(self, driver: Driver, status: pb.TaskStatus) -> None:
        print(status.task_id, pb.TaskState.Name(status.state), status.message)
        if is_terminal(status.state):
            driver.teardown()


if __name__ == "__main__":
    info = pb.FrameworkInfo(name="keeper", roles=["db"], capabilities=[pb.PARTITION_AWARE])
    sys.exit(run_framework(Keeper(), info))
