"""`cluster token`, `tokens`, `join`, `revoke` and `revoked`: who comes in, and who goes.

The secret of a token is made here, and only its digest is sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.given import given
from pymesos_cli.output import note, print_json, print_table
from pymesos_core.addresses import HostPort
from pymesos_core.json_access import SHORT_ID, join_token_json, revocation_json
from pymesos_core.security.credentials import Credentials, CredentialsError
from pymesos_core.security.identities import Kind, principal_problem
from pymesos_core.security.joining import (
    MAX_WRITTEN,
    SECRET_BYTES,
    Invitation,
    JoinError,
    join,
    read_invitation,
    read_invitation_file,
)
from pymesos_core.text import quoted
from pymesos_proto.v1 import operator_pb2 as pb

if TYPE_CHECKING:
    from pymesos_proto.v1.operator_pb2_grpc import OperatorAsyncStub

_TRACES = {  # of a principal, by its kind: a certificate alone leaves none
    "agent": "agent, and no token,",
    "framework": "framework, token or rule of the policy",
    "operator": "token, access token or rule of the policy",
}


async def make_tokens(cluster: Cluster, principals: Sequence[str], lifetime_s: float) -> None:
    """`pymesos-cli cluster token`: one line for each principal. Raises CliError.

    None is made where one of them is no principal.
    """
    for principal in principals:
        if problem := principal_problem(principal):
            raise CliError(problem, EXIT_USAGE)
    for principal in principals:
        secret = secrets.token_bytes(SECRET_BYTES)
        request = pb.MakeTokenRequest(
            digest=hashlib.sha256(secret).digest(), principal=principal, lifetime_s=lifetime_s
        )

        made = await cluster.call(partial(_make_token, request))
        at = HostPort(made.join_at.ip, made.join_at.port)
        print(Invitation(made.root, secret, at).written, flush=True)
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(time.time() + lifetime_s))
    note(
        f"for {', '.join(principals)}, in this order, once each, until {until}: whoever has a token"
        f" joins as that; see --join-file of the servers, and `pymesos-cli cluster join`"
    )


async def _make_token(
    request: pb.MakeTokenRequest, stub: OperatorAsyncStub, timeout_s: float
) -> pb.MakeTokenResponse:
    return await stub.MakeToken(request, timeout=timeout_s)


async def list_tokens(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli cluster tokens`. Raises CliError."""
    views = await _tokens(cluster)
    if as_json:
        print_json([join_token_json(view) for view in views])
        return
    rows = [
        (
            view.digest.hex()[:SHORT_ID],
            view.principal,
            _time(view.ends_at_s),
            "yes" if view.used else "no",
            view.made_by or "-",
        )
        for view in views
    ]
    headers = ("ID", "PRINCIPAL", "UNTIL", "USED", "MADE BY")
    print_table(headers, rows, "no tokens; `pymesos-cli cluster token` makes one")


async def remove_token(cluster: Cluster, token_id: str) -> None:
    """`pymesos-cli cluster tokens --remove`. Raises CliError."""
    found = [v for v in await _tokens(cluster) if v.digest.hex()[:SHORT_ID] == token_id]
    if not found:
        raise CliError(
            f"there is no token {quoted(token_id)}; `pymesos-cli cluster tokens` lists all, and"
            f" their whole ids are expected",
            EXIT_USAGE,
        )
    request = pb.RemoveTokenRequest(digest=found[0].digest)
    await cluster.call(lambda stub, timeout_s: stub.RemoveToken(request, timeout=timeout_s))
    print(f"nobody joins as {found[0].principal} with that token")


async def _tokens(cluster: Cluster) -> list[pb.TokenView]:
    response = await cluster.call(
        lambda stub, timeout_s: stub.ListTokens(pb.ListTokensRequest(), timeout=timeout_s)
    )
    return list(response.tokens)


def join_cluster(written: str | None, file: Path | None, folder: Path) -> None:
    """`pymesos-cli cluster join`. Raises click.ClickException."""
    try:
        who = asyncio.run(join(folder, _invitation(written, file)))
    except JoinError as error:
        raise click.ClickException(f"{error}{_in_already(folder)}") from error
    print(f"{who.principal} of {who.cluster}, in {folder}")


def _in_already(folder: Path) -> str:
    """What is said to who joins again, and need not: a token is good once."""
    try:
        credentials = Credentials(folder)
    except CredentialsError:
        return ""
    who, ends = credentials.identity, _time(credentials.current().ends_s)
    return f". {folder} has a certificate of {who.principal} of {who.cluster}, good until {ends}"


def _invitation(written: str | None, file: Path | None) -> Invitation:
    """From an argument, a file or, with `-`, standard input. Raises UsageError."""
    if (written is None) == (file is None):
        raise click.UsageError("give TOKEN@HOST:PORT, or --file with it, and not both")
    try:
        if file is not None:
            return read_invitation_file(file)
        assert written is not None
        if written == "-":
            with given(written) as stream:
                written = stream.read(MAX_WRITTEN + 1).decode("utf-8", "replace")
        return read_invitation(written)
    except (JoinError, ValueError) as error:
        raise click.UsageError(str(error)) from error


async def revoke(cluster: Cluster, name: str, *, undo: bool) -> None:
    """`pymesos-cli cluster revoke`. Raises CliError."""
    request = pb.RevokeRequest(name=name, undo=undo)
    await cluster.call(lambda stub, timeout_s: stub.Revoke(request, timeout=timeout_s))
    print(f"{name} is let in again" if undo else f"{name} is revoked")
    if undo or "/" not in name:
        return
    if name.startswith("master/"):
        note(
            f"what the authority of {name} has signed stays in force: `pymesos-cli cluster show`"
            f" of its folder prints the serial number of that, which can be revoked, too; who has a"
            f" certificate of it then joins again"
        )
    elif not await _is_known(cluster, name):
        note(
            f"no {_TRACES[name.partition('/')[0]]} that the master knows of is of {name}: is that"
            f" how the name is written? `pymesos-cli cluster revoke --undo {name}` takes it back"
        )


async def _is_known(cluster: Cluster, name: str) -> bool:
    """Whether somebody of that name is here, or may come. Who may not look is told nothing."""
    kind = name.partition("/")[0]
    try:
        if name in {view.principal for view in await _tokens(cluster)}:
            return True
        if kind == Kind.AGENT:
            return name in {view.info.principal for view in await cluster.agents()}
        policy = await cluster.call(
            lambda stub, timeout_s: stub.GetPolicy(pb.GetPolicyRequest(), timeout=timeout_s)
        )
        if name in policy.document:
            return True
        if kind == Kind.FRAMEWORK:
            found = await cluster.frameworks(completed=True)
            return name in {view.info.principal for view in found}
        response = await cluster.call(
            lambda stub, timeout_s: stub.ListAccessTokens(
                pb.ListAccessTokensRequest(), timeout=timeout_s
            )
        )
        return name in {view.principal for view in response.tokens}
    except CliError:
        return True


async def list_revocations(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli cluster revoked`. Raises CliError."""
    response = await cluster.call(
        lambda stub, timeout_s: stub.ListRevocations(pb.ListRevocationsRequest(), timeout=timeout_s)
    )
    if as_json:
        print_json([revocation_json(view) for view in response.revocations])
        return
    rows = [(v.name, _time(v.at_s), v.made_by or "-") for v in response.revocations]
    print_table(("REVOKED", "SINCE", "BY"), rows, "nobody is revoked")


def _time(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_s))
