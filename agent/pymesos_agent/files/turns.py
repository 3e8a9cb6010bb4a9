"""A volume is given to one at a time: what was cut short ends before the next begins."""

from __future__ import annotations

import threading
from pathlib import Path
from weakref import WeakValueDictionary

# Of this process, as its threads are: it is they who change whose a volume is.
_TURNS: WeakValueDictionary[Path, threading.Lock] = WeakValueDictionary()


class HandingStoppedError(Exception):
    """The task has been killed, so nobody waits for its volume any more."""


def turn_of(volume: Path) -> threading.Lock:
    """What a thread holds while it changes whose the files of a volume are."""
    return _TURNS.setdefault(volume, threading.Lock())
