"""The command of a role: flags made from declarations, --config, --print-config and --version."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from pymesos_core import VERSION
from pymesos_core.settings.declaring import Setting, Settings, settings_of
from pymesos_core.settings.kinds import Switch
from pymesos_core.settings.printing import default_of, in_force, range_of
from pymesos_core.settings.resolving import Sources, resolve, resolve_one
from pymesos_core.settings.sources import FileError, read_file

S = TypeVar("S", bound=Settings)
Command = TypeVar("Command", bound=Callable[..., Any])
CONTEXT = {"help_option_names": ["-h", "--help"]}
_GIVEN = "pymesos_core.settings"  # what was given on the command line, in a context's meta
_NOT_SETTINGS = frozenset({"config", "print_config"})
# Variables of a role with other uses: an agent may run in a task of another.
_OTHER_VARIABLES = {"agent": frozenset({"PYMESOS_AGENT_ID"})}


def takes(cls: type[Settings], role: str) -> Callable[[Command], Command]:
    """Give a click command the flags of all settings; `resolved` has their values."""
    prefix = f"PYMESOS_{role.upper()}_"

    def decorate(command: Command) -> Command:
        options = [
            _kept(
                "--config",
                metavar="FILE",
                help=f"A TOML or YAML file of settings: the names of the flags below, with _ for"
                f" -. Each may also be a variable: {prefix}PORT for --port. A flag wins over a"
                f" variable, which wins over the file.  [also {prefix}CONFIG]",
            ),
            *(_option(setting) for setting in settings_of(cls)),
            _kept(
                "--print-config",
                is_flag=True,
                help="Print what is in force and where it comes from, and end.",
            ),
            click.version_option(VERSION),
        ]
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _kept(*names: str, **attributes: Any) -> Callable[[Command], Command]:
    """An option that the command is not called with; the context keeps what is given."""

    def keep(context: click.Context, option: click.Parameter, value: Any) -> None:
        if value is not None:
            assert option.name is not None
            context.meta.setdefault(_GIVEN, {})[option.name] = value

    return click.option(*names, expose_value=False, callback=keep, **attributes)


def _option(setting: Setting) -> Callable[[Command], Command]:
    declared = setting.declared
    notes = ["required"] if declared.required else []
    if default := default_of(setting):
        notes.append(f"default: {default}")
    if bounds := range_of(setting):
        notes.append(bounds)
    if declared.also:
        notes.append(f"also {declared.also}")
    text = f"{declared.help}  [{'; '.join(notes)}]" if notes else declared.help
    if isinstance(declared.kind, Switch):
        off = setting.flag.replace("--", "--no-", 1)
        return _kept(f"{setting.flag}/{off}", setting.name, default=None, help=text)
    return _kept(setting.flag, setting.name, metavar=declared.kind.metavar, help=text)


def resolved(
    context: click.Context, cls: type[S], role: str, environment: Mapping[str, str] = os.environ
) -> S:
    """The settings of a command that `takes` them. Raises click.UsageError with all that is wrong.

    With --print-config it prints them and ends.
    """
    found = resolve(cls, _sources(context, role, environment))
    for warning in found.warnings:
        click.echo(f"pymesos-{role}: {warning}", err=True)
    printing = context.meta.get(_GIVEN, {}).get("print_config")
    if printing:
        click.echo(in_force(cls, found, f"pymesos-{role} {VERSION}"), nl=False)
    if found.settings is None:
        raise click.UsageError("\n".join(found.problems), context)
    if printing:
        context.exit()
    return found.settings


def resolved_one(context: click.Context, cls: type[Settings], role: str, name: str) -> Any:
    """One setting, for a command that needs no other. Raises click.UsageError."""
    try:
        return resolve_one(cls, _sources(context, role, os.environ), name)
    except ValueError as error:
        raise click.UsageError(str(error), context) from None


def _sources(context: click.Context, role: str, environment: Mapping[str, str]) -> Sources:
    given = context.meta.get(_GIVEN, {})
    variable = f"PYMESOS_{role.upper()}_CONFIG"
    where, path = "--config", given.get("config")
    if path is None:
        where, path = variable, environment.get(variable) or None
    try:
        entries = [] if path is None else read_file(Path(path))
    except FileError as error:
        raise click.UsageError(f"{where}: {error}", context) from None
    flags = {name: value for name, value in given.items() if name not in _NOT_SETTINGS}
    others = _OTHER_VARIABLES.get(role, frozenset()) | {variable}
    return Sources(role, flags, environment, entries, others)
