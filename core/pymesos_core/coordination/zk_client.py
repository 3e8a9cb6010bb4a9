"""Clients of ZooKeeper, with the credentials and certificates of its URL, and what they say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    OperationTimeoutError,
    SessionExpiredError,
)
from kazoo.handlers.threading import KazooTimeoutError

from pymesos_core.addresses import ZK_CERTIFICATE, ZK_KEY, ZK_ROOTS, ZkUrl
from pymesos_core.coordination.interface import RegistryError
from pymesos_core.coordination.zk_rights import masters_only

# kazoo tells of every lost connection, each second and with tracebacks: its state is logged by us,
# in servers, the CLI and frameworks alike. Who uses kazoo otherwise hears it as before.
_UNHEARD = logging.getLogger(f"{__name__}.kazoo")
_UNHEARD.setLevel(logging.CRITICAL)

MakeClient = Callable[[ZkUrl, float], Any]  # of KazooClient's calls: the URL, a session's timeout


def make_client(url: ZkUrl, session_timeout_s: float) -> KazooClient:
    """A client that reconnects for ever. Nothing is sent yet."""
    return KazooClient(
        hosts=url.hosts,
        timeout=session_timeout_s,
        auth_data=[("digest", url.auth)] if url.auth else None,
        default_acl=masters_only(url),
        connection_retry={"max_tries": -1, "delay": 0.1, "max_delay": 1.0},
        command_retry={"max_tries": 3, "delay": 0.1, "max_delay": 1.0},
        logger=_UNHEARD,
        **_tls(url.tls),
    )


def _tls(folder: Path | None) -> dict[str, Any]:
    """What kazoo is told: servers have to show a certificate for the host in the URL."""
    if folder is None:
        return {}
    has_own = (folder / ZK_CERTIFICATE).exists()
    return {
        "use_ssl": True,
        "verify_certs": True,
        "check_hostname": True,
        "ca": str(folder / ZK_ROOTS),
        "certfile": str(folder / ZK_CERTIFICATE) if has_own else None,
        "keyfile": str(folder / ZK_KEY) if has_own else None,
    }


_IN_WORDS: Mapping[type[Exception], str] = {
    ConnectionLoss: "the connection to it broke",
    ConnectionClosedError: "the connection to it is closed",
    SessionExpiredError: "the session has ended",
    OperationTimeoutError: "it did not answer in time",
    KazooTimeoutError: "it did not answer in time",
    NoAuthError: "it does not let these credentials do that",
    NoNodeError: "a znode of it is not there any more",
    NodeExistsError: "a znode of it is there already",
    BadVersionError: "somebody else has changed a znode of it",
}


def in_words(error: Exception) -> str:
    """Return what went wrong with ZooKeeper, for people."""
    for kind, words in _IN_WORDS.items():
        if isinstance(error, kind):
            return words
    said = str(error)
    return said if isinstance(error, RegistryError) else f"{type(error).__name__} {said}".rstrip()
