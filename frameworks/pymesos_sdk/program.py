"""A framework as a program: what is wrong with its command line or its master is a sentence."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from pymesos_core.addresses import AddressError
from pymesos_core.coordination import CoordinationError
from pymesos_proto.v1 import types_pb2
from pymesos_sdk.driver import Driver, FrameworkError, Scheduler

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def run_framework(
    scheduler: Scheduler, info: types_pb2.FrameworkInfo, arguments: Sequence[str] | None = None
) -> int:
    """Run a framework with the master that the command line names; the exit status.

    `arguments` are those of the command line, without the program.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        sys.stderr.write(
            f"usage: {info.name or sys.argv[0]} MASTER, which is host:port or zk://host:port/path,"
            f" as in 127.0.0.1:5050\n"
        )
        return EXIT_USAGE
    try:
        asyncio.run(Driver(scheduler, info, given[0]).run())
    except AddressError as error:
        sys.stderr.write(f"{info.name}: {error}\n")
        return EXIT_USAGE
    except (CoordinationError, FrameworkError) as error:
        sys.stderr.write(f"{info.name}: {error}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0
