"""Secrets: sealed at rest, given to the agents of tasks that use them, and shown by nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pymesos_core.caller import Caller, Method
from pymesos_core.crash import shown
from pymesos_core.security.secrets import (
    Keyring,
    KeyringError,
    OpeningError,
    add_key,
    key_file_bytes,
    merge_keys,
    read_keyring,
)
from pymesos_master.core import Config
from pymesos_master.core import effects as fx
from pymesos_master.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task

PLANTED = b"planted-2f6b9c"
ALICE = Caller("operator/alice", Method.CERT)
MALLORY = Caller("operator/mallory", Method.CERT)
POLICY = """\
allow:
- {who: operator/alice, do: ["*"], role: "**"}
- {who: operator/mallory, do: [submit, read, secrets], role: dev}
- {who: framework/f, do: [subscribe, launch], role: prod}
"""


@pytest.fixture
def keyring() -> Keyring:
    return Keyring([b"k" * 32])


class TestSealing:
    def test_what_is_sealed_is_opened_under_its_own_name_only(self, keyring: Keyring) -> None:
        sealed = keyring.seal("prod/web", "db", PLANTED)
        assert PLANTED not in sealed.data and sealed.size_bytes == len(PLANTED)
        assert keyring.open("prod/web", "db", sealed) == PLANTED
        for role, name in (("prod", "db"), ("prod/web", "other"), ("prod/we", "bdb")):
            with pytest.raises(OpeningError, match="was changed or is damaged"):
                keyring.open(role, name, sealed)

    def test_the_same_value_never_looks_the_same(self, keyring: Keyring) -> None:
        one, other = (keyring.seal("r", "n", PLANTED) for _ in range(2))
        assert one.nonce != other.nonce and one.data != other.data

    def test_what_was_changed_is_not_opened(self, keyring: Keyring) -> None:
        sealed = keyring.seal("r", "n", PLANTED)
        changed = bytes([sealed.data[0] ^ 1]) + sealed.data[1:]
        for bad in (replace(sealed, data=changed), replace(sealed, nonce=b"")):
            with pytest.raises(OpeningError):
                keyring.open("r", "n", bad)

    def test_another_key_opens_nothing_and_says_which_is_missing(self, keyring: Keyring) -> None:
        sealed = Keyring([b"o" * 32]).seal("r", "n", PLANTED)
        with pytest.raises(OpeningError, match=f"sealed by the key {sealed.key_id}"):
            keyring.open("r", "n", sealed)

    def test_a_new_key_seals_and_the_old_one_opens(self, keyring: Keyring) -> None:
        sealed = keyring.seal("r", "n", PLANTED)
        both = Keyring([b"n" * 32, b"k" * 32])
        assert both.open("r", "n", sealed) == PLANTED
        assert both.seal("r", "n", PLANTED).key_id == both.key_id != keyring.key_id


class TestKeyFile:
    def test_a_key_is_put_on_top_of_the_others(self, tmp_path: Path) -> None:
        file = tmp_path / "secrets.key"
        first = add_key(file)
        assert file.stat().st_mode & 0o777 == 0o600
        sealed = read_keyring(file).seal("r", "n", PLANTED)
        second = add_key(file)
        ring = read_keyring(file)
        assert ring.key_id == second != first == sealed.key_id
        assert ring.open("r", "n", sealed) == PLANTED
        assert key_file_bytes(file) == file.read_bytes()

    @pytest.mark.parametrize("text", ["", "abc", "00" * 31, "zz" * 32, f"{'00' * 32} x"])
    def test_what_holds_no_keys_is_said_without_what_it_holds(
        self, tmp_path: Path, text: str
    ) -> None:
        file = tmp_path / "k"
        file.write_text(text)
        file.chmod(0o600)
        with pytest.raises(KeyringError, match="holds no keys of secrets") as refused:
            read_keyring(file)
        assert "00" * 31 not in str(refused.value)

    def test_what_is_no_file_is_said_by_its_name(self, tmp_path: Path) -> None:
        (folder := tmp_path / "k").mkdir()
        os.mkfifo(pipe := tmp_path / "p")
        for path, what in ((folder, "a folder"), (pipe, "no regular file")):
            with pytest.raises(KeyringError) as refused:
                read_keyring(path)
            assert str(refused.value) == (
                f"{path} is {what}: a file with keys, as secrets.key, is expected"
            )

    def test_keys_that_are_handed_over_replace_none(self, tmp_path: Path) -> None:
        own, theirs = tmp_path / "own", tmp_path / "theirs"
        add_key(theirs)
        merge_keys(own, key_file_bytes(theirs))
        assert own.read_bytes() == theirs.read_bytes() and own.stat().st_mode & 0o777 == 0o600
        add_key(own)
        sealed = read_keyring(own).seal("r", "n", PLANTED)
        newest = add_key(theirs)
        merge_keys(own, key_file_bytes(theirs))
        ring = read_keyring(own)
        assert ring.key_id == newest, "others open what it seals"
        assert ring.open("r", "n", sealed) == PLANTED
        before = own.read_bytes()
        merge_keys(own, key_file_bytes(theirs))
        assert own.read_bytes() == before and len(before.splitlines()) == 3

    def test_more_keys_than_are_accepted_leave_the_file(self, tmp_path: Path) -> None:
        own, theirs = tmp_path / "own", tmp_path / "theirs"
        for _ in range(9):
            add_key(own)
            add_key(theirs)
        before = own.read_bytes()
        with pytest.raises(KeyringError, match="there are 18; at most 16 are accepted"):
            merge_keys(own, key_file_bytes(theirs))
        with pytest.raises(KeyringError, match="holds no keys"):
            merge_keys(own, b"nonsense")
        assert own.read_bytes() == before

    def test_one_that_others_may_read_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "k"
        add_key(file)
        file.chmod(0o640)
        with pytest.raises(KeyringError, match="chmod 600"):
            read_keyring(file)


class Cluster:
    """A harness, and what it is asked."""

    def __init__(self, h: MasterHarness, keyring: Keyring) -> None:
        self.h, self.keyring = h, keyring
        self.told: list[fx.TellSecrets] = []
        self.seen: list[str] = []  # of every effect, as a crash file shows it
        step = h.core.step

        def watched(now: object, event: ev.Event) -> list[fx.Effect]:
            effects = step(now, event)  # type: ignore[arg-type]
            self.told += [e for e in effects if isinstance(e, fx.TellSecrets)]
            self.seen += map(shown, (event, *effects))
            return effects

        h.core.step = watched  # type: ignore[method-assign]

    def ask(self, make: Any, *said: object, caller: Caller = ALICE) -> str | None:
        number = 100 + len(self.h.answers)
        self.h.feed(make(number, *said, caller=caller))
        return self.h.answers[number]

    def set(
        self, role: str = "prod", name: str = "db", value: bytes = PLANTED, caller: Caller = ALICE
    ) -> str | None:
        sealed = self.keyring.seal(role, name, value)
        return self.ask(ev.OperatorSetSecret, role, name, sealed, caller=caller)

    def remove(self, *said: object, caller: Caller = ALICE) -> str | None:
        return self.ask(ev.OperatorRemovedSecret, *said, caller=caller)

    def wanted(self, agent: int, framework_id: str, task_id: str) -> fx.TellSecrets:
        self.h.feed(ev.AgentWantsSecrets(agent, framework_id, task_id))
        return self.told[-1]


@pytest.fixture
def cluster(keyring: Keyring) -> Cluster:
    return Cluster(MasterHarness(Config(audited=True, seed_policy=POLICY)), keyring)


def with_secrets(info: pb.TaskInfo, *names: str) -> pb.TaskInfo:
    info.container.secrets.extend(pb.SecretUse(name=name, path=name) for name in names)
    return info


def launched(cluster: Cluster, *names: str, role: str = "prod") -> tuple[int, int, str]:
    """An agent, a framework and its id, with a task that uses these secrets."""
    h = cluster.h
    agent = h.agent(capabilities=[pb.SECRETS])
    framework = h.subscribe(roles=[role])
    offer = h.offers(framework)[0]
    h.accept(framework, [offer.offer_id], with_secrets(task(offer, "t"), *names))
    return agent, framework, h.framework_id(framework)


def test_a_value_counts_as_often_as_it_is_used(cluster: Cluster) -> None:
    cluster.set(value=b"x" * 64 * 1024)
    h = cluster.h
    agent, framework = h.agent(capabilities=[pb.SECRETS]), h.subscribe(roles=["prod"])
    (offer,) = h.offers(framework)
    for task_id, times in (("few", 8), ("many", 9)):
        info = task(offer, task_id, "cpus:1")
        info.container.secrets.extend(pb.SecretUse(name="db", env=f"V{n}") for n in range(times))
        h.accept(framework, [offer.offer_id], info)
        told = cluster.wanted(agent, h.framework_id(framework), task_id)
        if task_id == "few":
            assert not told.problem and len(told.secrets) == 1
            (offer,) = h.offers(framework)[-1:]
        else:
            assert "has 589824 bytes; at most 524288" in told.problem and not told.secrets


class TestRecords:
    def test_versions_count_up_and_the_next_leader_knows_them(self, cluster: Cluster) -> None:
        assert cluster.set() is None and cluster.set(value=b"other") is None
        after = MasterHarness(registry=cluster.h.registry).core.state.secrets()
        record = after["prod:db"]
        assert (record.version, record.set_by) == (2, "operator/alice")
        assert cluster.keyring.open("prod", "db", record.sealed) == b"other"

    def test_nothing_but_the_sealed_value_is_kept_or_said(self, cluster: Cluster) -> None:
        cluster.set()
        agent, _, framework_id = launched(cluster, "db")
        cluster.wanted(agent, framework_id, "t")
        kept = b"".join(cluster.h.registry.values())
        audited = b"".join(entry.line() for entry in cluster.h.audited)
        assert b"Operator.SetSecret" in audited and b"prod" in audited
        sent = "".join(map(str, cluster.h.agent_inbox[agent]))
        for where in (kept, audited, sent.encode(), "".join(cluster.seen).encode()):
            assert PLANTED not in where

    def test_who_may_not_is_refused(self, cluster: Cluster) -> None:
        assert "may not use secrets in the role prod" in str(cluster.set(caller=MALLORY))
        assert cluster.set("dev", caller=MALLORY) is None
        cluster.set()
        assert "may not use secrets" in str(cluster.remove("prod", "db", caller=MALLORY))
        assert "prod:db" in cluster.h.core.state.secrets()

    def test_it_is_set_in_the_place_of_the_version_that_is_meant(self, cluster: Cluster) -> None:
        """What a restore looked at may be another by the time that it sets it."""

        def put(instead_of: int) -> str | None:
            sealed = cluster.keyring.seal("prod", "db", PLANTED)
            make = partial(ev.OperatorSetSecret, instead_of=instead_of)
            return cluster.ask(make, "prod", "db", sealed)

        assert "was at version 1, and it was removed since" in str(put(1))
        assert put(0) is None
        assert "was not there, and it is at version 1 since" in str(put(0))
        assert put(1) is None
        assert cluster.h.core.state.secrets()["prod:db"].version == 2

    @pytest.mark.parametrize(
        ("role", "name", "size", "says"),
        [
            ("prod/", "db", 1, "invalid part"),
            ("prod", "../db", 1, "no name of a secret"),
            ("prod", "x" * 64, 1, "no name of a secret"),
            ("prod", "db", 65537, "A secret has 65537 bytes"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, cluster: Cluster, role: str, name: str, size: int, says: str
    ) -> None:
        assert says in str(cluster.set(role, name, b"x" * size))
        assert not cluster.h.core.state.secrets(durable=False)

    def test_all_of_them_are_bounded(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pymesos_core import limits

        monkeypatch.setattr(limits, "SECRETS", replace(limits.SECRETS, most=2))
        monkeypatch.setattr(limits, "ALL_SECRETS", replace(limits.ALL_SECRETS, most=100))
        assert cluster.set(name="a", value=b"x" * 60) is None
        assert "120 bytes; at most 100" in str(cluster.set(name="b", value=b"x" * 60))
        assert cluster.set(name="b", value=b"x") is None
        assert "3 secrets; at most 2" in str(cluster.set(name="c", value=b"x"))
        assert cluster.set(name="a", value=b"x" * 90) is None, "one is set in place of another"

    def test_what_is_used_is_removed_by_force_only(self, cluster: Cluster) -> None:
        cluster.set()
        launched(cluster, "db")
        assert "used by 1 live task (t)" in str(cluster.remove("prod", "db"))
        assert cluster.remove("prod", "db", True) is None
        assert "has no secret 'db'" in str(cluster.remove("prod", "db"))
        assert not any(kind == "secret" for kind, _ in cluster.h.registry)

    @pytest.mark.parametrize(
        "record",
        [
            b"\xff",
            registry_pb.SecretRecord(role="prod", name="other", version=1).SerializeToString(),
            registry_pb.SecretRecord(role="prod", name="db", version=0).SerializeToString(),
            registry_pb.SecretRecord(
                role="prod", name="db", version=1, sealed=b"x" * 70_000
            ).SerializeToString(),
        ],
    )
    def test_a_record_that_cannot_be_read_is_set_aside(self, record: bytes) -> None:
        h = MasterHarness(registry={("secret", "prod:db"): record})
        assert set(h.core.state.quarantined) == {("secret", "prod:db")}
        assert not h.core.state.secrets()

    def test_what_a_newer_key_seals_replaces_what_it_was_made_of(self, cluster: Cluster) -> None:
        cluster.set()
        cluster.set(name="late")
        before = {key: r.sealed for key, r in cluster.h.core.state.secrets().items()}
        newer = Keyring([b"n" * 32, b"k" * 32])
        after = {key: newer.seal("prod", key[5:], PLANTED) for key in before}
        cluster.set(name="late", value=b"set meanwhile")
        changed = tuple((key, before[key], after[key]) for key in before)
        cluster.h.feed(ev.SecretsResealed(changed))
        now = cluster.h.core.state.secrets()
        assert now["prod:db"].sealed == after["prod:db"] and now["prod:db"].version == 1
        assert cluster.keyring.open("prod", "late", now["prod:late"].sealed) == b"set meanwhile"


class TestDelivery:
    def test_the_agent_of_a_task_gets_what_that_asks_for(self, cluster: Cluster) -> None:
        cluster.set()
        cluster.set(name="other")
        agent, _, framework_id = launched(cluster, "db")
        told = cluster.wanted(agent, framework_id, "t")
        assert (told.connection_id, told.role, told.problem) == (agent, "prod", "")
        ((name, sealed),) = told.secrets
        assert name == "db" and cluster.keyring.open("prod", name, sealed) == PLANTED

    def test_no_other_agent_does(self, cluster: Cluster) -> None:
        cluster.set()
        _, _, framework_id = launched(cluster, "db")
        other = cluster.h.agent(capabilities=[pb.SECRETS])
        told = cluster.wanted(other, framework_id, "t")
        assert told.secrets == () and "not known" in told.problem
        assert [c.kind for c in cluster.h.complaints] == ["it wants secrets"]

    def test_nor_one_of_a_task_that_has_ended(self, cluster: Cluster) -> None:
        cluster.set()
        agent, _, framework_id = launched(cluster, "db")
        cluster.h.update(agent, framework_id, "t", pb.TASK_FAILED)
        assert cluster.wanted(agent, framework_id, "t").secrets == ()

    def test_what_is_removed_meanwhile_is_named(self, cluster: Cluster) -> None:
        cluster.set()
        agent, _, framework_id = launched(cluster, "db")
        cluster.remove("prod", "db", True)
        told = cluster.wanted(agent, framework_id, "t")
        assert told.secrets == () and "the secret db, which the role prod" in told.problem

    def test_what_is_too_large_together_is_refused(self, cluster: Cluster) -> None:
        names = [f"s{n}" for n in range(9)]
        for name in names:
            cluster.set(name=name, value=b"x" * 60_000)
        agent, _, framework_id = launched(cluster, *names)
        told = cluster.wanted(agent, framework_id, "t")
        assert told.secrets == () and "540000 bytes" in told.problem

    def test_a_task_of_another_role_does_not_get_it(self, cluster: Cluster) -> None:
        cluster.set("prod/web")
        cluster.set("dev")
        agent, _, framework_id = launched(cluster, "db")
        told = cluster.wanted(agent, framework_id, "t")
        assert told.secrets == ()
        assert "the secret db, which the role prod does not have" in told.problem

    def test_an_agent_of_an_earlier_version_is_not_given_such_a_task(
        self, cluster: Cluster
    ) -> None:
        cluster.set()
        h = cluster.h
        agent = h.agent()
        framework = h.subscribe(roles=["prod"])
        offer = h.offers(framework)[0]
        assert pb.SECRETS not in offer.agent_capabilities
        h.accept(framework, [offer.offer_id], with_secrets(task(offer, "t"), "db"))
        assert "of a version that knows none" in h.last(framework).message
        assert not h.launched(agent)

    def test_nor_one_that_another_signal_than_sigterm_is_to_end(self, cluster: Cluster) -> None:
        h = cluster.h
        old, framework = h.agent(), h.subscribe(roles=["prod"])
        for capabilities, first in (
            ([], "SIGQUIT"),
            ([], "SIGTERM"),
            ([pb.KILL_SIGNAL], "SIGQUIT"),
        ):
            agent = h.agent(capabilities=capabilities) if capabilities else old
            offer = h.offers(framework)[-1]
            assert offer.agent_ip == "127.0.0.1"
            info = task(offer, f"t{first}{len(capabilities)}")
            info.kill_policy.signal = first
            h.accept(framework, [offer.offer_id], info)
            if not capabilities and first == "SIGQUIT":
                assert "ended by SIGQUIT, which its agent is too old" in h.last(framework).message
                assert not h.launched(agent)
            else:
                assert h.launched(agent)

    @pytest.mark.parametrize(
        ("uses", "says"),
        [
            ([pb.SecretUse(name="db")], "neither a path nor an env"),
            ([pb.SecretUse(path="db")], "without a name"),
            ([pb.SecretUse(name="db", path="a/b")], "no name of a secret"),
            ([pb.SecretUse(name="db", path="..")], "no name of a secret"),
            ([pb.SecretUse(name="db", env="A=B")], "invalid environment variable"),
            ([pb.SecretUse(name="db", path="x"), pb.SecretUse(name="e", path="x")], "same path"),
            ([pb.SecretUse(name="db", path=f"x{n}") for n in range(17)], "at most 16"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, cluster: Cluster, uses: list[pb.SecretUse], says: str
    ) -> None:
        cluster.set()
        h = cluster.h
        h.agent(capabilities=[pb.SECRETS])
        framework = h.subscribe(roles=["prod"])
        offer = h.offers(framework)[0]
        info = task(offer, "t")
        info.container.secrets.extend(uses)
        h.accept(framework, [offer.offer_id], info)
        assert h.last(framework).state == pb.TASK_ERROR and says in h.last(framework).message

    def test_after_a_failover_the_agent_is_told_again(self, cluster: Cluster) -> None:
        cluster.set()
        agent, _, framework_id = launched(cluster, "db")
        agent_id = cluster.h.agent_id(agent)
        h = MasterHarness(Config(seed_policy=POLICY), registry=cluster.h.registry)
        again = Cluster(h, cluster.keyring)
        info = with_secrets(pb.TaskInfo(task_id="t", agent_id=agent_id), "db")
        record = agent_pb.TaskRecord(
            framework_id=framework_id, task_info=info, state=pb.TASK_STAGING, role="prod"
        )
        back = h.agent(agent_id=agent_id, tasks=[record], port=10_000 + agent)
        told = again.wanted(back, framework_id, "t")
        assert [name for name, _ in told.secrets] == ["db"], told.problem
