"""What tests of installed commands share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pymesos_testing.components import passable_folder


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """One that the users of tasks may pass through, as the folders above a work directory; pytest's
    own are closed."""
    with passable_folder() as folder:
        yield folder
