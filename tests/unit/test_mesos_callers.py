"""Who calls by Mesos' API, how often, and where detectors find it."""

from __future__ import annotations

import base64
import json
import os
import socket
from pathlib import Path
from typing import Any, cast

import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.coordination import MasterInfo
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.security.revocations import Revocations
from pymesos_core.transport import CallError, Code
from pymesos_master.http.sessions import MOST_WRONG
from pymesos_master.mesos.authenticating import (
    OF_FRAMEWORKS,
    Anonymous,
    Authenticator,
    read_anonymous,
    read_credentials,
)
from pymesos_master.mesos.pacing import Pace
from pymesos_master.mesos.peers import user_of
from pymesos_master.settings import MasterSettings

SECRETS = {"toil": "s3cret", "framework/other": "x"}


def basic(said: str) -> str:
    return "Basic " + base64.b64encode(said.encode()).decode()


def authenticator(*anonymous: str, closed: bool = False, revoked: tuple[str, ...] = ()) -> Any:
    revocations = Revocations() if closed else None
    if revocations is not None:
        revocations.set(revoked)
    return Authenticator(SECRETS, [read_anonymous(one) for one in anonymous], revocations)


# By name and password.


@pytest.mark.parametrize("closed", [False, True])
def test_a_principal_with_its_secret_is_known(closed: bool) -> None:
    caller = authenticator(closed=closed).caller(basic("toil:s3cret"), "10.0.0.9")
    assert caller == Caller("framework/toil", Method.BASIC, peer="ipv4:10.0.0.9", via="mesos"), (
        "as the policy names it"
    )
    assert authenticator().caller(basic("framework/other:x"), "::1").principal == "framework/other"


@pytest.mark.parametrize(
    "said",
    [
        "Basic t\udcffil",
        basic("toil:wrong"),
        basic("toil"),
        basic("toil:"),
        basic("nobody:s3cret"),
        basic("nobody:"),
        basic(":"),
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Bearer abc",
        "Basic " + "A" * 10_000,
        "",
    ],
)
def test_others_are_not_let_in_though_anonymous_callers_are(said: str) -> None:
    with pytest.raises(RefusalError) as refused:
        authenticator("old").caller(said, "127.0.0.1")
    assert refused.value.status == 401
    assert refused.value.headers["WWW-Authenticate"] == 'Basic realm="mesos-master-scheduler"'


def test_a_revoked_principal_is_not_let_in() -> None:
    for said in (basic("toil:s3cret"), None):
        gate = authenticator("toil", closed=True, revoked=("framework/toil",))
        with pytest.raises(RefusalError) as refused:
            gate.caller(said, "127.0.0.1")
        assert refused.value.status == 403


# By where the call comes from.


def test_without_credentials_only_this_machine_is_let_in() -> None:
    for ip in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
        assert authenticator("old").caller(None, ip).via == "mesos"
    for ip in ("10.0.0.1", "::2", "", "garbage"):
        with pytest.raises(RefusalError) as refused:
            authenticator("old").caller(None, ip)
        assert refused.value.status == 401


def test_a_network_may_be_named() -> None:
    gate = authenticator("old@10.0.0.0/8", "new@fd00::/8", closed=True)
    assert gate.caller(None, "10.1.2.3").principal == "framework/old"
    assert gate.caller(None, "fd00::1").principal == "framework/new"
    with pytest.raises(RefusalError):
        gate.caller(None, "127.0.0.1")


def test_where_nobody_has_a_certificate_an_address_proves_nothing() -> None:
    assert not authenticator("old").caller(None, "127.0.0.1").is_proved
    proved = authenticator("old", closed=True).caller(None, "127.0.0.1")
    assert (proved.principal, proved.method) == ("framework/old", Method.ADDRESS)


