"""What every role of pymesos shares: resources, ids, task states, time, coordination, serving."""

import os
from typing import TYPE_CHECKING

# What gRPC writes itself, as when a peer stops, is for its own authors, and what it means is said
# in our logs. It reads this when it is imported; GRPC_VERBOSITY=ERROR shows it all the same.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

if TYPE_CHECKING:
    VERSION: str


def __getattr__(name: str) -> str:
    """VERSION, when it is asked for: to look it up takes longer than to start."""
    if name != "VERSION":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pymesos-cluster")
    except PackageNotFoundError:  # a source tree on PYTHONPATH, not installed
        return "0+unknown"
