"""A gateway, which is imported only when it runs: see `pymesos_core.entry`."""

from __future__ import annotations

from pymesos_core.entry import enter

if __name__ == "__main__":
    enter("pymesos_master.gateways.process")
