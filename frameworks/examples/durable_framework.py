"""A framework that may be killed: the next run goes on with the task of the last one.

python durable_framework.py HOST:PORT FOLDER
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pymesos_core.store import Store, StoreError
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Room, Scheduler, is_terminal, run_framework


class Durable(Scheduler):
    def subscribed(self, driver: Driver, framework_id: str) -> None:
        print(framework_id, "knows", sorted(driver.tasks), flush=True)

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        room = Room(offers[0])
        if not driver.tasks and room.fits(0.1, 16):
            task = room.make_task("nap", "sleep 600", cpus=0.1, mem=16)
            driver.accept([offers[0].offer_id], [task])
            offers = offers[1:]
        driver.decline([offer.offer_id for offer in offers], refuse_s=60)

    def update(self, driver: Driver, status: pb.TaskStatus) -> None:
        driver.keep("seen", status.task_id, pb.TaskState.Name(status.state).encode())
        print(status.task_id, pb.TaskState.Name(status.state), flush=True)
        if is_terminal(status.state):
            driver.teardown()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: durable_framework.py HOST:PORT FOLDER")
    info = pb.FrameworkInfo(name="durable", failover_timeout_s=600)
    try:
        store = Store(Path(sys.argv[2]) / "state.sqlite")
    except StoreError as error:
        sys.exit(f"durable: {error}")
    sys.exit(run_framework(Durable(), info, sys.argv[1:2], store=store))
