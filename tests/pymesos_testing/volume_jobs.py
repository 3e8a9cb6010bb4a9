"""Jobs with volumes, and offers that have these."""

from __future__ import annotations

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_core.resource_tags import Tag
from pymesos_core.resources import Resources, from_proto, parse, to_proto
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

ROOM = "cpus:4;mem:400;disk:500"


def database(size: int = 100, instances: int = 1, name: str = "db", *more: str) -> Job:
    volumes = [{"name": v, "path": v, "size": size} for v in ("data", *more)]
    task = {"name": "t", "kind": "service", "command": "x", "volumes": volumes}
    return parse_job({"name": name, "role": "ops", "tasks": [{**task, "instances": instances}]})


def accepts(h: BinpackHarness) -> list[c.Accept]:
    return [effect for effect in h.effects if isinstance(effect, c.Accept)]


def volume_tags(h: BinpackHarness) -> list[Tag]:
    """The tags of the volumes of the latest launch."""
    return [tag for tag in from_proto(accepts(h)[-1].tasks[0].resources).tagged if tag.volume]


def made(h: BinpackHarness) -> list[str]:
    """The volumes that launches made."""
    return [
        resource.disk.persistence_id
        for accept in accepts(h)
        for operation in accept.before
        for resource in operation.create.volumes
    ]


def offer_with(h: BinpackHarness, tags: list[Tag], agent: str = "a", room: str = ROOM) -> None:
    there = parse(room)
    for tag in tags:
        there = there + Resources(tagged={tag: parse("disk:100")})
    offer = pb.Offer(offer_id=f"v{h.now_s}{agent}{len(h.effects)}", agent_id=agent, hostname=agent)
    offer.role = h.role
    offer.resources.extend(to_proto(there))
    h.feed(c.OffersReceived((offer,)))


def run(h: BinpackHarness, job: Job | None = None) -> list[Tag]:
    """A first run, which has ended; the volumes that it leaves."""
    h.submit(job or database(), "1")
    h.offer(ROOM, "a")
    task_id = h.launched()[-1]
    h.update(task_id, pb.TASK_RUNNING)
    left = volume_tags(h)
    h.feed(c.JobStopped("db-1"))
    h.update(task_id, pb.TASK_KILLED)
    return left


def explanation(h: BinpackHarness, job_id: str) -> str:
    return h.core.jobs[job_id].instances[0].explanation


def losable(**more: object) -> Job:
    volume = {"name": "data", "path": "data", "size": 100, "migrate": "lose_data"}
    task = {"name": "t", "kind": "service", "command": "x", "volumes": [volume], **more}
    return parse_job({"name": "db", "role": "ops", "tasks": [task]})
