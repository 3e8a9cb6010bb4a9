"""Who may do what below a cluster's path in ZooKeeper, where the masters have credentials.

Masters may do everything. Everybody else may read who leads: the names of the contenders and what
they say of themselves. The registry and the epoch are for masters alone.
"""

from __future__ import annotations

import contextlib
from typing import Any

from kazoo.exceptions import NoNodeError
from kazoo.security import ACL, make_acl, make_digest_acl

from pymesos_core.addresses import ZkUrl


def masters_only(url: ZkUrl) -> list[ACL] | None:
    """The rights to a znode of the masters; None where they have no credentials."""
    if url.auth is None:
        return None
    user, _, password = url.auth.partition(":")
    return [make_digest_acl(user, password, all=True)]


def readable(url: ZkUrl) -> list[ACL] | None:
    """The rights to a znode that says who leads; None where masters have no credentials."""
    rights = masters_only(url)
    return None if rights is None else [*rights, make_acl("world", "anyone", read=True)]


def make_path(client: Any, url: ZkUrl) -> None:
    """Create the cluster's path, and let everybody read the names of the contenders."""
    client.ensure_path(url.path)
    rights = readable(url)
    if rights is not None and not _is_readable_only(client.get_acls(url.path)[0]):
        client.set_acls(url.path, rights)


def close_registry(client: Any, url: ZkUrl) -> None:
    """Close what masters wrote before they had credentials.

    The registry's own znode is the last, so that one that is closed says that all below it are.
    """
    rights, root = masters_only(url), f"{url.path}/registry"
    if rights is None:
        return
    client.ensure_path(root)
    if not _is_open(client.get_acls(root)[0]):
        return
    for kind in client.get_children(root):
        folder = f"{root}/{kind}"
        asked = [
            client.set_acls_async(f"{folder}/{name}", rights)
            for name in client.get_children(folder)
        ]
        for answer in asked:
            answer.get()
        client.set_acls(folder, rights)
    with contextlib.suppress(NoNodeError):  # the first leader creates it closed
        client.set_acls(f"{url.path}/epoch", rights)
    client.set_acls(root, rights)


def _is_open(rights: list[ACL]) -> bool:
    return any(right.id.scheme == "world" for right in rights)


def _is_readable_only(rights: list[ACL]) -> bool:
    return [r.acl_list for r in rights if r.id.scheme == "world"] == [["READ"]]
