"""Replay the recordings of a folder: see the package."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from pathlib import Path

from pymesos_testing.recordings.excusing import excuses
from pymesos_testing.recordings.replaying import Outcome, replay

MOST_PERCENT = 5.0  # of the fields that may be excused


def main() -> int:
    """The exit status: 0 if all that differs is excused."""
    parser = argparse.ArgumentParser(prog="recordings", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="those whose file name has this part")
    parser.add_argument("--all", action="store_true", help="show what is excused, too")
    asked = parser.parse_args()
    excused = excuses()
    outcomes: list[Outcome] = []
    for path in sorted(asked.folder.glob("*.json")):
        if asked.only in path.name:
            outcome = asyncio.run(replay(path, excused))
            outcomes.append(outcome)
            print(f"== {outcome.summary()}", flush=True)
            for difference, excuse in outcome.differences:
                if excuse is None or asked.all or excuse.open:
                    mark = "" if excuse is None else ("(open) " if excuse.open else "(excused) ")
                    print(f"   {mark}{difference}", flush=True)
    fields = sum(one.fields for one in outcomes)
    kinds = Counter(
        "unexcused" if excuse is None else "open" if excuse.open else "excused"
        for one in outcomes
        for _, excuse in one.differences
    )
    percent = 100 * kinds["excused"] / max(1, fields)
    print(
        f"{len(outcomes)} recordings, {fields} fields compared: {kinds['unexcused']} differences"
        f" without an excuse, {kinds['open']} open, {kinds['excused']} excused ({percent:.1f} %;"
        f" at most {MOST_PERCENT:g} % may be)"
    )
    return 1 if kinds["unexcused"] or kinds["open"] or percent > MOST_PERCENT else 0


if __name__ == "__main__":
    sys.exit(main())
