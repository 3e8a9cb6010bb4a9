"""`pymesos-cli` as a click group that imports a command when it is asked for, and no other.

A Room is the group of the commands of one subject, declared in its `commands.py`; their code is in
the files beside it and is imported when they run. Main knows of each command its room and one line.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from typing import Any

import click

from pymesos_cli import terminal
from pymesos_core.nearest import hint
from pymesos_core.option_errors import lacks_option, no_such_option
from pymesos_core.text import cut, quoted

# What those type who know other programs, where a command has what they mean.
_OTHER_FLAGS = {
    "-n": "--tail", "--lines": "--tail", "-o": "--json", "--output": "--json", "--format": "--json",
}  # fmt: skip
_OTHER_NAMES = {"usage": "accounting"}  # of commands, which are in no list
# Of commands that are asked for what another shows, by their words.
_SEE_ALSO = {
    "agents": "it lists all, and with --json everything of each",
    "frameworks": "it lists all; `explain framework` is about one",
    "quota": "`roles` lists those that are set",
    "weights": "`roles` lists those that are set",
}
_WORD = re.compile(r"\S{81,}")  # longer than anything of ours: somebody typed it


class Command(click.Command):
    """A command that says what it takes when an argument or an option is missing."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """See click.Command."""
        before_dashes = arguments[0] if arguments else None
        try:
            _refuse_what_is_no_word(self, context, arguments)
            return super().parse_args(context, arguments)
        except click.NoSuchOption as error:
            raise _unknown_option(self, context, error.option_name) from error
        except click.MissingParameter as error:
            if isinstance(error.param, click.Option):
                raise lacks_option(context, error.param) from error
            raise self._lacks(context, nothing_before_dashes=before_dashes == "--") from error

    def _lacks(self, context: click.Context, *, nothing_before_dashes: bool) -> click.UsageError:
        wanted = [param for param in self.params if isinstance(param, click.Argument)]
        names = " and ".join(p.human_readable_name for p in wanted if p.required)
        given = [str(v) for p in wanted if (v := context.params.get(p.name or "")) and p.nargs == 1]
        verb = "are" if " and " in names else "is"
        if nothing_before_dashes:
            return click.UsageError(f"{names} {verb} expected; nothing is given before --", context)
        some = f"only {', '.join(map(quoted, given))}" if given else "nothing"
        return click.UsageError(
            f"{names} {verb} expected; {some} is given{_see_also(context)}", context
        )


def _unknown_option(command: click.Command, context: click.Context, given: str) -> click.UsageError:
    """Return the error for an option that a command does not have: which one may be meant."""
    root = context.find_root()
    if context is not root and given in {name for p in root.command.params for name in p.opts}:
        return click.UsageError(
            f"{given} goes before the command: {root.info_name} {given} … {_path(context)}", context
        )
    return no_such_option(command, context, given, _OTHER_FLAGS.get(given, ""))


def _see_also(context: click.Context) -> str:
    """Return what a person who asks a command wrongly may have looked for; or nothing."""
    also = _SEE_ALSO.get(_path(context))
    return f"; {also}" if also else ""


def _path(context: click.Context) -> str:
    """Return the words of a command, as `policy show`."""
    return context.command_path.removeprefix(f"{context.find_root().info_name} ")


def _refuse_what_is_no_word(
    command: click.Command, context: click.Context, arguments: list[str]
) -> None:
    """Raises UsageError for an argument too many, and for an empty argument or option.

    Empty is a script's variable that is not set: it would count as one that was not given, and mean
    all jobs where one was meant. What is passed on to a program may be empty. Blanks alone are no
    more than nothing.
    """
    if context.resilient_parsing:
        return
    given, left, _ = command.make_parser(context).parse_args(list(arguments))
    if left and not context.allow_extra_args:
        names = [p.human_readable_name for p in command.params if isinstance(p, click.Argument)]
        takes = f"{' and '.join(names)} alone" if names else "no argument"
        raise click.UsageError(
            f"{quoted(left[0])} is one argument too many: {_path(context)} takes {takes}"
            f"{_see_also(context)}",
            context,
        )
    for param in command.params:
        said = given.get(param.name or "")
        texts = said if isinstance(said, list | tuple) else [said]
        empty = any(isinstance(text, str) and not text.strip() for text in texts)
        if not empty or isinstance(param.type, click.types.UnprocessedParamType):
            continue
        if isinstance(param, click.Option):
            raise lacks_option(context, param, "; an empty text is given")
        name = param.human_readable_name.removesuffix("...")
        raise click.UsageError(f"{name} is expected; an empty text is given", context)


class Room(click.Group):
    """The commands of one subject."""

    command_class = Command
    group_class = type

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """See click.Group."""
        try:
            _refuse_what_is_no_word(self, context, arguments)
            return super().parse_args(context, arguments)
        except click.NoSuchOption as error:
            raise _unknown_option(self, context, error.option_name) from error

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click.Group: an unknown command is answered with the nearest one."""
        name = arguments[0] if arguments else ""
        if self.get_command(context, name) is None and not name.startswith("-"):
            said = f"there is no command {quoted(name)}; {self.meant_by(context, name)}"
            raise click.UsageError(said, context)
        return super().resolve_command(context, arguments)

    def meant_by(self, context: click.Context, name: str) -> str:
        """Which command somebody meant who named one that is not there."""
        known = self.list_commands(context)
        begun = [each for each in known if name and each.startswith(name)]
        if len(begun) == 1:
            return f"did you mean {begun[0]}?"
        found = hint(name, known, "there are")
        return found if found.startswith("did you mean") else f"{found}{_see_also(context)}"


