#!/usr/bin/env python3
"""Make packages from their folders, and the signed index of a repository of them.

    python deploy/packages/build.py --new-key packages.key    # once; it prints the public key
    python deploy/packages/build.py --key packages.key --out /srv/packages deploy/packages/*/

The folder can be added as a repository as it is, or served by https. Versions that are in its index
stay there; one whose contents have changed is refused: it wants another number. Keep the key, and
let nobody else read it: whoever has it can have others run what they like.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from pymesos_cli.packages.building import build, new_key, read_key
from pymesos_cli.packages.index import key_text
from pymesos_cli.packages.parts import PackageError


def say(line: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{line}\n")


def main() -> None:
    """Do what the flags say."""
    parser = argparse.ArgumentParser(description="Make packages, and sign their index.")
    parser.add_argument("--new-key", type=Path, metavar="FILE", help="Make a key for signing.")
    parser.add_argument("--key", type=Path, metavar="FILE", help="The key to sign with.")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="Where the repository is.")
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="Of packages.")
    given = parser.parse_args()
    try:
        if given.new_key is not None and given.new_key.exists():
            key = read_key(given.new_key)
            public = key_text(key.public_key())
            sys.exit(f"error: {given.new_key} has a key already, whose public part is {public}")
        if given.new_key is not None:
            say(key_text(new_key(given.new_key).public_key()))
            return
        if given.key is None or given.out is None:
            parser.error("--new-key, or --key and --out are expected")
        key = read_key(given.key)
        index = build(given.folders, given.out, key, time.time())
    except (PackageError, OSError) as error:
        sys.exit(f"error: {error}")
    say(f"{len(index.entries)} packages in {given.out}, signed by {key_text(key.public_key())}")


if __name__ == "__main__":
    main()
