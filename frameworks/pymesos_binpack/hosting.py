"""The bin-packing framework of one job, for as long as somebody looks at it.

`pymesos-cli run` is it where no other takes jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from pymesos_binpack.answers import StartsAgainError, SubmitError
from pymesos_binpack.core import BinpackCore, JobFault
from pymesos_binpack.placement.packing import DEFAULT_POLICY, read_policy
from pymesos_binpack.services.views import instance_view, job_view
from pymesos_binpack.shell import CAPABILITIES, Binpack
from pymesos_binpack.specs import Job
from pymesos_core.coordination import CoordinationError
from pymesos_core.exits import RoleError
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.store import Store, StoreError
from pymesos_core.tasks import running
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_sdk import FrameworkError, FrameworkRemovedError

TEARDOWN_TIMEOUT_S = 5.0


class HostError(Exception):
    """The job cannot be run here: the message says why and what to do."""


async def host(
    master: str,
    job: Job,
    folder: Path,
    info: types_pb2.FrameworkInfo,
    started: Callable[[str], None],
    outside: Outside = OUTSIDE,
) -> AsyncGenerator[pb.JobView]:
    """Run one job, and give its views until it has ended. Raises HostError, OSError.

    Its state is kept in `folder`, and is of no use afterwards. `info` says who the framework is;
    the rest of it the job says. `started` is told the job's id. The job ends with its tasks when
    its views are no longer wanted.
    """
    info.capabilities.extend(CAPABILITIES)
    try:
        with contextlib.closing(Store(folder / "state.sqlite")) as store:
            hosted = _hosted(master, job, info, started, store, outside)
            async with contextlib.aclosing(hosted) as views:
                async for view in views:
                    yield view
    except (
        CoordinationError, FrameworkError, JobFault, RoleError, StartsAgainError, StoreError,
        SubmitError,
    ) as error:  # fmt: skip
        raise HostError(str(error)) from error


async def _hosted(
    master: str,
    job: Job,
    info: types_pb2.FrameworkInfo,
    started: Callable[[str], None],
    store: Store,
    outside: Outside,
) -> AsyncGenerator[pb.JobView]:
    core = BinpackCore(read_policy(DEFAULT_POLICY), {}, (job.role,))
    binpack = Binpack(core, store, info, master, outside=outside)
    called = job.name  # until its id is known
    async with running(binpack.run()) as runs:
        try:
            job_id = await binpack.submit(job, str(uuid.uuid4()))
            called = job_id
            started(job_id)
            state = core.jobs[job_id]
            with binpack.watch(job_id) as changes:
                while not state.is_over:
                    yield _view(binpack, job_id)
                    changes.changed.clear()
                    async with running(changes.changed.wait()) as changed:
                        await asyncio.wait({changed, runs}, return_when=asyncio.FIRST_COMPLETED)
                    if runs.done():
                        await runs
            yield _view(binpack, job_id)
        except StartsAgainError:
            await runs  # it does not here: this raises why it has ended
            raise
        except FrameworkRemovedError as error:
            raise HostError(
                f"the job {called} was stopped, with its tasks, and not by this command: {error}."
                f" `pymesos-cli stop` and `pymesos-cli teardown` do that"
            ) from error
        finally:
            if not runs.done():
                binpack.driver.teardown()
            await asyncio.wait({runs}, timeout=TEARDOWN_TIMEOUT_S)


def _view(binpack: Binpack, job_id: str) -> pb.JobView:
    state = binpack.core.jobs[job_id]
    view = job_view(state, binpack.driver.framework_id)
    view.instances.extend(instance_view(instance) for instance in state.instances)
    return view
