"""Copies of messages, and of many messages into one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)


def copy_of(message: M) -> M:
    """A copy that stands alone: a part of a message keeps all that came with it in memory."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def add_all(to: Any, messages: Iterable[Message]) -> None:
    """Add copies of messages to a repeated field.

    `extend`, and a constructor that is given the messages, serialize and parse each of them, which
    takes twice as long; and each constructor around another does so again.
    """
    for message in messages:
        to.add().CopyFrom(message)
