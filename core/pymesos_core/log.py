"""Logging for the servers: one line per record on stderr, as systemd and Docker expect."""

from __future__ import annotations

import logging
import sys

LEVELS = ("debug", "info", "warning", "error")


def set_up_logging(level: str) -> None:
    """Log to stderr from `level` on; libraries only their warnings."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
        force=True,
    )
    for name in ("pymesos_core", "pymesos_master", "pymesos_agent", "pymesos_sdk"):
        logging.getLogger(name).setLevel(level.upper())
    for name in ("pymesos_binpack", "pymesos_cli"):
        logging.getLogger(name).setLevel(level.upper())
    # kazoo logs every lost connection as a traceback of its own thread; its state is logged by us.
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
