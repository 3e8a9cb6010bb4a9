"""The certificates of a local cluster, and the context by which its owner gets in.

Whoever has the key of one of these certificates is let in, so they are in a folder for the owner
alone. The context is there for as long as the lock in that folder is held.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pymesos_cli.local.cluster import LocalError
from pymesos_core.contexts import Context, ContextError, is_held, own_contexts
from pymesos_core.security.authority import certificate_pem, key_pem, make_root
from pymesos_core.security.identities import read_principal
from pymesos_core.security.issuing import issue, replace_file
from pymesos_core.text import os_problem

CLUSTER = "local"
LIFETIME_S = 365 * 86400.0
MASTER, BINPACK, AGENT = "master/local", "framework/binpack", "agent/agent-{}"
OWNER, OF_FRAMEWORKS = "operator/owner", "framework/local"
AUTHORITY, HELD, LOCALS = "authority", "held", "local"


def tls_of(secrets: Path, principal: str) -> Path:
    """The folder with the certificate of a principal."""
    return secrets / principal.replace("/", "-")


def secrets_of(folder: Path) -> Path:
    """Where the secrets of a cluster are: in its owner's configuration if they can be there.

    Nothing else is made there, so that they can be hidden from tasks by rules that hide as well
    whatever is made later in the folders around them.
    """
    try:
        return own_contexts().folder_for(LOCALS) / folder.name
    except ContextError:
        return folder / "secrets"


def hold(secrets: Path) -> int:
    """Make the folder, and hold it with the lock that is returned. Raises LocalError.

    Folders whose `local` was killed go.
    """
    try:
        for other in secrets.parent.glob("pymesos-local-*"):
            if other != secrets and not is_held(other / HELD):
                shutil.rmtree(other, ignore_errors=True)
        # It has its name when it is locked, so that no other `local` removes it.
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=secrets.parent))  # 0700
        lock = os.open(made / HELD, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        made.rename(secrets)
    except OSError as error:
        raise LocalError(f"certificates cannot be kept: {os_problem(error)}") from error
    return lock


def make_certificates(secrets: Path, agents: int) -> None:
    """Make an authority, and what it signs for all of the cluster. Raises LocalError."""
    names = [MASTER, BINPACK, *(AGENT.format(n + 1) for n in range(agents)), OWNER, OF_FRAMEWORKS]
    try:
        _make_certificates(secrets, names, time.time())
    except OSError as error:
        raise LocalError(f"certificates cannot be written: {os_problem(error)}") from error


def _make_certificates(secrets: Path, principals: Iterable[str], now_s: float) -> None:
    """Raises OSError."""
    root = make_root(CLUSTER, now_s)
    signing = root.make_intermediate("intermediate", now_s)
    roots = certificate_pem(root.certificate)
    authority = secrets / AUTHORITY  # as `cluster issue` takes it
    authority.mkdir(mode=0o700)
    replace_file(authority / "root.pem", roots)
    replace_file(authority / "intermediate.pem", certificate_pem(signing.certificate))
    replace_file(authority / "intermediate.key", key_pem(signing.key))
    for principal in principals:
        to = read_principal(CLUSTER, principal)
        issue(tls_of(secrets, principal), to, signing, roots, LIFETIME_S, now_s)


def add_context(secrets: Path, master: str, *, auth: bool) -> Context:
    """Add the owner's context; it has no name where it cannot be written."""
    context = Context("", master, held=secrets / HELD)
    if auth:
        tls, of_frameworks = tls_of(secrets, OWNER), tls_of(secrets, OF_FRAMEWORKS)
        context = replace(context, tls=tls, framework_tls=of_frameworks)
    try:
        context = own_contexts().add_as(CLUSTER, context)
    except ContextError as error:
        print(f"there is no context for this cluster: {error}", file=sys.stderr)
    return context


def forget(secrets: Path) -> None:
    """Remove the context of a cluster that has ended, where there is one, and its secrets."""
    with suppress(ContextError):  # it means nothing any more, and the next `local` removes it
        own_contexts().remove_held(secrets / HELD)
    shutil.rmtree(secrets, ignore_errors=True)
