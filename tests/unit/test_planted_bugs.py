"""Every planted bug still fits the code, so that a move breaks here and not after minutes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

KNOWN = Path(__file__).parents[1] / "simulation" / "test_known_bugs.py"


@pytest.fixture(scope="module")
def known() -> Iterator[ModuleType]:
    """The module that plants them."""
    spec = importlib.util.spec_from_file_location("planted_bugs", KNOWN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[spec.name]


def test_each_can_be_planted(known: ModuleType) -> None:
    assert len(known.BUGS) >= 40
    for bug in known.BUGS:
        with pytest.MonkeyPatch.context() as patch:
            bug(patch)


def test_each_hint_is_of_a_bug(known: ModuleType) -> None:
    assert known.FOUND_BY.keys() <= {bug.__name__ for bug in known.BUGS}
