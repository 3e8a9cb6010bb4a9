"""What is said of an option that a command does not have, or that it was not given."""

from __future__ import annotations

import click

from pymesos_core.nearest import NAMED, nearest
from pymesos_core.text import quoted


class RoleCommand(click.Command):
    """A command that says which option is meant, of one that it does not have, or which lacks."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """See click.Command."""
        try:
            return super().parse_args(context, args)
        except click.NoSuchOption as error:
            raise no_such_option(self, context, error.option_name) from error
        except click.MissingParameter as error:
            if isinstance(error.param, click.Option):
                raise lacks_option(context, error.param) from error
            raise


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


def lacks_option(context: click.Context, option: click.Option, given: str = "") -> click.UsageError:
    """Return the error for an option that has to be given: what it is."""
    wanted = f"{option.opts[0]} {option.make_metavar(context)}"
    return click.UsageError(f"{wanted} is expected{given}: {_as_it_goes_on(option.help)}", context)


def _as_it_goes_on(sentence: str | None) -> str:
    """Return what follows a colon: a sentence without its capital, where that is no name's."""
    text = sentence or ""
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
