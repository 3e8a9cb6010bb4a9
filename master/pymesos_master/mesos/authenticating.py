"""Who calls by Mesos' API: by name and password (HTTP Basic), by an access token, by a certificate,
or by where the call comes from."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pymesos_core.caller import Caller, Method, peer_of
from pymesos_core.ids import hidden_character
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.private import read_private
from pymesos_core.security.access_tokens import shown_digest
from pymesos_core.security.gate import Authentication, Gate, OnRefused
from pymesos_core.security.identities import IdentityError, Kind, read_principal
from pymesos_core.security.revocations import Revocations
from pymesos_core.text import os_problem, quoted
from pymesos_core.transport import CallError
from pymesos_master.http.sessions import Guesses
from pymesos_master.services.access_tokens import AccessTokens

OF_FRAMEWORKS, OF_OPERATORS = "/pymesos.v1.Scheduler/Connect", "/pymesos.v1.Operator/GetOverview"
REALM = "mesos-master-scheduler"  # as in Mesos, whose clients may look for it
MAX_FILE_BYTES = 1024 * 1024
MAX_HEADER_BYTES = 4096
MOST_CREDENTIALS = 1000
NO_CERTIFICATE: Authentication = {}
LOOPBACK = ("127.0.0.0/8", "::1/128")
OWN_USER = "own-user"  # in the place of a network: this machine, and the user of this process
_ANY_CLUSTER = "x"  # principals are read as of some cluster: they do not name it

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Anonymous:
    """Callers without credentials are this principal, if they come from these networks, and with
    `own_user` are processes of the user that this one is of."""

    principal: str
    networks: tuple[Network, ...]
    own_user: bool = False


def principal_of(written: str) -> str:
    """Return `framework/NAME` of NAME, as Mesos has it; a kind before it may be `operator`, too.

    Raises ValueError.
    """
    try:
        who = read_principal(_ANY_CLUSTER, written if "/" in written else f"framework/{written}")
    except IdentityError as error:
        raise ValueError(str(error)) from None
    if who.kind not in (Kind.FRAMEWORK, Kind.OPERATOR):
        raise ValueError(
            f"{quoted(written)} is of the kind {who.kind}; a framework or an operator is expected,"
            f" as in framework/NAME, NAME or operator/NAME"
        )
    return who.principal


def read_anonymous(written: str) -> Anonymous:
    """Read PRINCIPAL[@CIDR]; without CIDR it is loopback, as of one's own user.

    Raises ValueError.
    """
    principal, at, network = written.partition("@")
    own_user = network == OWN_USER
    try:
        networks = tuple(map(ipaddress.ip_network, LOOPBACK if own_user or not at else (network,)))
    except ValueError as error:
        raise ValueError(
            f"{quoted(network)} is no network ({error}); as in framework/old@10.0.0.0/8, or"
            f" @{OWN_USER}"
        ) from None
    return Anonymous(principal_of(principal), networks, own_user)


def read_credentials(written: str) -> Mapping[str, str]:
    """Read a file of credentials in either format of Mesos: principals, each with its secret.

    Raises ValueError, which repeats no secret.
    """
    try:
        data = read_private(Path(written), MAX_FILE_BYTES + 1, pipes=True)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"the credentials cannot be read: {os_problem(error)}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{quoted(written)} holds no text in UTF-8") from None
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"{quoted(written)} has more than {MAX_FILE_BYTES} bytes")
    pairs = _pairs_of_json(text) if text.lstrip().startswith("{") else _pairs_of_lines(text)
    if not pairs or len(pairs) > MOST_CREDENTIALS:
        raise ValueError(
            f"{quoted(written)} has {len(pairs)} credentials; 1 to {MOST_CREDENTIALS} are expected"
        )
    found: dict[str, str] = {}
    for name, secret in pairs:
        if not secret:
            raise ValueError(f"the principal {quoted(name)} has no secret")
        if (hidden := hidden_character(secret)) is not None:
            raise ValueError(
                f"the secret of the principal {quoted(name)} has a character that nobody sees:"
                f" {hidden}"
            )
        if found.setdefault(name, secret) != secret:
            raise ValueError(f"the principal {quoted(name)} has two secrets")
        principal_of(name)
    return found


def _pairs_of_json(text: str) -> list[tuple[str, str]]:
    expected = '{"credentials": [{"principal": "NAME", "secret": "SECRET"}]} is expected'
    try:
        value: Any = json.loads(text)
        pairs = [(one["principal"], one["secret"]) for one in value["credentials"]]
        if all(isinstance(text, str) for pair in pairs for text in pair):
            return pairs
        raise TypeError("null and numbers are no texts")
    except (KeyError, RecursionError, TypeError, ValueError):
        raise ValueError(f"the credentials cannot be read as JSON: {expected}") from None


def _pairs_of_lines(text: str) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise ValueError(f"line {number} has {len(words)} words; PRINCIPAL SECRET is expected")
        pairs.append((words[0], words[1]))
    return pairs


class Authenticator:
    """Says who calls, or refuses as Mesos does."""

    def __init__(
        self,
        credentials: Mapping[str, str],
        anonymous: Sequence[Anonymous],
        revocations: Revocations | None,
        tokens: AccessTokens | None = None,
        gate: Gate | None = None,
        on_refused: OnRefused | None = None,
    ) -> None:
        """`tokens` and `gate` know access tokens and certificates, where these are taken.

        `on_refused` is told of whose password was wrong, as that of a gate.

        `revocations` are those of a cluster with certificates: there everybody has to be known.

        In another nothing is decided by who calls without a secret, as on gRPC.
        """
        self._credentials = credentials
        self._anonymous = anonymous
        self.revocations = revocations or Revocations()
        self._closed = revocations is not None
        self._tokens = tokens
        self._gate = gate
        self._on_refused = on_refused
        self._guesses = {name: Guesses() for name in credentials}

    def caller(
        self,
        authorization: str | None,
        ip: str,
        realm: str = REALM,
        certificate: Authentication = NO_CERTIFICATE,
        path: str = OF_OPERATORS,
        is_own_user: Callable[[], bool] = lambda: False,
    ) -> Caller | None:
        """Return who calls; None: only the master that leads knows.

        `path` is what is called, as the gate knows it; `is_own_user` whether who calls is of the
        user that this process is of. Raises RefusalError, which names the realm to be known in.
        """
        peer = peer_of(ip)
        if authorization is not None and authorization[:7].lower() == "bearer ":
            return self._by_token(authorization, peer, realm)
        if authorization is None and certificate and self._gate is not None:
            return self._by_certificate(path, peer, certificate)
        if authorization is not None:
            principal = principal_of(self._proved(authorization, peer, realm, path))
            return self.let_in(Caller(principal, Method.BASIC, peer=peer, via="mesos"))
        for one in self._anonymous:
            if _is_in(ip, one.networks) and (not one.own_user or is_own_user()):
                if not self._closed:
                    return Caller(peer=peer, via="mesos")
                return self.let_in(Caller(one.principal, Method.ADDRESS, peer=peer, via="mesos"))
        raise _unauthorized(realm)

    def _by_token(self, authorization: str, peer: str, realm: str) -> Caller | None:
        digest = shown_digest(authorization[:MAX_HEADER_BYTES])
        if self._tokens is None or digest is None:
            raise _unauthorized(realm)
        try:
            caller = self._tokens.here(digest, peer)
        except CallError:
            raise _unauthorized(realm) from None
        return None if caller is None else self.let_in(replace(caller, via="mesos"))

    def _by_certificate(self, path: str, peer: str, certificate: Authentication) -> Caller:
        assert self._gate is not None
        try:
            return replace(self._gate(path, peer, certificate), via="mesos")
        except CallError as error:
            raise RefusalError(403, error.message) from None

    def let_in(self, caller: Caller) -> Caller:
        """Return the same, unless it was revoked meanwhile. Raises RefusalError."""
        if problem := self.revocations.problem(caller):
            raise RefusalError(403, problem)
        return caller

    def _proved(self, authorization: str, peer: str, realm: str, path: str) -> str:
        """The principal whose secret this is. Whoever guesses at one has to wait."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic" or len(encoded) > MAX_HEADER_BYTES:
            raise _unauthorized(realm)
        try:
            said = base64.b64decode(encoded.strip(), validate=True).decode()
        except ValueError:  # of base64, or of UTF-8
            raise _unauthorized(realm) from None
        name, _, secret = said.partition(":")
        known = self._credentials.get(name)
        if known is not None and (left_s := self._guesses[name].left_s(peer)) > 0:
            raise RefusalError(429, f"too many passwords were wrong: wait for {left_s:.0f} s")
        same = hmac.compare_digest(secret.encode(), (known or "").encode())
        if known is not None and same:
            return name
        if known is not None:
            self._guesses[name].wrong(peer)
            if self._on_refused is not None:
                who = Caller(principal_of(name), None, peer=peer, via="mesos")
                self._on_refused(who, path, "the password is wrong")
        raise _unauthorized(realm)


def _unauthorized(realm: str) -> RefusalError:
    return RefusalError(401, "", {"WWW-Authenticate": f'Basic realm="{realm}"'})


def is_loopback(ip: str) -> bool:
    """Whether a call comes from this machine."""
    return _is_in(ip, tuple(map(ipaddress.ip_network, LOOPBACK)))


def _is_in(ip: str, networks: Sequence[Network]) -> bool:
    address = _address(ip)
    return address is not None and any(address in network for network in networks)


@lru_cache(maxsize=1024)
def _address(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that is written so: of one that is mapped to IPv6, that of IPv4."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
