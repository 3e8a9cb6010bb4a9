"""What a command says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def said(error: type[Exception], read: Callable[[Any], object], text: Any) -> str:
    """The sentence of a refusal, which is not one of Python's own."""
    with pytest.raises(error) as caught:
        read(text)
    return str(caught.value)
