"""How an access token is written: a prefix that is known, and a secret.

It is sent by HTTP as `Authorization: Bearer TOKEN`, and masters keep its SHA-256 alone. The session
of a browser is the same with another prefix, in a cookie, and with a token against forged requests.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from pymesos_core.private import is_same

PREFIX = "pymesos_at_"  # by which one is found where it does not belong
SESSION_PREFIX = "pymesos_se_"
SECRET_BYTES = 32
# Only the host that set them is sent them, and only by HTTPS: browsers see to that for this prefix.
SESSION_COOKIE, CSRF_COOKIE = "__Host-pymesos", "__Host-pymesos-csrf"
_WRITTEN = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_COOKIE = re.compile(rf"(?:^|;) *{SESSION_COOKIE}=({SESSION_PREFIX}[A-Za-z0-9_-]{{43}}) *(?:;|$)")
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


def new_session() -> str:
    """Make the secret of a session that nobody has made before."""
    return f"{SESSION_PREFIX}{secrets.token_urlsafe(SECRET_BYTES)}"


def shown_session(cookies: str) -> str:
    """Return the secret of the session in a header `Cookie`; empty: there is none."""
    found = _COOKIE.search(cookies)
    return found[1] if found is not None else ""


def csrf_token(session: str) -> str:
    """Return what a page of the session says with whatever it changes, and no other page knows."""
    return hmac.new(session.encode(), b"csrf", hashlib.sha256).hexdigest()


def is_csrf_token(session: str, said: str) -> bool:
    """Whether a page of the session says this."""
    return is_same(csrf_token(session), said)


def session_cookies(session: str, lifetime_s: float) -> tuple[str, str]:
    """Return the headers `Set-Cookie` that begin a session in a browser.

    Scripts do not see the first. They read the second, and send it back as a header.
    """
    kept = f"Path=/; Secure; SameSite=Strict; Max-Age={int(lifetime_s)}"
    return (
        f"{SESSION_COOKIE}={session}; HttpOnly; {kept}",
        f"{CSRF_COOKIE}={csrf_token(session)}; {kept}",
    )


NO_SESSION = tuple(
    f"{name}=; Path=/; Secure; SameSite=Strict; Max-Age=0{more}"
    for name, more in ((SESSION_COOKIE, "; HttpOnly"), (CSRF_COOKIE, ""))
)
