"""Replay the recordings of a folder: see the package."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from pymesos_testing.recordings.excusing import excuses, is_strict
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
    unexcused = sum(len(one.unexcused) for one in outcomes)
    known = sum(len(one.open) for one in outcomes)
    excused_fields = [difference for one in outcomes for difference in one.excused]
    percent = 100 * len(excused_fields) / max(1, fields)
    strict = sum(map(is_strict, excused_fields))
    print(
        f"{len(outcomes)} recordings, {fields} fields compared: {unexcused + known} different"
        f" ({known} of them known), {len(excused_fields)} excused ({percent:.2f} %; at most"
        f" {MOST_PERCENT:g} % may be), {strict} of these in states and reasons, where Mesos is at"
        f" fault"
    )
    return 1 if unexcused or known or percent > MOST_PERCENT else 0


if __name__ == "__main__":
    sys.exit(main())
