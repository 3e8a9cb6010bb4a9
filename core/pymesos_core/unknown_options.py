"""Commands that say which option is meant, of one that they do not have."""

from __future__ import annotations

import click

from pymesos_core.nearest import NAMED, nearest
from pymesos_core.text import quoted


class RoleCommand(click.Command):
    """A command that says which option is meant, of one that it does not have."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """See click.Command."""
        try:
            return super().parse_args(context, args)
        except click.NoSuchOption as error:
            raise no_such_option(self, context, error.option_name) from error


class RoleGroup(RoleCommand, click.Group):
    """A RoleCommand with commands beside it, which are so, too."""

    command_class = RoleCommand


def no_such_option(
    command: click.Command, context: click.Context, given: str, meant: str = ""
) -> click.UsageError:
    """Return the error for an option that a command does not have: which one may be `meant`."""
    options = [p for p in command.get_params(context) if isinstance(p, click.Option)]
    known = [name for p in options if not p.hidden for name in (*p.opts, *p.secondary_opts)]
    if meant not in known and len(given) == len("-n"):
        meant = next((name for name in known if name.startswith(f"-{given}")), "")
    by_word = {name.lstrip("-"): name for name in known}  # or all would be alike by their dashes
    near = meant if meant in known else by_word.get(nearest(given.lstrip("-"), by_word) or "")
    more = ", …" if len(known) > NAMED else ""
    told = f"did you mean {near}?" if near else f"there are {', '.join(known[:NAMED])}{more}"
    return click.UsageError(f"there is no option {quoted(given)}; {told}", context)
