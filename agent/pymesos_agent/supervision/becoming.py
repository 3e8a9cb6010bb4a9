"""The last steps of a process of the agent on its way to being one of a container's.

A supervisor takes them for a container's first process; for what enters one (`pymesos-cli exec`,
commands of checks) this module is a program. Until a process is the task's user it has nothing of
the task's: not its environment, whose LD_PRELOAD and PATH would be obeyed with the agent's rights,
and none of its programs. The standard library only, and little of it: each entry waits for this.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # the rest of `signal` takes 4 ms
import errno
import marshal
import os
import resource
import sys

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    Message = dict[str, Any]


class BecomingError(Exception):
    """A step that failed: the message says which, and why."""


def become(spec: Message, pipes: Sequence[str] = ()) -> NoReturn:
    """Turn into the program of a launch, or of an entry. Raises BecomingError.

    `pipes` are to be its output; without, what this process has.
    """
    step = "join its cgroup"
    try:
        for path in spec.get("cgroups", ()):
            with open(path, "wb", buffering=0) as procs:
                procs.write(b"0")
        step = "limit it"
        for name, soft, hard in spec.get("ulimits", ()):
            resource.setrlimit(getattr(resource, name), (soft, hard))
        if pipes:
            step = "open its pipes"
            null = os.open("/dev/null", os.O_RDONLY)
            out, err = (os.open(path, os.O_RDWR) for path in pipes)
            for number, descriptor in enumerate((null, out, err)):
                os.dup2(descriptor, number)
        if spec.get("hidden"):
            from pymesos_agent.supervision.hiding import hide  # nobody else waits for it

            step = "hide what is not its own"
            hide(spec["hidden"])
        if spec.get("no_new_privileges"):
            from pymesos_agent.supervision.hiding import never_more_rights

            step = "give up rights"
            never_more_rights()
        if spec.get("ids"):
            uid, gid, groups = spec["ids"]
            step = f"become user {uid}:{gid}"
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
        step = "enter its sandbox"
        os.chdir(spec["cwd"])
        os.umask(0o022)
        env = spec["env"]
        if spec.get("has_path_of_agent"):
            env = {**env, "PATH": searchable(env["PATH"])}
        step = f"execute {spec['argv'][0]}"
        execute(spec["argv"], env)
    except BaseException as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BecomingError(f"cannot {step}: {reason}") from error


def searchable(path: str) -> str:
    """A PATH without the folders that this process may not search.

    They are the agent's own, as /root/bin: of a program that is nowhere they would have it said
    that permission is denied, and not that there is none.
    """
    kept = []
    for folder in path.split(":"):
        try:
            os.stat(f"{folder}/.")
        except PermissionError:
            continue
        except OSError:
            pass  # it may be made yet
        kept.append(folder)
    return ":".join(kept) or os.defpath


def execute(argv: list[str], env: Mapping[str, str]) -> NoReturn:
    """As os.execvpe, which imports something: the user may not be able to read that any more.

    Raises OSError.
    """
    if "/" in argv[0]:
        os.execve(argv[0], argv, env)  # noqa: S606
    problem: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for folder in env.get("PATH", os.defpath).split(":"):
        try:
            os.execve(f"{folder or '.'}/{argv[0]}", argv, env)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            problem = error
    raise problem


def main() -> NoReturn:
    """Become what a file says, which goes: it has the environment of a task."""
    try:
        path = sys.argv[1]
        with open(path, "rb") as file:
            spec = marshal.load(file)  # noqa: S302 - written by this program's own version
        os.unlink(path)
        # Ignored by an interpreter, and inherited if left so.
        for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
            _signal.signal(number, _signal.SIG_DFL)
        become(spec)
    except BaseException as error:
        missing = isinstance(error.__cause__, FileNotFoundError)
        os.write(2, f"{error}\n".encode("utf-8", "backslashreplace"))
        os._exit(127 if missing else 126)
