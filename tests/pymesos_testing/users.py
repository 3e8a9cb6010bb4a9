"""Commands that run as another user of the machine, who has no rights at all."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

SOMEBODY = 4321
ROOT = Path(__file__).resolve().parents[2]
# Binds what is needed aside, opens the folders around it, and binds it back: for this command only.
_SCRIPT = """
set -e
uid=$1; shift
held=$(mktemp -d)
kept=()
while [ "$1" != -- ]; do
  mkdir "$held/${#kept[@]}"
  mount --bind "$2" "$held/${#kept[@]}"
  kept+=("$1" "$2"); shift 2
done
shift
for ((n = 0; n < ${#kept[@]}; n += 2)); do mount -t tmpfs -o mode=755 tmpfs "${kept[n]}"; done
for ((n = 0; n < ${#kept[@]}; n += 2)); do
  mkdir -p "${kept[n+1]}"
  mount --bind "$held/$n" "${kept[n+1]}"
  umount "$held/$n"
done
rm -rf --one-file-system "$held"
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
"""


def as_somebody(*argv: str) -> list[str]:
    """A command as that user, who reaches the interpreter and this repository. Needs root."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    closed = [
        argument
        for place in (sys.base_prefix, sys.prefix, str(ROOT))
        if (folder := _closed(Path(place))) is not None
        for argument in (str(folder), place)
    ]
    return ["unshare", "-m", "bash", "-c", _SCRIPT, "as", str(SOMEBODY), *closed, "--", *argv]


def _closed(place: Path) -> Path | None:
    """The first folder on the way to a place that others do not get through."""
    around = reversed([place, *place.parents])
    return next((p for p in around if not p.stat().st_mode & stat.S_IXOTH), None)
