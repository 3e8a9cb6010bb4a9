"""Messages of any kind with anything in them, for tests of properties."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

MAX_DEPTH = 5
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
}


def fill(draw: Any, message: Message, depth: int = 0) -> None:
    """Set fields at random, and those that have to be."""
    for field in message.DESCRIPTOR.fields:
        deep = depth >= MAX_DEPTH and field.message_type is not None
        if not field.is_required and (deep or not draw(st.booleans())):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for key in draw(st.lists(TEXT, max_size=2, unique=True)):
                entry = getattr(message, field.name)[key]
                fill(draw, entry, depth + 1)
        elif field.message_type is not None and field.is_repeated:
            for _ in range(draw(st.integers(1, 2))):
                fill(draw, getattr(message, field.name).add(), depth + 1)
        elif field.message_type is not None:
            getattr(message, field.name).SetInParent()
            fill(draw, getattr(message, field.name), depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(value_of(field), max_size=2)))
        else:
            setattr(message, field.name, draw(value_of(field)))


def value_of(field: Any) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=8)
    return NUMBERS.get(field.cpp_type, TEXT)


@st.composite
def messages(draw: Any, kind: type[Message]) -> Message:
    message = kind()
    fill(draw, message)
    return message
