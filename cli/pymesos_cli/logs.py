"""`logs`: what a task wrote."""

from __future__ import annotations

import sys

from pymesos_cli.cluster import CliError, Cluster, sandbox_of
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import sandbox_pb2 as pb

TAIL_BYTES_PER_LINE = 4096


async def show_logs(
    cluster: Cluster, text: str, *, follow: bool, stderr: bool, tail: int | None
) -> None:
    """`pymesos-cli logs`."""
    view = await cluster.find_task(text, completed=True)
    await copy_log(view, "stderr" if stderr else "stdout", follow=follow, tail=tail)


async def copy_log(
    view: operator_pb.TaskView, path: str, *, follow: bool, tail: int | None = None
) -> None:
    """Write a file of a task to our own stdout, or stderr."""
    if not view.HasField("agent_address"):
        raise CliError(f"the agent of {view.task_info.task_id} is not known any more")
    out = sys.stderr.buffer if path == "stderr" else sys.stdout.buffer
    framework_id, task_id = view.framework_id, view.task_info.task_id

    def part_from(offset: int) -> pb.ReadFileRequest:
        return pb.ReadFileRequest(
            framework_id=framework_id, task_id=task_id, path=path, offset=offset
        )

    async with sandbox_of(view.agent_address) as stub:
        offset = 0
        if tail is not None:
            start = -max(1, tail) * TAIL_BYTES_PER_LINE
            last = await stub.ReadFile(part_from(start))
            lines = last.data.splitlines(keepends=True)[-tail:] if tail else []
            out.write(b"".join(lines))
            out.flush()
            offset = last.offset + len(last.data)
        if follow:
            request = pb.FollowFileRequest(
                framework_id=framework_id, task_id=task_id, path=path, offset=offset
            )
            async for part in stub.FollowFile(request):
                out.write(part.data)
                out.flush()
            return
        while True:
            part = await stub.ReadFile(part_from(offset))
            if not part.data:
                return
            out.write(part.data)
            out.flush()
            offset = part.offset + len(part.data)