class LazyGroup(Room):
    """All commands: `rooms` maps the name of each to its room and to what it does, in one line."""

    def __init__(
        self, *arguments: Any, rooms: Mapping[str, tuple[str, str]], **settings: Any
    ) -> None:
        super().__init__(*arguments, **settings)
        self.rooms = rooms

    def list_commands(self, _context: click.Context) -> list[str]:
        """See click.Group."""
        return sorted({*self.rooms, *self.commands})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """See click.Group. Imports the command's room."""
        name = _OTHER_NAMES.get(name, name)
        if name not in self.rooms:
            return super().get_command(context, name)
        module = importlib.import_module(f"pymesos_cli.{self.rooms[name][0]}.commands")
        room: Room = module.room
        return room.commands[name]

    def meant_by(self, context: click.Context, name: str) -> str:
        """See Room: it may be one of a group, as `promote` is of `rollout`."""
        meant = super().meant_by(context, name)
        if meant.startswith("did you mean"):
            return meant
        groups = {each: self.get_command(context, each) for each in self.rooms}
        found = [
            f"{each} {name}"
            for each, group in groups.items()
            if isinstance(group, Room) and name in group.commands
        ]
        if found:
            return f"did you mean {' or '.join(found)}?"
        return "`pymesos-cli --help` lists them"

    def about(self, name: str) -> str:
        """What a command does, in one line, without importing it."""
        return self.rooms[name][1] if name in self.rooms else self.commands[name].short_help or ""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """See click.Group."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.about(name)) for name in self.list_commands(context)])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[Any]:
        """See click.Group."""
        from click.shell_completion import CompletionItem

        if incomplete and not incomplete[0].isalnum():
            return click.Command.shell_complete(self, context, incomplete)
        names = [name for name in self.list_commands(context) if name.startswith(incomplete)]
        return [CompletionItem(name, help=self.about(name)) for name in names]

    def _main_shell_completion(self, *arguments: Any, **settings: Any) -> None:
        """See click.Command: with our own ways of the shells."""
        from pymesos_cli import completing  # noqa: F401 - it registers them

        super()._main_shell_completion(*arguments, **settings)

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """See click.Command: whatever a command prints or raises is fit for people."""
        with terminal.guarded():
            try:
                settings["standalone_mode"] = False
                status = super().main(*arguments, **settings)
            except click.UsageError as error:
                error.message = _WORD.sub(  # type: ignore[misc]
                    lambda word: cut(word[0]), error.message
                )
                error.show()
                sys.exit(error.exit_code)
            except click.ClickException as error:
                error.show()
                sys.exit(error.exit_code)
            except click.Abort:
                terminal.note("Aborted!")
                sys.exit(terminal.EXIT_FAILED)
            sys.exit(status if isinstance(status, int) else 0)

    def invoke(self, context: click.Context) -> Any:
        """See click.Command: Ctrl-C has a status of its own."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            sys.exit(terminal.EXIT_INTERRUPTED)
