"""Drives one system: python -m peering NAME PREFIX FOLDER

A request is a line of JSON on the standard input, its answer a line on the standard output; what
the system itself prints goes to the standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from peering.interface import Peer
from peering.systems import SYSTEMS


def answer(peer: Peer, request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked for."""
    match request["do"]:
        case "burst":
            begin_s = time.perf_counter()
            peer.burst(request["tasks"])
            return {"took_s": time.perf_counter() - begin_s}
        case "one":
            return dict(peer.one())
        case other:
            raise ValueError(f"nothing is known of {other!r}")


def main() -> None:
    """Start the system, answer until the input ends, stop the system."""
    name, prefix, folder = sys.argv[1:]
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    peer = SYSTEMS[name]()

    def say(**what: Any) -> None:
        print(json.dumps(what), file=said, flush=True)

    try:
        say(version=peer.start(Path(prefix), Path(folder)))
        for line in sys.stdin:
            say(**answer(peer, json.loads(line)))
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}")
        raise
    finally:
        peer.stop()


if __name__ == "__main__":
    main()
