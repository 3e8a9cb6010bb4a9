"""`pymesos-lb`, which is imported only when it runs: see `pymesos_core.entry`."""

from __future__ import annotations

from pymesos_core.entry import enter


def main() -> None:
    """Run it."""
    enter("pymesos_lb.main")


if __name__ == "__main__":
    main()