def test_processes_of_ones_own_user_may_be_let_in_alone() -> None:
    gate = authenticator("old@own-user", closed=True)
    assert gate.caller(None, "127.0.0.1", is_own_user=lambda: True).principal == "framework/old"
    for ip, own in (("127.0.0.1", False), ("10.0.0.1", True)):
        with pytest.raises(RefusalError) as refused:
            gate.caller(None, ip, is_own_user=lambda own=own: own)
        assert refused.value.status == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_whose_a_connection_is_the_kernel_knows(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    dual = family is socket.AF_INET6 and host != "::1"
    at = ("::", 0) if dual else (host, 0)
    with (
        socket.create_server(at, family=family, dualstack_ipv6=dual) as server,
        socket.create_connection((host.removeprefix("::ffff:"), server.getsockname()[1])) as other,
    ):
        accepted, peer = server.accept()
        here = accepted.getsockname()[:2]
        assert user_of(peer[:2], here) == os.geteuid()
        assert user_of(here, peer[:2]) == os.geteuid(), "the other way round"
        assert user_of((peer[0], 1), here) is None
        other.close()  # what is nobody's any more is told as root's
        assert user_of(peer[:2], here) is None
        accepted.close()


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "name"),
        ("Old", "name"),
        ("agent/x", "a framework or an operator is expected"),
        ("old@", "no network"),
        ("old@10.0.0.0/99", "no network"),
        ("old@10.0.0.1/8", "no network"),
    ],
)
def test_who_is_let_in_is_said_rightly(written: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_anonymous(written)


# The file.


def private(folder: Path, text: str) -> str:
    path = folder / "credentials"
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def test_both_formats_of_mesos_are_read(tmp_path: Path) -> None:
    said = {"credentials": [{"principal": "a", "secret": "b"}]}
    assert read_credentials(private(tmp_path, json.dumps(said))) == {"a": "b"}
    assert read_credentials(private(tmp_path, "a b\n\n  c   d \n")) == {"a": "b", "c": "d"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "0 credentials"),
        ("a\n", "line 1 has 1 words"),
        ("a b c\n", "line 1 has 3 words"),
        ("a b\na c\n", "two secrets"),
        ("agent/a b\n", "a framework or an operator is expected"),
        ("{", "is expected"),
        ('{"credentials": {}}', "0 credentials"),
        ('{"credentials": [{"principal": "a"}]}', "is expected"),
        ('{"credentials": [{"principal": "a", "secret": ""}]}', "no secret"),
        ('{"x":' * 3000, "is expected"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        read_credentials(private(tmp_path, text))
    assert "a b" not in str(refused.value)


def test_a_file_that_others_read_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path, "a b\n")
    Path(path).chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        read_credentials(path)


# How often.


def test_a_storm_of_subscriptions_is_slowed() -> None:
    pace = Pace(at_once=3, per_s=2.0, most_waiting=2)
    waits = [pace.wait_s("a", 0.0) for _ in range(6)]
    assert waits == [0, 0, 0, 0.5, 1.0, None]
    assert pace.wait_s("b", 0.0) == 0, "others do not wait for it"
    assert pace.wait_s("a", 10.0) == 0, "it is full again"


# Where it is found.


def test_a_znode_is_what_the_detectors_of_mesos_read() -> None:
    me = MasterInfo("id", HostPort("10.0.0.1", 5050), "h", "1", mesos=HostPort("10.0.0.1", 5055))
    said = json.loads(me.to_json())
    assert said["id"] == "id" and said["hostname"] == "h"
    assert (said["port"], said["pid"]) == (5055, "master@10.0.0.1:5055")
    assert said["ip"] == int.from_bytes(bytes([10, 0, 0, 1]), "little")
    assert said["address"] == {"hostname": "h", "ip": "10.0.0.1", "port": 5055}
    assert said["grpc"] == {"ip": "10.0.0.1", "port": 5050}
    assert MasterInfo.from_json(me.to_json()) == me


def test_a_znode_without_the_api_is_as_it_was() -> None:
    me = MasterInfo("id", HostPort("h", 5050))
    assert set(json.loads(me.to_json())) == {
        "id", "address", "hostname", "version", "started_for",
    }  # fmt: skip
    assert MasterInfo.from_json(me.to_json()) == me


# Settings.


def settings(**said: Any) -> dict[str, str]:
    return dict(MasterSettings(**said).problems())


def test_settings_that_do_not_fit() -> None:
    old = (read_anonymous("old"),)
    assert "mesos_port" in settings(mesos_port=0)
    assert "mesos_anonymous" in settings(mesos_anonymous=old)
    assert "mesos_credentials" in settings(mesos_credentials=SECRETS)
    assert not settings(mesos_port=0, mesos_anonymous=old)
    beyond = {"ip": "10.0.0.1", "auth": False, "mesos_port": 0, "mesos_credentials": SECRETS}
    assert "mesos_credentials" in settings(**beyond, i_know=False)
    assert "mesos_credentials" not in settings(**beyond, i_know=True)
    assert "mesos_credentials" not in settings(**beyond, i_know=False, mesos_tls=True)
    assert "mesos_tls" in settings(**beyond, mesos_tls=True)
    assert "mesos_tls" in settings(mesos_tls=True)
    assert isinstance(old[0], Anonymous)


# By an access token, or a certificate.

TOKEN = "Bearer pymesos_at_" + "a" * 43
OPERATOR = Caller("operator/o", Method.TOKEN, "t1", via="http", rights=("read",))


class Tokens:
    """Knows one token, or that another master may."""

    def __init__(self, known: Caller | None, *, here: bool = True) -> None:
        self.known, self.is_here = known, here

    def here(self, digest: bytes, peer: str) -> Caller | None:
        if self.is_here and self.known is None:
            raise CallError(Code.UNAUTHENTICATED, "not good")
        return self.known


def test_an_access_token_is_who_made_it() -> None:
    def by(tokens: Any) -> Any:
        return Authenticator({}, (), Revocations(), tokens).caller(TOKEN, "10.0.0.9")

    caller = by(Tokens(OPERATOR))
    assert (caller.principal, caller.rights, caller.via) == ("operator/o", ("read",), "mesos")
    assert by(Tokens(None, here=False)) is None, "another master leads"
    for tokens in (Tokens(None), None):
        with pytest.raises(RefusalError) as refused:
            by(tokens)
        assert refused.value.status == 401
    with pytest.raises(RefusalError):
        Authenticator({}, (), Revocations(), cast(Any, Tokens(OPERATOR))).caller("Bearer x", "::1")


def test_a_certificate_is_let_in_by_the_gate() -> None:
    seen: list[str] = []

    def gate(path: str, peer: str, authentication: Any) -> Caller:
        seen.append(path)
        if path == OF_FRAMEWORKS:
            raise CallError(Code.PERMISSION_DENIED, "operator/o may not call it")
        return Caller("operator/o", Method.CERT, "c1", peer, "grpc")

    which = Authenticator({}, (), Revocations(), None, gate)
    shown = {"peer_uri": [b"x"]}
    caller = which.caller(None, "10.0.0.9", certificate=shown)
    assert caller is not None and (caller.principal, caller.via) == ("operator/o", "mesos")
    with pytest.raises(RefusalError, match="may not call it") as refused:
        which.caller(None, "10.0.0.9", certificate=shown, path=OF_FRAMEWORKS)
    assert refused.value.status == 403 and len(seen) == 2
    with pytest.raises(RefusalError):
        which.caller(None, "10.0.0.9")


def test_an_operator_may_have_a_password() -> None:
    which = Authenticator({"operator/ops": "x"}, (), Revocations())
    caller = which.caller(basic("operator/ops:x"), "10.0.0.9")
    assert caller is not None and caller.principal == "operator/ops"


# Who guesses.


def test_a_wrong_password_is_told_to_the_audit_and_guessing_takes_long() -> None:
    told: list[tuple[Caller, str, str]] = []
    which = Authenticator(SECRETS, (), Revocations(), on_refused=lambda *of: told.append(of))
    wrong = basic("toil:guess")
    for _ in range(MOST_WRONG):
        with pytest.raises(RefusalError) as refused:
            which.caller(wrong, "10.0.0.9", path=OF_FRAMEWORKS)
        assert refused.value.status == 401
    guesser = Caller("framework/toil", peer="ipv4:10.0.0.9", via="mesos")
    assert told == [(guesser, OF_FRAMEWORKS, "the password is wrong")] * MOST_WRONG
    for said in (wrong, basic("toil:s3cret")):
        with pytest.raises(RefusalError, match="wait for") as refused:
            which.caller(said, "10.0.0.9")
        assert refused.value.status == 429
    assert which.caller(basic("toil:s3cret"), "10.9.0.1") is not None, "somebody elsewhere"
    assert which.caller(basic("framework/other:x"), "10.0.0.9") is not None
    with pytest.raises(RefusalError):  # of whom the audit would tell nothing
        which.caller(basic("nobody:guess"), "10.0.0.9")
    assert len(told) == MOST_WRONG
