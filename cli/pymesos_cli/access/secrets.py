"""`secret`: what tasks of a role may be given. Values are never on a command line, nor shown."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.given import given
from pymesos_cli.output import moment, note, print_json, print_table
from pymesos_core.confirming import asking
from pymesos_core.ids import role_problem, secret_name_problem
from pymesos_core.json_access import secret_json
from pymesos_core.limits import SECRET
from pymesos_proto.v1 import operator_pb2 as pb


def _check(role: str, name: str) -> None:
    """Raises CliError."""
    if problem := role_problem(role) or secret_name_problem(name):
        raise CliError(problem, EXIT_USAGE)


def _value(file: Path | None) -> bytes:
    """Raises CliError."""
    if str(file) == "-":
        file = None
    if file is None and sys.stdin.isatty():
        with asking():
            written: str = click.prompt("the value", hide_input=True, err=True)
        value = written.encode("utf-8", "surrogateescape")
    else:
        with given("-" if file is None else file) as stream:
            value = stream.read(SECRET.most + 1)
    if not value:
        raise CliError("the value is empty: give it on standard input, or with --file", EXIT_USAGE)
    if len(value) > SECRET.most:
        raise CliError(f"the value has more than {SECRET.most} bytes", EXIT_USAGE)
    return value


async def set_secret(cluster: Cluster, role: str, name: str, file: Path | None) -> None:
    """`pymesos-cli secret set`."""
    _check(role, name)
    request = pb.SetSecretRequest(role=role, name=name, value=_value(file))
    done = await cluster.call(lambda stub, timeout_s: stub.SetSecret(request, timeout=timeout_s))
    print(f"{name} of {role} is set, version {done.version}")
    if file is None and request.value.endswith(b"\n"):
        note("it ends with a line break, which belongs to it; `printf %s` writes none")


async def list_secrets(cluster: Cluster, role: str, *, as_json: bool) -> None:
    """`pymesos-cli secret list`."""
    request = pb.ListSecretsRequest(role=role)
    seen = await cluster.call(lambda stub, timeout_s: stub.ListSecrets(request, timeout=timeout_s))
    if as_json:
        print_json([secret_json(view) for view in seen.secrets])
        return
    rows = [
        (
            view.role,
            view.name,
            str(view.version),
            moment(view.set_at_s),
            view.set_by or "-",
            str(view.tasks),
        )
        for view in seen.secrets
    ]
    headers = ("ROLE", "NAME", "VERSION", "SET AT", "BY", "LIVE TASKS")
    print_table(headers, rows, "no secrets; `pymesos-cli secret set` sets one")


async def remove_secret(cluster: Cluster, role: str, name: str, *, force: bool) -> None:
    """`pymesos-cli secret remove`."""
    _check(role, name)
    request = pb.RemoveSecretRequest(role=role, name=name, force=force)
    await cluster.call(lambda stub, timeout_s: stub.RemoveSecret(request, timeout=timeout_s))
    print(f"{name} of {role} is removed")
