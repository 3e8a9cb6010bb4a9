"""The volumes that were made for instances. They belong to names, not to one run of a job.

A volume's name is its role, and the names of job, task, instance and volume. It is kept when its
job has ended, so that the next run of that name goes on with its data, until somebody removes it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass

from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.state import VOLUME, JobState
from pymesos_binpack.specs import Job, TaskSpec
from pymesos_core.resource_values import format_milli
from pymesos_core.store import Change

Owner = tuple[str, str, str, int]  # role, job, task, instance


@dataclass(frozen=True, slots=True)
class KeptVolume:
    """A volume that was made on an agent. `volume_id` is what the master knows it by."""

    role: str
    job: str
    task: str
    index: int
    name: str
    volume_id: str
    agent_id: str
    hostname: str
    size_milli: int

    @property
    def owner(self) -> Owner:
        """The instance that has it, in any run of its job."""
        return (self.role, self.job, self.task, self.index)

    @property
    def place(self) -> tuple[str, str]:
        """Which volume of which agent it is."""
        return (self.agent_id, self.volume_id)

    @property
    def key(self) -> str:
        """The key of its record."""
        return f"{self.role}/{self.job}/{self.task}/{self.index}/{self.name}"


class Volumes:
    """All that were made and not removed."""

    def __init__(self) -> None:
        self._by_owner: dict[Owner, dict[str, KeptVolume]] = {}

    def __iter__(self) -> Iterator[KeptVolume]:
        for volumes in self._by_owner.values():
            yield from volumes.values()

    def load(self, value: bytes) -> None:
        """Take a record back; of one that cannot be read the data are found in an offer."""
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            volume = KeptVolume(**json.loads(value))
            numbers = (volume.index, volume.size_milli)
            texts = set(astuple(volume)) - set(numbers)
            if all(type(n) is int for n in numbers) and all(isinstance(t, str) for t in texts):
                self._put(volume)

    def _put(self, volume: KeptVolume) -> None:
        self._by_owner.setdefault(volume.owner, {})[volume.name] = volume

    def of(self, owner: Owner) -> dict[str, KeptVolume]:
        """The volumes of an instance, by their names in the job."""
        return self._by_owner.get(owner, {})

    def keep(self, job: Job, instance: Instance) -> list[Change]:
        """Note that an instance's volumes are on the agent that runs it; returns what is new."""
        saved, owner = instance.saved, owner_of(job, instance)
        changes = []
        for spec in instance.spec.volumes:
            if spec.name not in saved.volume_ids:
                continue  # it is yet to be made
            volume = KeptVolume(
                *owner,
                spec.name,
                saved.volume_ids[spec.name],
                saved.data_on,
                saved.hostname,
                spec.size_milli,
            )
            before = self.of(owner).get(spec.name)
            if before is not None and before.place == volume.place:
                continue
            self._put(volume)
            changes.append(Change(VOLUME, volume.key, json.dumps(asdict(volume)).encode()))
        return changes

    def forget(self, volumes: Iterable[KeptVolume]) -> list[Change]:
        """Forget volumes; returns what that changes."""
        changes = []
        for volume in list(volumes):
            named = self._by_owner.get(volume.owner, {})
            if named.pop(volume.name, None) is not None:
                changes.append(Change(VOLUME, volume.key, None))
            if not named:
                self._by_owner.pop(volume.owner, None)
        return changes

    def adopt(self, job: Job, instance: Instance) -> None:
        """Let an instance that has none yet go on with what an earlier run of the name left."""
        kept = self.of(owner_of(job, instance))
        mine = [kept[spec.name] for spec in instance.spec.volumes if spec.name in kept]
        if mine and not instance.saved.data_on:
            home = mine[0].agent_id
            there = {v.name: v.volume_id for v in mine if v.agent_id == home}
            # It follows from what is stored of the volumes, so it is as durable as they are.
            hostname = mine[0].hostname
            saved = instance.saved._replace(data_on=home, hostname=hostname, volume_ids=there)
            instance.restore(saved)

    def apart(self, job: Job, instance: Instance) -> str:
        """Say that volumes are on several agents, as an older version let be; or empty."""
        return _apart(self.of(owner_of(job, instance)), instance.spec) if self._by_owner else ""

    def problem(self, job: Job) -> str | None:
        """Why a job cannot go on with what earlier runs of its name left."""
        for task in job.tasks:
            for index in range(task.instances if task.volumes else 0):
                kept = self.of((job.role, job.name, task.name, index))
                if (apart := _apart(kept, task)) != "":
                    return apart
                for spec in task.volumes:
                    volume = kept.get(spec.name)
                    if volume is not None and volume.size_milli < spec.size_milli:
                        return (
                            f"the volume {volume.volume_id} of an earlier run, on"
                            f" {volume.hostname}, has {format_milli(volume.size_milli)} MiB, and"
                            f" the job wants {format_milli(spec.size_milli)}: ask for no more than"
                            f" it has, or `pymesos-cli volumes remove {volume.volume_id}` to begin"
                            f" anew with an empty one"
                        )
        return None


def _apart(kept: Mapping[str, KeptVolume], task: TaskSpec) -> str:
    """Say that the volumes of one instance are on several agents; or empty."""
    volumes = [kept[spec.name] for spec in task.volumes if spec.name in kept]
    if len({volume.agent_id for volume in volumes}) < 2:
        return ""
    where = " and ".join(f"on {volume.hostname} ({volume.volume_id})" for volume in volumes)
    return (
        f"its volumes of earlier runs are {where}, and a task runs on one agent: remove one with"
        f" `pymesos-cli volumes remove`, or leave it out of the job"
    )


def owner_of(job: Job, instance: Instance) -> Owner:
    """The name that an instance's volumes belong to."""
    return (job.role, job.name, instance.spec.name, instance.index)


def name_old_volumes(job: JobState) -> None:
    """Until volumes belonged to names, their ids had the id of the job."""
    for instance in job.instances:
        saved = instance.saved
        if saved.data_on and not saved.volume_ids:
            prefix = f"{job.job_id}.{instance.spec.name}.{instance.index}"
            named = {v.name: f"{prefix}.{v.name}" for v in instance.spec.volumes}
            instance.restore(saved._replace(volume_ids=named))
