"""`nohup make test &`: the children of tests heed the signals that tests send them."""

from __future__ import annotations

import signal
import subprocess
import sys

from pymesos_testing.signals import IGNORED_BY_OTHERS

NUMBERS = [int(number) for number in IGNORED_BY_OTHERS]
CHILD = f"import signal; print(*[signal.getsignal(n) == signal.SIG_IGN for n in {NUMBERS}])"
TESTS = f"""
import os, signal, subprocess, sys
from pymesos_testing.signals import give_children_the_defaults
give_children_the_defaults()
for number in {NUMBERS}:
    os.kill(os.getpid(), number)  # the tests themselves go on
subprocess.run([sys.executable, "-c", {CHILD!r}])
"""


def ignore_them() -> None:
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def test_children_of_tests_that_ignore_signals_do_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TESTS], preexec_fn=ignore_them, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.split()) == (0, ["False"] * 3), done.stderr
