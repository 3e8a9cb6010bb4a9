"""The process that unpacks what comes from outside: a program of its own, for one archive.

It takes its limits before it opens anything, and gives up what it need not have before it parses
anything: the user of the task unpacks an archive, and a layer, whose files belong to many, is
unpacked by a root that sees nothing but the layer's folder and has few capabilities. The standard
library only.
"""

from __future__ import annotations

import bz2  # noqa: F401 - before it is another user, who may not read it
import encodings.cp437  # noqa: F401 - names in a zip
import json
import lzma  # noqa: F401
import os
import resource
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

from pymesos_agent.files.archives import ArchiveError, Unpacker
from pymesos_agent.files.below import OutsideError, open_real
from pymesos_agent.files.budget import Limits
from pymesos_agent.files.confining import become, drop_capabilities, end_with_the_agent
from pymesos_agent.runtimes.oci.layers import LayerError, unpack

# CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SYS_ADMIN (attributes of overlayfs), MKNOD, SETFCAP.
OF_A_LAYER = frozenset({0, 1, 3, 4, 21, 27, 31})
MAX_FILES = 256
MAX_QUOTED = 200  # characters of what was unforeseen


def main() -> None:
    """Do what the first argument says, and print how it ended."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    limits = Limits(**job["limits"])
    text = f"takes more than {limits.mem_bytes} bytes of memory to be unpacked"
    too_much = json.dumps({"error": "TooMuchError", "text": text})  # while there is memory
    try:
        _bound(limits)
        end_with_the_agent()
        said = json.dumps(_how_it_ends(job, limits))
    except MemoryError:
        said = too_much
    sys.stdout.write(said)


def _how_it_ends(job: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Raises MemoryError."""
    try:
        return {"done": _do(job, limits)}
    except (OutsideError, ArchiveError, LayerError) as error:
        return {"error": type(error).__name__, "text": str(error)}
    except MemoryError:
        raise
    except OSError as error:
        if error.errno is not None:
            text = error.strerror or str(error)
            return {"error": "OSError", "text": text, "errno": error.errno}
        return {"error": "ArchiveError", "text": f"is damaged: {error}"}  # as bz2 has it
    except Exception as error:  # what parses it raises more than it documents
        text = f"is damaged: {type(error).__name__}: {str(error)[:MAX_QUOTED]}"
        return {"error": "ArchiveError", "text": text}


def _do(job: dict[str, Any], limits: Limits) -> int:
    user = tuple(job["user"]) if job.get("user") else None
    if job["kind"] == "layer":
        folder = Path(job["folder"])
        blob, base = Path(job["blob"]), job["user_namespace_base"]
        confine = partial(_keep_to, folder)
        return unpack(blob, folder, job["diff_id"], base, limits, confine)
    if job["kind"] == "open":
        become(user)
        with socket.socket(fileno=job["socket"]) as answer:
            file = open_real(job["path"], os.O_RDONLY | os.O_NONBLOCK)
            socket.send_fds(answer, [b"x"], [file])
        return 0
    with Unpacker(Path(job["folder"]), None, lambda: None, limits) as into:
        become(user)
        into.extract(sys.stdin.buffer, job["below"])
    return 0


def _bound(limits: Limits) -> None:
    for what, most in (
        (resource.RLIMIT_AS, limits.mem_bytes),
        (resource.RLIMIT_FSIZE, limits.size_bytes),
        (resource.RLIMIT_NOFILE, MAX_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))  # then SIGXCPU
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # it is an error of the write


def _keep_to(folder: Path) -> None:
    """To what is below a folder, with what a layer needs."""
    os.chroot(folder)
    os.chdir("/")
    drop_capabilities(OF_A_LAYER)
    end_with_the_agent()


if __name__ == "__main__":
    main()
