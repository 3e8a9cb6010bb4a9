"""Which instances serve clients: those that are ready, not to leave, and not kept from them."""

from __future__ import annotations

from pymesos_binpack.jobs.aligning import is_shown
from pymesos_binpack.jobs.instance import Instance, Saved
from pymesos_binpack.jobs.ports import by_name
from pymesos_binpack.jobs.state import JobState
from pymesos_proto.v1.names_pb2 import Exposed, ServedPort, ServedTask

MILLI = 1000


def serves(saved: Saved, *, leaves: bool, is_shown: bool) -> bool:
    """Return whether clients are to come to an instance. `leaves`: its job is to end."""
    return bool(saved.ready_since_s) and not (saved.leaving or saved.done or leaves) and is_shown


def is_published(job: JobState, instance: Instance) -> bool:
    """Return whether an instance is found by name now, by what is durable of it."""
    spec = instance.spec
    is_found = spec.is_service or spec.ports > 0
    return is_found and serves(
        instance.durable, leaves=job.durably_stopping, is_shown=is_shown(job, instance)
    )


def served_task(job: JobState, instance: Instance) -> ServedTask:
    """Return how an instance is found that serves; of the same index the latest is the newest."""
    saved, spec = instance.durable, instance.spec
    exposure = spec.exposure
    mappings = spec.container.keys.get("port_mappings", ())
    protocols = {each["port_index"]: each.get("protocol", "") for each in mappings}
    return ServedTask(
        task_id=saved.task_id,
        agent_id=saved.agent_id,
        role=job.job.role,
        job=job.job.name,
        task=spec.name,
        instance=instance.index,
        order=max(0, int(saved.ready_since_s * MILLI)),
        ports=[
            ServedPort(name=name, port=port, protocol=protocols.get(index, ""))
            for index, (name, port) in enumerate(by_name(spec, saved.ports).items())
        ],
        exposed=[]
        if exposure is None
        else [Exposed(http_host=exposure.host, port=exposure.port, port_name=exposure.to)],
    )
