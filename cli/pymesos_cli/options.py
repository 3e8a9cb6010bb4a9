"""What commands share: the flags before them, --json, and the way to a cluster."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click
from click.core import ParameterSource

from pymesos_cli import terminal
from pymesos_core.contexts import ContextError, Said, Way, way_to

if TYPE_CHECKING:
    from pymesos_cli.cluster import Cluster

DEFAULT_MASTER = "127.0.0.1:5050"
NOTHING = Said()

Result = TypeVar("Result")


class Settings:
    """The flags that all commands share."""

    def __init__(
        self, master: Said, timeout_s: float, tls: Said = NOTHING, context: str = ""
    ) -> None:
        self.timeout_s = timeout_s
        self._master = master
        self._tls = tls
        self._context = context

    def way(self) -> Way:
        """To the cluster that is meant. Raises CliError."""
        from pymesos_cli.errors import EXIT_USAGE, CliError

        try:
            return way_to(self._master, self._tls, context=self._context, default=DEFAULT_MASTER)
        except ContextError as error:
            raise CliError(str(error), EXIT_USAGE) from error


def settings_of(main: click.Context) -> Settings:
    """What the flags before a command say; a variable says nothing where --context does."""
    given = main.params
    return Settings(
        _said(main, "master"), given["timeout"], _said(main, "tls"), given["context_name"]
    )


def _said(main: click.Context, name: str) -> Said:
    text = str(main.params[name] or "")
    if main.get_parameter_source(name) != ParameterSource.ENVIRONMENT:
        return Said(text, f"--{name}")
    return NOTHING if main.params["context_name"] else Said(text, f"PYMESOS_{name.upper()}")


pass_settings = click.make_pass_decorator(Settings)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def with_cluster(settings: Settings, work: Callable[[Cluster], Awaitable[Result]]) -> Result:
    """Run `work(cluster)` to its end."""
    # These take a quarter of a second to import, which --help need not pay.
    import asyncio

    from pymesos_cli.cluster import Cluster
    from pymesos_core.lookups import look_up_in_own_threads

    way = settings.way()

    async def main() -> Result:
        look_up_in_own_threads()
        async with Cluster(way, settings.timeout_s) as cluster:
            result = await work(cluster)
            await cluster.renew_if_due()
            return result

    try:
        return asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(terminal.EXIT_INTERRUPTED)
