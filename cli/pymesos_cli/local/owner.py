"""The certificates of a local cluster, and the context by which its owner gets in.

Whoever has the key of one of these certificates is let in, so they are in a folder for the owner
alone. The context is there for as long as the keeper holds the lock of that folder.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pymesos_cli.local.cluster import LocalError
from pymesos_core.contexts import Context, ContextError, own_contexts
from pymesos_core.security.authority import certificate_pem, key_pem, make_root
from pymesos_core.security.identities import read_principal
from pymesos_core.security.issuing import issue, replace_file
from pymesos_core.text import os_problem

CLUSTER = "local"
LIFETIME_S = 365 * 86400.0
MASTER, BINPACK, AGENT = "master/local", "framework/binpack", "agent/agent-{}"
OWNER, OF_FRAMEWORKS = "operator/owner", "framework/local"
TLS, AUTHORITY, HELD = "tls", "authority", "held"


def tls_of(folder: Path, principal: str) -> Path:
    """The folder with the certificate of a principal."""
    return folder / TLS / principal.replace("/", "-")


def make_certificates(folder: Path, agents: int) -> None:
    """Make an authority, and what it signs for all of the cluster. Raises LocalError."""
    names = [MASTER, BINPACK, *(AGENT.format(n + 1) for n in range(agents)), OWNER, OF_FRAMEWORKS]
    try:
        (folder / TLS).mkdir(mode=0o700)
        _make_certificates(folder, names, time.time())
    except OSError as error:
        raise LocalError(f"certificates cannot be written: {os_problem(error)}") from error


def _make_certificates(folder: Path, principals: Iterable[str], now_s: float) -> None:
    """Raises OSError."""
    root = make_root(CLUSTER, now_s)
    signing = root.make_intermediate("intermediate", now_s)
    roots = certificate_pem(root.certificate)
    authority = folder / TLS / AUTHORITY  # as `cluster issue` takes it
    authority.mkdir(mode=0o700)
    replace_file(authority / "root.pem", roots)
    replace_file(authority / "intermediate.pem", certificate_pem(signing.certificate))
    replace_file(authority / "intermediate.key", key_pem(signing.key))
    for principal in principals:
        to = read_principal(CLUSTER, principal)
        issue(tls_of(folder, principal), to, signing, roots, LIFETIME_S, now_s)


@contextmanager
def context_of(folder: Path, master: str, *, auth: bool) -> Iterator[Context]:
    """The owner's context while the cluster runs; without a name where it cannot be written."""
    held = folder / HELD
    context = Context("", master, held=held)
    if auth:
        tls, of_frameworks = tls_of(folder, OWNER), tls_of(folder, OF_FRAMEWORKS)
        context = replace(context, tls=tls, framework_tls=of_frameworks)
    lock = os.open(held, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            context = own_contexts().add_as(CLUSTER, context)
        except ContextError as error:
            print(f"there is no context for this cluster: {error}", file=sys.stderr)
        yield context
    finally:
        os.close(lock)
        forget_context(folder)


def forget_context(folder: Path) -> None:
    """Remove the context of a cluster that has ended, where there is one."""
    try:
        own_contexts().remove_held(folder / HELD)
    except ContextError:
        return  # it means nothing any more, and the next `local` removes it
