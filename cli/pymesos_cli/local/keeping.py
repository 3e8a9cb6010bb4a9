"""`local`: a whole cluster in the foreground on loopback, and nothing left of it afterwards.

Two processes: the one that was called waits and passes signals on, and a child of it, the keeper,
starts the installed roles and ends them. Both are subreapers, so that what outlives its agent on
purpose (supervisors, with the tasks below them) falls to one of them when the agent is killed. The
kernel tells the keeper when the first one dies, and the roles when the keeper does: whichever of
them gets kill -9, another ends the rest. Neither imports gRPC.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from pymesos_cli.local.cluster import (
    SIGNALS,
    STOP_TIMEOUT_S,
    LocalCluster,
    LocalError,
    Stop,
    StoppedError,
    become_subreaper,
    reap,
    sweep,
    wanted_signals,
)
from pymesos_cli.local.owner import (
    add_context,
    forget,
    hold,
    make_certificates,
    secrets_of,
)
from pymesos_cli.local.starting import Wanted, start_cluster
from pymesos_core import bound
from pymesos_core.contexts import Context
from pymesos_core.mounts import unmount_below
from pymesos_core.processes import keep_to_itself
from pymesos_core.text import count_of


def run_local(wanted: Wanted) -> int:
    """Run until Ctrl-C or SIGTERM; the exit status. Raises LocalError."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="pymesos-local-"))
        folder.chmod(0o711)  # tasks of other users find their sandboxes
    except OSError as error:
        raise LocalError(
            f"a temporary folder for the cluster cannot be made: {error.strerror or error}. Make"
            f" room there, or name another with TMPDIR"
        ) from error
    secrets = secrets_of(folder)
    keep_to_itself()
    become_subreaper()
    parent = os.getpid()
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # none is lost before it can be passed on
    keeper = os.fork()
    if keeper == 0:
        _be_keeper(parent, lambda stop: _keep(folder, secrets, wanted, stop))
    with _passing_on(keeper):
        _, status = os.waitpid(keeper, 0)
    if os.WIFSIGNALED(status):
        # The roles were told by the kernel, and are our children now.
        print("the keeper of the cluster was killed; ending what is left …", file=sys.stderr)
        sweep(STOP_TIMEOUT_S)
    else:
        sweep(0.0)
    forget(secrets)
    _remove(folder)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1


def _remove(folder: Path) -> None:
    """Delete the cluster's folder, where agents of root mount volumes."""
    with contextlib.suppress(OSError):  # it stays, then
        unmount_below(folder)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _passing_on(keeper: int) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(keeper, number)

    before = {number: signal.signal(number, pass_on) for number in wanted_signals()}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _be_keeper(parent: int, keep: Callable[[Stop], int]) -> None:
    """In the child: keep the cluster, and end. Does not return."""
    status = 1
    try:
        os.setsid()  # Ctrl-C comes through the parent alone, once
        bound.die_with_parent()
        become_subreaper()
        stop = Stop()
        stop.install()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if os.getppid() != parent:
            stop.asked += 1  # it has ended before it could be told
        status = keep(stop)
    except LocalError as error:
        print(f"Error: {error}", file=sys.stderr)
    except BaseException as error:  # it must not go back into the caller's work
        with contextlib.suppress(Exception):
            print(f"pymesos-cli local: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _keep(folder: Path, secrets: Path, wanted: Wanted, stop: Stop) -> int:
    """Run the cluster until it is to stop; the exit status. Raises LocalError.

    Nothing is left of it, also when it is to stop while it starts.
    """
    try:
        hold(secrets)  # until this process has ended
        if wanted.auth:
            make_certificates(secrets, wanted.agents)
        cluster = start_cluster(folder, secrets, wanted, stop)
        context = add_context(secrets, cluster.roles[0].address, auth=wanted.auth)
        return _until_it_stops(cluster, lambda: _greet(cluster, wanted, context), stop)
    except StoppedError:
        return stop.status
    finally:
        sweep(0.0)
        forget(secrets)
        _remove(folder)


def _until_it_stops(cluster: LocalCluster, greet: Callable[[], None], stop: Stop) -> int:
    failed = False
    try:
        greet()
        while not stop.wanted and not failed:
            time.sleep(0.2)
            for role in cluster.ended():
                print(
                    f"{role.name} is gone; {role.last_words(kept=role.is_agent)}", file=sys.stderr
                )
                failed = failed or not role.is_agent
                if all(role.told for role in cluster.roles if role.is_agent):
                    print(
                        "no agent is left, so nothing runs; Ctrl-C ends the rest", file=sys.stderr
                    )
            # What agents have mounted stays, whoever removes the rest.
            if not (cluster.folder / "master").is_dir():
                print(f"the cluster's folder {cluster.folder} was removed", file=sys.stderr)
                failed = True
            reap(frozenset(role.process.pid for role in cluster.roles))
    finally:
        with contextlib.suppress(Exception):  # whoever reads it may have gone
            again = "" if failed else " (Ctrl-C again: at once, without waiting for tasks)"
            print(f"stopping{again} …", file=sys.stderr, flush=True)
        well = cluster.stop()
    return 1 if failed or not well else 0


def _greet(cluster: LocalCluster, wanted: Wanted, context: Context) -> None:
    print(f"master {context.master}", flush=True)
    for first, said in cluster.roles[0].said.items():
        print(f"{first}{said}", flush=True)
    print(
        f"{count_of(wanted.agents, 'agent')} and a bin-packing framework; logs and sandboxes are in"
        f" {cluster.folder}\n"
        f"{_who_gets_in(context)}\n"
        f"try, in another terminal:\n"
        f"  export PYMESOS_MASTER={context.master}\n"
        f"  pymesos-cli run -- echo hello\n"
        f"  pymesos-cli agents\n"
        f"  pymesos-cli web        (the page, in a browser)\n"
        f"Ctrl-C ends it with all its tasks, and removes that folder: copy first what you want",
        flush=True,
    )


def _who_gets_in(context: Context) -> str:
    if context.tls is None:
        return "without certificates (--no-auth), everybody on this machine gets in"
    if not context.name:
        return (
            f"only you get in, and say so in each terminal:\n"
            f"  export PYMESOS_TLS={shlex.quote(str(context.tls))}"
        )
    return (
        f"only you get in: your certificate is in the context {context.name}, the current one until"
        f" this ends"
    )
