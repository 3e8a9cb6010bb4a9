"""Secrets are backed up sealed, by who may do everything, and restored where their key is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.coordination import MasterInfo
from pymesos_core.security.secrets import Keyring
from pymesos_core.transport import CallError, Code
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.queries import Queries
from pymesos_master.services.leading import Leadership
from pymesos_master.services.secrets import SecretCalls
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_testing.master_harness import MasterHarness

PLANTED = b"planted-77ac01"
ALICE = Caller("operator/alice", Method.CERT)
Answer = pb.RestoreSecretResponse
POLICY = """\
allow:
- {who: operator/alice, do: ["*"], role: "**"}
- {who: operator/half, do: [policy, read, secrets], role: "**"}
- {who: operator/reads, do: [policy, read], role: "**"}
- {who: operator/one, do: [secrets, read], role: prod}
- {who: operator/ruler, do: [policy], role: "**"}
"""


class Desk:
    """The calls about secrets in front of a core."""

    def __init__(self, *keys: bytes) -> None:
        self.h = MasterHarness(Config(audited=True, seed_policy=POLICY))
        self.keyring = Keyring(keys or [b"k" * 32])
        self.lines: list[Any] = []
        leader: Any = SimpleNamespace(
            queries=Queries(self.h.core, lambda: self.h.now, self.lines.append),
            core=self.h.core,
            commands=SimpleNamespace(set_secret=self._set),
            keyring=self.keyring,
        )
        me = MasterInfo("m", HostPort("127.0.0.1", 1), "m", "")
        self.leadership = Leadership(me, leader=leader)
        self.leadership.audit = SimpleNamespace(record=self._record)  # type: ignore[assignment]
        self.calls = SecretCalls(self.leadership)

    async def _record(self, entry: Any) -> None:
        self.lines.append(entry)

    async def _set(self, *said: Any) -> None:
        number = 100 + len(self.h.answers)
        caller, role, name, sealed, *more = said
        self.h.feed(ev.OperatorSetSecret(number, role, name, sealed, caller, *more))
        assert self.h.answers[number] is None, self.h.answers

    def call(self, method: str, request: Any, who: Caller = ALICE) -> Any:
        call: Any = SimpleNamespace(caller=who)
        return asyncio.run(getattr(self.calls, method)(request, call))

    def set(self, role: str, name: str, value: bytes) -> None:
        self.call("SetSecret", pb.SetSecretRequest(role=role, name=name, value=value))

    def listed(self, **page: Any) -> list[pb.SealedSecret]:
        request = pb.ListSealedSecretsRequest(page=pb.Page(**page))
        found: list[pb.SealedSecret] = []
        while True:
            answer = self.call("ListSealedSecrets", request)
            found += answer.secrets
            request.page.page_token = answer.next_page_token
            if not answer.next_page_token:
                return found

    def restore(self, secret: pb.SealedSecret, **more: Any) -> Any:
        return self.call("RestoreSecret", pb.RestoreSecretRequest(secret=secret, **more)).outcome

    def value(self, role: str, name: str) -> bytes:
        record = self.h.core.state.secrets()[f"{role}:{name}"]
        return self.keyring.open(role, name, record.sealed)

    def refused(self, method: str, request: Any, who: Caller = ALICE) -> CallError:
        with pytest.raises(CallError) as caught:
            self.call(method, request, who)
        return caught.value


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.set("prod", "db", PLANTED)
    return made


def test_every_secret_is_listed_once_and_nothing_but_sealed(desk: Desk) -> None:
    for number in range(30):
        desk.set("prod/web", f"n{number}", bytes(60_000))
    found = desk.listed()
    assert [(s.role, s.name) for s in found] == [
        ("prod", "db"), *sorted(("prod/web", f"n{n}") for n in range(30))
    ]  # fmt: skip
    assert len({s.key_id for s in found}) == 1 and found[0].set_by == "operator/alice"
    assert PLANTED not in b"".join(s.SerializeToString() for s in found)
    answer = desk.call("ListSealedSecrets", pb.ListSealedSecretsRequest())
    assert answer.ByteSize() < 1024 * 1024 and answer.next_page_token, "a message has 1 MiB"


def test_who_lists_them_is_in_the_audit_before(desk: Desk) -> None:
    desk.listed()
    (line,) = desk.lines
    assert (line.call, line.caller, line.denied) == ("Operator.ListSealedSecrets", ALICE, False)
    assert line.synced


@pytest.mark.parametrize(
    ("who", "says"),
    [
        ("operator/one", "may not manage the policy"),
        ("operator/ruler", "may not read in every role"),
        ("operator/reads", "may not use secrets in every role"),
        ("operator/half", ""),
    ],
)
def test_a_backup_is_for_who_misses_nothing(desk: Desk, who: str, says: str) -> None:
    caller = Caller(who, Method.CERT)
    if not says:
        assert desk.call("ListSealedSecrets", pb.ListSealedSecretsRequest(), caller).secrets
        return
    error = desk.refused("ListSealedSecrets", pb.ListSealedSecretsRequest(), caller)
    assert (error.code, says in error.message) == (Code.PERMISSION_DENIED, True), error.message
    assert [(line.caller, line.denied) for line in desk.lines] == [(caller, True)]


def test_it_is_restored_where_its_key_is(desk: Desk) -> None:
    (secret,) = desk.listed()
    fresh = Desk(b"n" * 32, b"k" * 32)  # the old key opens, and a newer one seals
    assert fresh.restore(secret, dry_run=True) == Answer.ADDED
    assert not fresh.h.core.state.secrets()
    assert fresh.restore(secret) == Answer.ADDED
    assert fresh.value("prod", "db") == PLANTED
    sealed = fresh.h.core.state.secrets()["prod:db"].sealed
    assert sealed.key_id == fresh.keyring.key_id != secret.key_id
    assert fresh.restore(secret) == Answer.SAME


def test_another_value_stays_unless_it_is_to_be_replaced(desk: Desk) -> None:
    (secret,) = desk.listed()
    desk.set("prod", "db", b"newer")
    assert desk.restore(secret) == desk.restore(secret, dry_run=True) == Answer.DIFFERS
    assert desk.restore(secret, replace=True, dry_run=True) == Answer.REPLACED
    assert desk.value("prod", "db") == b"newer"
    assert desk.restore(secret, replace=True) == Answer.REPLACED
    assert desk.value("prod", "db") == PLANTED


def test_only_the_value_that_was_looked_at_is_replaced(desk: Desk) -> None:
    (secret,) = desk.listed()
    desk.set("prod", "db", b"newer")
    looked = pb.RestoreSecretRequest(secret=secret, dry_run=True)
    seen = desk.call("RestoreSecret", looked).version
    desk.set("prod", "db", b"newest")
    request = pb.RestoreSecretRequest(secret=secret, replace=True, instead_of=seen)
    error = desk.refused("RestoreSecret", request)
    assert error.code == Code.FAILED_PRECONDITION
    assert "was at version 2, and it is at version 3 since" in error.message
    assert desk.value("prod", "db") == b"newest"
    request.instead_of = desk.call("RestoreSecret", looked).version
    assert desk.call("RestoreSecret", request).outcome == Answer.REPLACED
    assert desk.value("prod", "db") == PLANTED
    assert desk.call("RestoreSecret", request).outcome == Answer.SAME, "it was tried again"


def test_one_that_was_removed_meanwhile_is_not_set_again(desk: Desk) -> None:
    (secret,) = desk.listed()
    fresh = Desk(b"k" * 32)
    assert fresh.call("RestoreSecret", pb.RestoreSecretRequest(secret=secret)).version == 0
    gone = Desk(b"k" * 32)
    request = pb.RestoreSecretRequest(secret=secret, replace=True, instead_of=1)
    assert "it was removed since" in gone.refused("RestoreSecret", request).message
    assert not gone.h.core.state.secrets()


def test_without_its_key_it_is_said_which(desk: Desk) -> None:
    (secret,) = desk.listed()
    fresh = Desk(b"o" * 32)
    error = fresh.refused("RestoreSecret", pb.RestoreSecretRequest(secret=secret))
    assert error.code == Code.FAILED_PRECONDITION
    assert f"the secret db of prod is sealed by the key {secret.key_id}" in error.message
    assert not fresh.h.core.state.secrets()
    assert fresh.restore(secret, value=PLANTED) == Answer.ADDED, "somebody else has opened it"
    assert fresh.value("prod", "db") == PLANTED


def test_it_is_of_no_use_under_another_name(desk: Desk) -> None:
    (secret,) = desk.listed()
    secret.name = "other"
    error = desk.refused("RestoreSecret", pb.RestoreSecretRequest(secret=secret))
    assert error.code == Code.FAILED_PRECONDITION and "was changed or is damaged" in error.message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"role": "prod/"}, "role"),
        ({"name": "../db"}, "name"),
        ({"sealed": bytes(70_000)}, "70000 bytes; at most 65552"),
        ({"nonce": bytes(65)}, "65 bytes; at most 64"),
    ],
)
def test_what_no_backup_has_is_refused(desk: Desk, change: dict[str, Any], says: str) -> None:
    (secret,) = desk.listed()
    secret.MergeFrom(pb.SealedSecret(**change))
    error = desk.refused("RestoreSecret", pb.RestoreSecretRequest(secret=secret))
    assert (error.code, says in error.message) == (Code.INVALID_ARGUMENT, True), error.message


@pytest.mark.parametrize("value", [b"", PLANTED])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "a role is expected"),
        ({"role": "prod"}, "is no name of a secret"),
        ({"name": "db"}, "a role is expected"),
    ],
)
def test_a_restored_secret_has_a_role_and_a_name(
    desk: Desk, given: dict[str, Any], says: str, value: bytes
) -> None:
    request = pb.RestoreSecretRequest(secret=pb.SealedSecret(**given), value=value, dry_run=True)
    if not given:
        request.ClearField("secret")
    error = desk.refused("RestoreSecret", request)
    assert (error.code, says in error.message) == (Code.INVALID_ARGUMENT, True), error.message


@pytest.mark.parametrize("lacks", ["key_id", "nonce", "sealed"])
def test_a_restored_secret_has_a_value(desk: Desk, lacks: str) -> None:
    (secret,) = desk.listed()
    secret.ClearField(lacks)
    error = desk.refused("RestoreSecret", pb.RestoreSecretRequest(secret=secret))
    assert error.code == Code.INVALID_ARGUMENT and "a value is expected, or" in error.message
    assert desk.restore(secret, value=PLANTED) == Answer.SAME, "who has opened it gives that"


@pytest.mark.parametrize(
    ("who", "verb"), [("operator/one", "policy"), ("operator/ruler", "secrets")]
)
def test_who_restores_one_may_set_it_and_everything(desk: Desk, who: str, verb: str) -> None:
    (secret,) = desk.listed()
    request = pb.RestoreSecretRequest(secret=secret, dry_run=True)
    error = desk.refused("RestoreSecret", request, Caller(who, Method.CERT))
    assert (error.code, verb in error.message) == (Code.PERMISSION_DENIED, True), error.message


def test_a_master_without_keys_says_so(desk: Desk, tmp_path: Path) -> None:
    (secret,) = desk.listed()
    leader: Any = desk.leadership.leader
    leader.keyring = None
    error = desk.refused("RestoreSecret", pb.RestoreSecretRequest(secret=secret))
    assert error.code == Code.FAILED_PRECONDITION and "certificates" in error.message
