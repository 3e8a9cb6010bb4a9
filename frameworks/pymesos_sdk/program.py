"""A framework as a program: what is wrong with its command line or its master is a sentence."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from pymesos_core.addresses import AddressError
from pymesos_core.contexts import ContextError, Said, Way, way_to
from pymesos_core.coordination import CoordinationError
from pymesos_core.exits import RoleError
from pymesos_core.store import Store
from pymesos_proto.v1 import types_pb2
from pymesos_sdk.driver import Driver
from pymesos_sdk.scheduler import FrameworkError, Scheduler

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def run_framework(
    scheduler: Scheduler,
    info: types_pb2.FrameworkInfo,
    arguments: Sequence[str] | None = None,
    *,
    store: Store | None = None,
) -> int:
    """Run a framework with the master that the command line names; the exit status.

    `arguments` are those of the command line, without the program. Where they name no master, that
    is $PYMESOS_MASTER, or that of the user's current context. The framework's certificate is that
    of $PYMESOS_TLS, or the one of the context that has the master. For `store` see Driver.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        way = way_of_framework(given)
        if way is None:
            sys.stderr.write(
                f"usage: {info.name or sys.argv[0]} MASTER, which is host:port or"
                f" zk://host:port/path, as in 127.0.0.1:5050\n"
            )
            return EXIT_USAGE
        asyncio.run(Driver(scheduler, info, way.master, store=store, tls=way.tls).run())
    except (AddressError, ContextError) as error:
        sys.stderr.write(f"{info.name or sys.argv[0]}: {error}\n")
        return EXIT_USAGE
    except (CoordinationError, FrameworkError, RoleError) as error:
        sys.stderr.write(f"{info.name or sys.argv[0]}: {error}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def way_of_framework(arguments: Sequence[str]) -> Way | None:
    """From a command line of at most a master's address to that; None where nothing names one.

    Raises ContextError.
    """
    if len(arguments) > 1:
        return None
    master = Said(arguments[0], "MASTER") if arguments else Said()
    if not master.text:
        master = Said(os.environ.get("PYMESOS_MASTER", ""), "PYMESOS_MASTER")
    tls = Said(os.environ.get("PYMESOS_TLS", ""), "PYMESOS_TLS")
    way = way_to(master, tls)
    if not tls.text:
        way = replace(way, tls=way.framework_tls)
    return way if way.master else None
