"""`token`: access tokens, by which programs ask by HTTP. Each is made here, and shown once."""

from __future__ import annotations

import time

import click

from pymesos_cli.cluster import Cluster
from pymesos_cli.output import moment, note, print_json, print_table
from pymesos_core.json_access import access_token_json
from pymesos_core.security.access_tokens import digest_of, new_access_token
from pymesos_core.security.rights import SCRAPE, SIGN_IN, rights_problem
from pymesos_core.text import duration
from pymesos_proto.v1 import operator_pb2 as pb

CODE_S = 300.0


def wanted_rights(rights: tuple[str, ...], *, scrape: bool) -> tuple[str, ...]:
    """Return the rights that are asked for. Raises UsageError."""
    if scrape == bool(rights):
        raise click.UsageError(
            "give --right, as in --right read:prod/**, or --scrape, and not both"
        )
    wanted = (SCRAPE,) if scrape else rights
    if problem := rights_problem(wanted):
        raise click.UsageError(problem)
    return wanted


async def make_token(
    cluster: Cluster, lifetime_s: float, rights: tuple[str, ...], name: str
) -> None:
    """`pymesos-cli token make`."""
    token, token_id = await _made(cluster, lifetime_s, rights, name)
    print(token, flush=True)
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(time.time() + lifetime_s))
    note(f"good until {until}; `pymesos-cli token revoke {token_id}` ends it before")


async def make_code(cluster: Cluster) -> None:
    """`pymesos-cli web --code`."""
    code, code_id = await _made(cluster, CODE_S, (SIGN_IN,), "")
    print(code, flush=True)
    note(
        f"good once, within {duration(CODE_S)}, on the page of a master; the browser is signed in"
        f" as you then. `pymesos-cli token revoke {code_id}` takes it back"
    )


async def _made(
    cluster: Cluster, lifetime_s: float, rights: tuple[str, ...], name: str
) -> tuple[str, str]:
    """Make a token: its text, and its id."""
    token = new_access_token()
    request = pb.MakeAccessTokenRequest(
        digest=digest_of(token), name=name, lifetime_s=lifetime_s, rights=rights
    )
    made = await cluster.call(
        lambda stub, timeout_s: stub.MakeAccessToken(request, timeout=timeout_s)
    )
    return token, made.id


async def list_tokens(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli token list`."""
    request = pb.ListAccessTokensRequest()
    seen = await cluster.call(
        lambda stub, timeout_s: stub.ListAccessTokens(request, timeout=timeout_s)
    )
    if as_json:
        print_json([access_token_json(view) for view in seen.tokens])
        return
    rows = [
        (
            view.id,
            view.principal,
            view.name or "-",
            moment(view.ends_at_s),
            " ".join(view.rights),
        )
        for view in seen.tokens
    ]
    headers = ("ID", "OF", "NAME", "UNTIL", "RIGHTS")
    print_table(headers, rows, "no access tokens; `pymesos-cli token make` makes one", ("RIGHTS",))


async def revoke_token(cluster: Cluster, token_id: str) -> None:
    """`pymesos-cli token revoke`."""
    request = pb.RevokeAccessTokenRequest(id=token_id)
    await cluster.call(lambda stub, timeout_s: stub.RevokeAccessToken(request, timeout=timeout_s))
    print(f"the access token {token_id} is let in no more")
