"""Has archives and layers unpacked by a process of their own, `confined.py`, and waits for it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from pymesos_agent.files.archives import ArchiveError
from pymesos_agent.files.below import OutsideError
from pymesos_agent.files.budget import ARTIFACT, LAYER, Limits
from pymesos_agent.runtimes.oci.layers import LayerError

LOOK_S = 0.2  # whether it is still wanted
MAX_ANSWER_BYTES = 64 * 1024
ROOT = Path(__file__).resolve().parents[2]
# Of all that could be imported only what the program names is.
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    " from pymesos_agent.files.confined import main; main()"
)
User = tuple[int, int, Sequence[int]]  # user, group, further groups


class UnpackingStoppedError(Exception):
    """Nobody wants it any more."""


def extract(
    file: IO[bytes],
    sandbox: Path,
    folder: str,
    owner: tuple[int, int] | None,
    stopped: Callable[[], bool],
    limits: Limits = ARTIFACT,
) -> None:
    """All of an archive into a folder of a sandbox, by the owner of that. Blocks.

    `stopped` is asked now and then. Raises ArchiveError, OutsideError, OSError, and
    UnpackingStoppedError.
    """
    job = {"kind": "archive", "folder": str(sandbox), "below": folder}
    user: User | None = None if owner is None else (*owner, ())
    said = _run(job, user, stopped, limits, stdin=file)
    if (kind := said.get("error")) == "OutsideError":
        raise OutsideError(said["text"])
    if kind == "OSError":
        raise OSError(said["errno"], said["text"])
    if kind is not None:
        raise ArchiveError(said["text"])


def unpack_layer(
    blob: Path,
    folder: Path,
    diff_id: str,
    user_namespace_base: int,
    stopped: Callable[[], bool],
    limits: Limits = LAYER,
) -> int:
    """A layer into a folder that is there and empty; its size in bytes. Blocks.

    Raises LayerError, UnpackingStoppedError.
    """
    job = {
        "kind": "layer",
        "blob": str(blob),
        "folder": str(folder),
        "diff_id": diff_id,
        "user_namespace_base": user_namespace_base,
    }
    said = _run(job, None, stopped, limits)
    if "error" in said:
        begin = "" if said["error"] == "LayerError" else f"the layer {diff_id} "
        raise LayerError(begin + said["text"])
    return int(said["done"])


def open_as(user: User, path: str) -> int:
    """A descriptor of a file of the machine that a user may read, through no link. Blocks.

    Raises OSError.
    """
    mine, theirs = socket.socketpair()
    with mine:
        with theirs:
            job = {"kind": "open", "path": path, "socket": theirs.fileno()}
            said = _run(job, user, lambda: False, ARTIFACT, descriptors=(theirs.fileno(),))
        if "error" in said:
            raise OSError(said.get("errno"), said["text"])
        _, descriptors, _, _ = socket.recv_fds(mine, 1, 1)
    if not descriptors:
        raise OSError(None, "it cannot be opened")
    return descriptors[0]


def _run(
    job: dict[str, Any],
    user: User | None,
    stopped: Callable[[], bool],
    limits: Limits,
    *,
    stdin: IO[bytes] | None = None,
    descriptors: Sequence[int] = (),
) -> dict[str, Any]:
    """What the process says of its end."""
    told = json.dumps({**job, "user": user, "limits": asdict(limits)})
    process = subprocess.Popen(
        (sys.executable, "-I", "-S", "-c", PROGRAM, str(ROOT), told),
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
        env={"PATH": os.environ.get("PATH", os.defpath)},  # for zstd
        cwd="/",
        start_new_session=True,  # with zstd
    )
    try:
        said = _answer(process, stopped, limits.wall_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if said:
        with contextlib.suppress(ValueError):
            found = json.loads(said)
            if isinstance(found, dict):
                return found
    return {"error": "TooMuchError", "text": _why_ended(process.returncode, limits)}


def _answer(process: subprocess.Popen[bytes], stopped: Callable[[], bool], wall_s: float) -> bytes:
    """All that it writes. Raises UnpackingStoppedError."""
    assert process.stdout is not None
    end_s = time.monotonic() + wall_s
    said = b""
    ready = select.poll()  # select() knows no descriptor above 1023
    with process.stdout as out:
        ready.register(out, select.POLLIN)
        while time.monotonic() < end_s and len(said) < MAX_ANSWER_BYTES:
            if stopped():
                raise UnpackingStoppedError
            if not ready.poll(LOOK_S * 1000):
                continue
            data = os.read(out.fileno(), MAX_ANSWER_BYTES)
            if not data:
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
                return said
            said += data
    return b""


def _why_ended(status: int, limits: Limits) -> str:
    if status == -signal.SIGXCPU:
        return f"takes more than {limits.cpu_s} s of CPU to be unpacked"
    if status == -signal.SIGKILL:
        return f"was not unpacked within {limits.wall_s:.0f} s, or took more memory than there was"
    if status < 0:
        return (
            f"takes more than {limits.mem_bytes} bytes of memory to be unpacked (signal {-status})"
        )
    return f"was not unpacked: the process that does it ended with status {status}"
