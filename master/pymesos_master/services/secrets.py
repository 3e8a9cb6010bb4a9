"""The part of the Operator service that is about secrets. No call answers a value."""

from __future__ import annotations

from typing import Any

from pymesos_core import contract
from pymesos_core.security.secrets import Keyring, KeyringError, OpeningError, Sealed
from pymesos_core.streams import in_thread
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_master.core.secrets import changed_problem, key_of, name_problem
from pymesos_master.queries import PageRequest
from pymesos_master.services.leading import CODES, Leadership, caller_of
from pymesos_master.shell import Leader
from pymesos_proto.v1 import operator_pb2 as pb

Call = ServerCall[Any, Any]


def page_of(message: pb.Page) -> PageRequest:
    """The page that is asked for."""
    return PageRequest(message.page_size, message.page_token)


class SecretCalls:
    """Set, list and remove secrets; back them up sealed, and restore them."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def SetSecret(  # noqa: N802
        self, request: pb.SetSecretRequest, call: Call
    ) -> pb.SetSecretResponse:
        """Set a secret. Its value is sealed before anything else hears of it."""
        role, name = request.role, request.name
        with self._leadership.asked() as leader:
            leader.queries.permits.check(caller_of(call), "Operator.SetSecret", (role,))
            keyring = await self._keyring(leader)
            if problem := contract.problem(request):
                raise CallError(Code.INVALID_ARGUMENT, f"the secret: {problem}")
            sealed = keyring.seal(role, name, request.value)
            await leader.commands.set_secret(caller_of(call), role, name, sealed)
            record = leader.core.state.secrets().get(key_of(role, name))
        return pb.SetSecretResponse(version=record.version if record is not None else 0)

    async def _keyring(self, leader: Leader) -> Keyring:
        """The keys of secrets, read when they are needed first. Raises CallError."""
        if leader.keyring is None:
            try:
                leader.keyring = await in_thread(self._leadership.keys.read)
            except KeyringError as error:
                raise CallError(Code.FAILED_PRECONDITION, str(error)) from None
        return leader.keyring

    async def ListSealedSecrets(  # noqa: N802
        self, request: pb.ListSealedSecretsRequest, call: Call
    ) -> pb.ListSealedSecretsResponse:
        """Every secret, sealed; who asks is in the audit before it is answered."""
        with self._leadership.asked() as leader:
            line = leader.queries.access.check_backup(caller_of(call))
            if (problem := await self._leadership.audit.record(line)) is not None:
                raise CallError(CODES[problem.kind], problem.message)
            found = leader.queries.access.sealed_secrets(caller_of(call), page_of(request.page))
        return pb.ListSealedSecretsResponse(secrets=found.views, next_page_token=found.next_token)

    async def RestoreSecret(  # noqa: N802
        self, request: pb.RestoreSecretRequest, call: Call
    ) -> pb.RestoreSecretResponse:
        """Set a secret that a backup has. Its value is sealed anew by the key of today."""
        caller, secret = caller_of(call), request.secret
        role, name = secret.role, secret.name
        with self._leadership.asked() as leader:
            leader.queries.permits.check(caller, "Operator.RestoreSecret")
            if problem := contract.problem(request) or _unfit(request):
                raise CallError(Code.INVALID_ARGUMENT, f"the secret: {problem}")
            leader.queries.permits.check(caller, "Operator.SetSecret", (role,))
            keyring = await self._keyring(leader)
            there = leader.core.state.secrets(durable=False).get(key_of(role, name))
            try:
                value = request.value or keyring.open(
                    role, name, Sealed(secret.key_id, secret.nonce, secret.sealed)
                )
                same = there is not None and keyring.open(role, name, there.sealed) == value
            except OpeningError as error:
                raise CallError(Code.FAILED_PRECONDITION, str(error)) from None
            outcome = _outcome(exists=there is not None, same=same, replace=request.replace)
            version = there.version if there is not None else 0
            changes = outcome in (pb.RestoreSecretResponse.ADDED, pb.RestoreSecretResponse.REPLACED)
            if changes and request.instead_of not in (0, version):
                changed = changed_problem(role, name, request.instead_of, version)
                raise CallError(Code.FAILED_PRECONDITION, changed)
            if changes and not request.dry_run:
                sealed = keyring.seal(role, name, value)
                await leader.commands.set_secret(caller, role, name, sealed, version)
        return pb.RestoreSecretResponse(outcome=outcome, version=version)

    async def ListSecrets(  # noqa: N802
        self, request: pb.ListSecretsRequest, call: Call
    ) -> pb.ListSecretsResponse:
        """Secrets, without their values."""
        with self._leadership.asked() as leader:
            found = leader.queries.access.secrets(caller_of(call), request.role)
        return pb.ListSecretsResponse(secrets=found)

    async def RemoveSecret(  # noqa: N802
        self, request: pb.RemoveSecretRequest, call: Call
    ) -> pb.RemoveSecretResponse:
        """Remove a secret."""
        with self._leadership.asked() as leader:
            await leader.commands.remove_secret(
                caller_of(call), request.role, request.name, force=request.force
            )
        return pb.RemoveSecretResponse()


def _unfit(request: pb.RestoreSecretRequest) -> str | None:
    """The sentence for a secret without what it takes to restore it, or None."""
    secret = request.secret
    if problem := name_problem(secret.role, secret.name):
        return problem
    if request.value or (secret.key_id and secret.nonce and secret.sealed):
        return None
    return "a value is expected, or what is sealed, its nonce and the id of its key"


def _outcome(*, exists: bool, same: bool, replace: bool) -> pb.RestoreSecretResponse.Outcome:
    """What is done with a secret of a backup."""
    if not exists:
        return pb.RestoreSecretResponse.ADDED
    if same:
        return pb.RestoreSecretResponse.SAME
    return pb.RestoreSecretResponse.REPLACED if replace else pb.RestoreSecretResponse.DIFFERS
