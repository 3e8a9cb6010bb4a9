"""Shows what a check has found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pymesos_cli.migrating.checking import Finding
from pymesos_cli.output import print_json, print_table


def show(found: Sequence[Finding], *, as_json: bool) -> None:
    """Print a table, and a line that counts; or JSON."""
    if as_json:
        print_json([one.to_json() for one in found])
        return
    print_table(
        ("VERDICT", "OF", "WHAT", "HERE"),
        [(one.verdict.value, one.of, one.what, one.told) for one in found],
        "Nothing is there.",
        flexible=("HERE", "WHAT", "OF"),
    )
    counts = Counter(one.verdict.value for one in found)
    told = ", ".join(f"{counts[name]} {name}" for name in ("missing", "differs", "works"))
    print(f"{told}; docs/coming-from-mesos.md has the steps")
