"""`nohup make test &`: the children of tests heed the signals that tests send them."""

from __future__ import annotations

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


IGNORING = f"""
import os, signal, sys
for number in {NUMBERS}:
    signal.signal(number, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


def test_children_of_tests_that_ignore_signals_do_not() -> None:
    # Not by `preexec_fn`: gRPC, which other tests have run here, may abort a process that forks.
    done = subprocess.run(
        [sys.executable, "-c", IGNORING, TESTS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["False"] * 3), done.stderr
