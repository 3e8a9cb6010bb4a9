"""How a command begins: Ctrl-C ends it without a word until it has been imported.

To import a command takes a second or more. What Python says to Ctrl-C meanwhile is a traceback of
whatever it was reading. The script of a command names a file that imports this one and no more.
"""

from __future__ import annotations

import gc
import signal
from importlib import import_module


def enter(module: str) -> None:
    """Import the module of a command and call its `main`; until then SIGINT ends the process."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # nohup, or a job in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # what is imported stays: to look for garbage in it is a tenth of the time
    main = import_module(module).main
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, before)
    main()
