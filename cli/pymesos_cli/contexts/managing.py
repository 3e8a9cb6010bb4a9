"""`context list`, `use`, `add`, `remove` and `show`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.output import print_json, print_table, printable
from pymesos_core.addresses import parse_master
from pymesos_core.contexts import Context, ContextError, Contexts, own_contexts
from pymesos_core.security.credentials import CredentialsError, read_pem
from pymesos_core.security.identities import Kind

Result = TypeVar("Result")


def list_contexts(*, as_json: bool) -> None:
    """`pymesos-cli context list`. Raises CliError."""
    contexts, current = _of_mine(lambda own: (own.all(), own.current()))
    if as_json:
        print_json([_to_json(one, current) for one in contexts])
        return
    rows = [
        (
            "*" if current and one.name == current.name else "",
            one.name,
            str(parse_master(one.master)),
            str(one.tls or "none"),
        )
        for one in contexts
    ]
    print_table(("", "NAME", "MASTER", "TLS"), rows, "no contexts", ("TLS",))


def use_context(name: str) -> None:
    """`pymesos-cli context use`. Raises CliError."""
    _of_mine(lambda own: own.use(name))
    click.echo(f"{name} is the current context")


def add_context(
    name: str, master: str, tls: Path | None, framework_tls: Path | None, *, current: bool
) -> None:
    """`pymesos-cli context add`. Raises CliError."""
    for folder, kind, flag in (
        (tls, Kind.OPERATOR, "--tls"),
        (framework_tls, Kind.FRAMEWORK, "--framework-tls"),
    ):
        if folder is not None:
            _check_certificate(folder, kind, flag)
    folders = [folder and folder.absolute() for folder in (tls, framework_tls)]
    _of_mine(lambda own: own.add(Context(name, master, *folders), current=current))
    now = _of_mine(lambda own: own.current())
    said = "it is the current one" if now and now.name == name else "the current one stays"
    click.echo(f"the context {name} is added; {said}")


def remove_context(name: str) -> None:
    """`pymesos-cli context remove`. Raises CliError."""
    _of_mine(lambda own: own.remove(name))
    now = _of_mine(lambda own: own.current())
    click.echo(f"{name} is removed; {f'{now.name} is' if now else 'none is'} the current context")


def show_context(name: str, *, as_json: bool) -> None:
    """`pymesos-cli context show`. Raises CliError."""
    current = _of_mine(lambda own: own.current())
    context = _of_mine(lambda own: own.named(name)) if name else current
    if context is None:
        raise CliError(
            "no context is the current one; `pymesos-cli context list` lists what there is",
            EXIT_USAGE,
        )
    if as_json:
        print_json(_to_json(context, current))
        return
    is_current = current is not None and current.name == context.name
    print(f"{context.name}{' (current)' if is_current else ''}")
    print(f"  master: {parse_master(context.master)}")
    print(f"  tls: {_certificate(context.tls)}")
    if context.framework_tls is not None:
        print(f"  framework-tls: {_certificate(context.framework_tls)}")


def _of_mine(work: Callable[[Contexts], Result]) -> Result:
    try:
        return work(own_contexts())
    except ContextError as error:
        raise CliError(str(error), EXIT_USAGE) from error


def _check_certificate(folder: Path, kind: Kind, flag: str) -> None:
    try:
        identity = read_pem(folder).identity
    except CredentialsError as error:
        raise CliError(f"{flag}: {error}", EXIT_USAGE) from error
    if identity.kind != kind:
        raise CliError(
            f"{flag}: the certificate in {folder} is of {identity.principal}; expected is one of"
            f" {kind}/NAME",
            EXIT_USAGE,
        )


def _certificate(folder: Path | None) -> str:
    """A folder, and whose certificate is in it, or why it cannot be used."""
    if folder is None:
        return "none"
    try:
        pem = read_pem(folder)
    except CredentialsError as error:
        return printable(str(error))
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(pem.ends_s))
    whose = f"{pem.identity.principal} of {pem.identity.cluster}, until {until}"
    return f"{printable(str(folder))} ({whose})"


def _to_json(context: Context, current: Context | None) -> dict[str, Any]:
    return {
        "name": context.name,
        "current": current is not None and current.name == context.name,
        "master": str(parse_master(context.master)),
        "tls": context.tls and str(context.tls),
        "framework_tls": context.framework_tls and str(context.framework_tls),
    }
