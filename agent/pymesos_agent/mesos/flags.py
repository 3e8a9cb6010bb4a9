"""The settings of an agent by the names of Mesos' flags, which its tools show and look for."""

from __future__ import annotations

from collections.abc import Mapping

from pymesos_core.mesos import flags
from pymesos_core.mesos.flags import Write
from pymesos_core.settings.server import mask_credentials

# By the name of Mesos' flag: our setting, and how it is written.
NAMES: Mapping[str, tuple[str, Write]] = {
    "attributes": ("attributes", lambda of: ";".join(f"{n}:{text}" for n, text in of.items())),
    "gc_delay": ("sandbox_max_age_days", lambda days: f"{days:g}days"),
    "hostname": ("hostname", str),
    "ip": ("ip", str),
    "master": ("master", mask_credentials),
    "port": ("mesos_port", str),
    "work_dir": ("work_dir", str),
}


def flags_of(settings: object) -> Mapping[str, str]:
    """Return what an agent is set to, as flags of Mesos."""
    return flags.flags_of(settings, NAMES)
