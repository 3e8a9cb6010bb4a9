"""Secrets of a backup are held against those that are there, and opened by a key at hand only."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_cli.backup.steps import Found
from pymesos_cli.errors import EXIT_NO_MASTER, CliError
from pymesos_core.security.secrets import Keyring
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_testing.restoring import (
    SECRET,
    FakeCluster,
    carry_out,
    planned,
)


def test_a_secret_is_held_against_the_one_that_is_there_by_the_master() -> None:
    answers = pb.RestoreSecretResponse
    for outcome, found, then in (
        (answers.ADDED, Found.MISSING, answers.ADDED),
        (answers.SAME, Found.SAME, answers.SAME),
        (answers.DIFFERS, Found.DIFFERS, answers.REPLACED),
    ):
        asked: list[pb.RestoreSecretRequest] = []
        cluster = FakeCluster()

        async def answer(
            request: pb.RestoreSecretRequest,
            timeout: float,
            asked: list[pb.RestoreSecretRequest] = asked,
            outcome: Any = outcome,
            then: Any = then,
        ) -> pb.RestoreSecretResponse:
            asked.append(request)
            if not request.dry_run:
                return pb.RestoreSecretResponse(outcome=then)
            version = 0 if outcome == pb.RestoreSecretResponse.ADDED else 7
            return pb.RestoreSecretResponse(outcome=outcome, version=version)

        cluster.answers_by["RestoreSecret"] = answer
        (step,) = planned(cluster, secrets=(SECRET,))
        assert step.found is found
        carry_out(cluster, [step])
        replaces, seen = found is Found.DIFFERS, 0 if found is Found.MISSING else 7
        assert asked == [
            pb.RestoreSecretRequest(secret=SECRET, dry_run=True),
            pb.RestoreSecretRequest(secret=SECRET, replace=replaces, instead_of=seen),
        ]


def test_a_secret_that_somebody_set_since_the_plan_is_not_said_to_be_restored() -> None:
    outcomes = iter([pb.RestoreSecretResponse.ADDED, pb.RestoreSecretResponse.DIFFERS])
    cluster = FakeCluster()

    async def answer(request: pb.RestoreSecretRequest, timeout: float) -> pb.RestoreSecretResponse:
        return pb.RestoreSecretResponse(outcome=next(outcomes))

    cluster.answers_by["RestoreSecret"] = answer
    (step,) = planned(cluster, secrets=(SECRET,))
    assert step.found is Found.MISSING
    with pytest.raises(CliError, match="somebody has set another value meanwhile"):
        carry_out(cluster, [step])


def test_one_that_nobody_opens_is_said_and_a_master_that_is_away_ends_it() -> None:
    cluster = FakeCluster()
    cluster.refusal = CliError("it is sealed by the key k")
    (step,) = planned(cluster, secrets=(SECRET,))
    assert (step.found, step.why) == (Found.STUCK, "it is sealed by the key k")
    cluster.refusal = CliError("no master", EXIT_NO_MASTER)
    with pytest.raises(CliError, match="no master"):
        planned(cluster, secrets=(SECRET,))


def test_a_key_at_hand_opens_a_secret_or_says_that_it_is_damaged() -> None:
    keyring = Keyring([b"k" * 32])
    sealed = keyring.seal("prod", "db", b"value")
    secret = pb.SealedSecret(
        role="prod", name="db", key_id=sealed.key_id, nonce=sealed.nonce, sealed=sealed.data
    )
    asked: list[pb.RestoreSecretRequest] = []
    cluster = FakeCluster()

    async def answer(request: pb.RestoreSecretRequest, timeout: float) -> pb.RestoreSecretResponse:
        asked.append(request)
        return pb.RestoreSecretResponse(outcome=pb.RestoreSecretResponse.ADDED)

    cluster.answers_by["RestoreSecret"] = answer
    (step,) = planned(cluster, keyring, secrets=(secret,))
    assert step.found is Found.MISSING and asked[0].value == b"value"
    (step,) = planned(cluster, Keyring([b"o" * 32]), secrets=(secret,))
    assert asked[1].value == b"", "another key opens nothing, and the master may have the right one"
    secret.sealed = bytes(len(secret.sealed))
    (step,) = planned(cluster, keyring, secrets=(secret,))
    assert step.found is Found.STUCK and "db of prod was changed or is damaged" in step.why
    assert len(asked) == 2, "no master is asked"
