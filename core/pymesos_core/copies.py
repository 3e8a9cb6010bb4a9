"""Copies of messages, for those who keep a part of one for long."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)


def copy_of(message: M) -> M:
    """A copy that stands alone: a part of a message keeps all that came with it in memory."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
