"""What the processes that tests start do at a signal, whoever started the tests.

A shell that puts `make test &` into the background has it ignore SIGINT and SIGQUIT, and `nohup`
has it ignore SIGHUP. What is ignored stays so in every child, and over exec; what is handled does
not. So tests handle what they are to ignore, and their children do what they do by default.
"""

from __future__ import annotations

import signal

IGNORED_BY_OTHERS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def give_children_the_defaults() -> None:
    """Handle, by doing nothing, each signal that this process is to ignore."""
    for number in IGNORED_BY_OTHERS:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
