"""What commands share: the flags before them, --json, and the way to a cluster."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from pymesos_cli import terminal

if TYPE_CHECKING:
    from pymesos_cli.cluster import Cluster

DEFAULT_MASTER = "127.0.0.1:5050"

Result = TypeVar("Result")


class Settings:
    """The flags that all commands share."""

    def __init__(self, master: str, timeout_s: float, tls: Path | None) -> None:
        self.master = master
        self.timeout_s = timeout_s
        self.tls = tls


pass_settings = click.make_pass_decorator(Settings)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def with_cluster(settings: Settings, work: Callable[[Cluster], Awaitable[Result]]) -> Result:
    """Run `work(cluster)` to its end."""
    # These take a quarter of a second to import, which --help need not pay.
    import asyncio

    from pymesos_cli.cluster import Cluster

    async def main() -> Result:
        async with Cluster(settings.master, settings.timeout_s, settings.tls) as cluster:
            return await work(cluster)

    try:
        return asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(terminal.EXIT_INTERRUPTED)
