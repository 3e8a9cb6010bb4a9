"""The known word that is meant by one that is not known."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pymesos_core.nearest import NAMED, hint, nearest


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("taks", "tasks"),
        ("TASKS", "tasks"),
        ("min-healthy-s", "min_healthy_s"),
        ("zzz", None),
        ("", None),
        ("tasks" + "x" * 10**6, None),
    ],
)
def test_the_nearest_word(word: str, meant: str | None) -> None:
    assert nearest(word, ["name", "tasks", "min_healthy_s"]) == meant


def test_a_hint_names_the_nearest_or_some() -> None:
    assert hint("nmae", ["name", "tasks"]) == "did you mean name?"
    assert hint("nmae", ["name"], shown=repr) == "did you mean 'name'?"
    assert hint("zzz", iter(["name", "tasks"]), "there are") == "there are name, tasks"
    many = [f"a{number}" for number in range(NAMED + 1)]
    assert hint("zzz", many) == f"known are {', '.join(many[:-1])}, …"


@pytest.mark.parametrize(("given", "is_set"), [(None, "NONE"), ("ERROR", "ERROR")])
def test_grpc_is_told_to_say_nothing_itself(given: str | None, is_set: str) -> None:
    """gRPC reads the variable when it is imported."""
    environment = {k: v for k, v in os.environ.items() if k != "GRPC_VERBOSITY"}
    if given is not None:
        environment["GRPC_VERBOSITY"] = given
    shown = "'grpc' in sys.modules, os.environ['GRPC_VERBOSITY']"
    code = f"import pymesos_core, sys, os; print({shown})"
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", is_set]
