"""Messages of Apache Mesos: their encodings, and what they are to us, for master and agent."""

from typing import Any

from pymesos_core import VERSION as OURS

VERSION = "1.12.0"  # the one of Mesos whose API this is


def version_info() -> dict[str, Any]:
    """Return the version of Mesos whose API this is; who built it is us."""
    return {
        "version": VERSION,
        "build_date": "1970-01-01 00:00:00 UTC",  # which nobody notes
        "build_time": 0.0,
        "build_user": f"pymesos {OURS}",
    }
