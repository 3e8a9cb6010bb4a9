"""What Mesos tells of the machine that a server runs on."""

from __future__ import annotations

import os


def system() -> dict[str, float]:
    """Return what `/system/stats.json` tells of this machine."""
    load_1, load_5, load_15 = os.getloadavg()
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    return {
        "avg_load_1min": load_1,
        "avg_load_5min": load_5,
        "avg_load_15min": load_15,
        "cpus_total": os.cpu_count() or 1,
        "mem_free_bytes": os.sysconf("SC_AVPHYS_PAGES") * page_bytes,
        "mem_total_bytes": os.sysconf("SC_PHYS_PAGES") * page_bytes,
    }
