"""Messages that a hostile peer could send, made from the descriptors of the contract.

Each field is given extremes: numbers that are none, texts that nobody sees, sizes at and over each
limit, values that no enum has. A text `$task` and the like stands for one that is there. All of it
follows from a seed, which hypothesis chooses: drawing each value by it would take a hundred times
as long.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from pymesos_core import limits

Made = TypeVar("Made", bound=Message)

TOKENS = ("$task", "$agent", "$framework", "$offer", "$executor")
DOUBLES = (0.0, 1.0, 0.5, 3.0, 0.001, 0.0004, -0.0, -1.0, math.nan, math.inf, -math.inf, 1e308,
           2.0**63, 1.7976931348623157e308, 5e-324, 1e-9, 3.2e8, 1048576.0)  # fmt: skip
TEXTS = (*TOKENS, *TOKENS, "", "a", "b", "*", "db", "db/x", "cpus", "mem", "disk", "ports",
         "gpus", "0", "tcp", "http", "host", "none", "/x", "(a+)+", "x" * 255, " ", "a ", ".",
         "..", "a/b", "\0", "\n", "a\u202eb", "\u200d", "é" * 128, "x" * 256, "x" * 1025,
         "🚀")  # fmt: skip
LONG_TEXTS = ("x" * 66_000, "x" * 140_000, "y" * 300_000)
DATA = (b"", b"u", b"\xff" * 16, b"x" * 64, b"x" * 65)
LONG_DATA = (b"x" * 270_000, b"x" * 530_000)
COUNTS = (0, 1, 1, 2, 3)
LARGE_COUNTS = (64, 65, 256, 257, 1024, 1025)
BOUNDS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}
NUMBERS = (0, 1, 2, 80, 31_000, 65_535, 65_536, 2**31 - 1)


class Fuzz:
    """One seed's choices."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def any(self, kind: type[Made], depth: int = 6) -> Made:
        """Any message of a kind that fits on the wire."""
        while True:
            message = kind()
            self._fill(message, depth)
            if message.ByteSize() <= limits.MESSAGE.most:
                return message

    def spoil(self, message: Made) -> Made:
        """One that is as it should be, with a field somewhere that is not."""
        whole = type(message)()
        whole.CopyFrom(message)
        inner: Message = whole
        while True:
            fields: list[Any] = list(inner.DESCRIPTOR.fields)
            there = [f for f, _ in inner.ListFields() if f.message_type and not _is_map(f)]
            if there and self.random.random() < 0.7:
                field = self.random.choice(there)
                value = getattr(inner, field.name)
                inner = self.random.choice(value) if field.is_repeated else value
                continue
            field = self.random.choice(fields)
            if field.is_repeated and self.random.random() < 0.5:
                inner.ClearField(field.name)
            self._set(inner, field, 4)
            return whole if whole.ByteSize() <= limits.MESSAGE.most else message

    def _of(self, usual: Sequence[Any], rare: Sequence[Any]) -> Any:
        """One of them, of the rare ones one in forty."""
        return self.random.choice(rare if self.random.random() < 0.025 else usual)

    def _fill(self, message: Message, depth: int) -> None:
        fullness = self.random.random()
        descriptor: Any = message.DESCRIPTOR
        for oneof in descriptor.oneofs:
            if len(oneof.fields) > 1 and self.random.random() < 0.95:
                self._set(message, self.random.choice(oneof.fields), depth)
        for field in descriptor.fields:
            of_several = field.containing_oneof and len(field.containing_oneof.fields) > 1
            if not of_several and self.random.random() < fullness:
                self._set(message, field, depth)

    def _set(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        if not field.is_repeated:
            self._set_one(message, field, depth)
        elif depth > 0 or field.message_type is None:
            count = self._of(COUNTS, LARGE_COUNTS)
            values = getattr(message, field.name)
            for _ in range(count):
                if _is_map(field):
                    self._add_entry(values, field, depth)
                elif field.message_type is not None:
                    self._fill(values.add(), 0 if count > 3 else depth - 1)
                else:
                    values.append(self._value(field))

    def _set_one(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        if field.message_type is None:
            setattr(message, field.name, self._value(field))
        elif depth > 0:
            part = getattr(message, field.name)
            part.SetInParent()
            self._fill(part, depth - 1)

    def _add_entry(self, values: Any, field: FieldDescriptor, depth: int) -> None:
        assert field.message_type is not None
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        if value.message_type is None:
            values[self._value(key)] = self._value(value)
        else:
            self._fill(values[self._value(key)], depth - 1)

    def _value(self, field: FieldDescriptor) -> Any:
        if field.enum_type is not None:
            return self._of(tuple(field.enum_type.values_by_number), (777, -1, 2**31 - 1))
        match field.type:
            case FieldDescriptor.TYPE_DOUBLE:
                return self.random.choice(DOUBLES)
            case FieldDescriptor.TYPE_STRING:
                return self._of(TEXTS, LONG_TEXTS)
            case FieldDescriptor.TYPE_BYTES:
                return self._of(DATA, LONG_DATA)
            case FieldDescriptor.TYPE_BOOL:
                return self.random.random() < 0.5
            case kind:
                return self.random.choice((*NUMBERS, *BOUNDS[kind]))


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def resolve(message: Made, live: Mapping[str, str]) -> Made:
    """The message with what is there in the place of the tokens."""
    for field, value in message.ListFields():
        if field.message_type is not None and not _is_map(field):
            for part in value if field.is_repeated else (value,):
                resolve(part, live)
        elif field.type == FieldDescriptor.TYPE_STRING and field.is_repeated:
            for index, text in enumerate(value):
                value[index] = live.get(text, text)
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, live.get(value, value))
    return message
