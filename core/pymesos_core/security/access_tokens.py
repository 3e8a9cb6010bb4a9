"""How an access token is written: a prefix that is known, and a secret.

It is sent by HTTP as `Authorization: Bearer TOKEN`, and masters keep its SHA-256 alone.
"""

from __future__ import annotations

import hashlib
import re
import secrets

PREFIX = "pymesos_at_"  # by which one is found where it does not belong
SECRET_BYTES = 32
_WRITTEN = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_BEARER = re.compile(r"Bearer +(\S+)", re.IGNORECASE)


def new_access_token() -> str:
    """Make one that nobody has made before."""
    return f"{PREFIX}{secrets.token_urlsafe(SECRET_BYTES)}"


def digest_of(token: str) -> bytes:
    """Return what masters keep of one."""
    return hashlib.sha256(token.encode()).digest()


def shown_digest(authorization: str) -> bytes | None:
    """Return the digest of the token in a header `Authorization`; None: there is none."""
    bearer = _BEARER.fullmatch(authorization)
    if bearer is None or not _WRITTEN.fullmatch(bearer[1]):
        return None
    return digest_of(bearer[1])
