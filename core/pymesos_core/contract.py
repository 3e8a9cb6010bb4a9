"""Whether a message of the contract says only what it may, field by field.

`problem(message)` looks at every field that is set, by the rule that `contract_rules.py` has for
it. The checks are made from the descriptors, and a field without a rule fails a test, so that none
is forgotten. What a field means beside others (a task needs an id, a role must be subscribed) is
for the core that takes the message in.

Resources are left out where they are: `resources.from_proto` checks them when they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from pymesos_core.contract_rules import (
    COUNTS,
    OPEN_ENUMS,
    READ_ELSEWHERE,
    RULES,
    SIZES,
    SMALL_BYTES,
    USUAL,
    USUAL_IF_SMALL,
    Rule,
    anything,
)
from pymesos_core.limits import Limit
from pymesos_core.recognizing import Recognizer, Usual
from pymesos_proto.v1 import types_pb2 as pb


def rule_of(field: FieldDescriptor) -> Rule | None:
    """The rule of a field that is neither a message nor true or false; None: it has none yet."""
    owner = field.containing_type.name if field.containing_type else ""
    if (enum := field.enum_type) is not None:
        return anything if enum.name in OPEN_ENUMS else _known(enum)
    return RULES.get(f"{owner}.{field.name}", RULES.get(field.name))


def _known(enum: EnumDescriptor) -> Rule:
    known, name = frozenset(enum.values_by_number), enum.name

    def rule(value: int) -> str | None:
        return None if value in known else f" is {value}, which is no {name}"

    return rule


def _usual(field: FieldDescriptor) -> Usual | None:
    """What is usual of a field that is no message; None: anything is."""
    if (enum := field.enum_type) is not None and enum.name not in OPEN_ENUMS:
        return frozenset(enum.values_by_number).__contains__
    rule = rule_of(field) or anything
    return USUAL[rule] if rule in USUAL else lambda value: rule(value) is None


def problem(message: Message) -> str | None:
    """The first thing that a message says and may not, as a sentence that begins with the field."""
    if _recognizer.knows(message):
        return None
    own_size, checks = _checks(message.DESCRIPTOR)
    if own_size is not None and (found := own_size.problem(message.ByteSize())):
        return found
    for field, value in message.ListFields():
        check = checks.get(field.number)
        if check is not None and (found := check(value)) is not None:
            return found
    return None


@cache
def _checks(descriptor: Descriptor) -> tuple[Limit | None, Mapping[int, Rule]]:
    """The limit of a message, and what looks at each field."""
    checks = {field.number: check for field in descriptor.fields if (check := _check(field))}
    return SIZES.get(descriptor.name), checks


def _is_sized(descriptor: Descriptor) -> bool:
    """Whether a message, or a value in it, may be too large."""
    values = (field for field in descriptor.fields if field.message_type is None)
    return descriptor.name in SIZES or not USUAL_IF_SMALL.isdisjoint(map(rule_of, values))


def _check(field: FieldDescriptor) -> Rule | None:
    """What looks at the value of a field, and names it; None where there is nothing to look at."""
    if field.message_type is not None:
        return _check_of_messages(field, field.message_type)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return None
    rule = rule_of(field) or anything
    limit = _count_limit(field)
    if rule is anything and limit is None:
        return None
    name = field.name
    if not field.is_repeated:

        def of_one(value: Any) -> str | None:
            found = rule(value)
            return None if found is None else f"{name}{found}"

        return of_one

    def of_many(values: Any) -> str | None:
        if limit is not None and (found := limit.problem(len(values), name)):
            return found
        for value in values:
            if (found := rule(value)) is not None:
                return f"{name}{found}"
        return None

    return of_many


def _check_of_messages(field: FieldDescriptor, inner: Descriptor) -> Rule | None:
    name, limit = field.name, _count_limit(field)
    if inner.name in READ_ELSEWHERE:
        return None
    if inner.GetOptions().map_entry:
        return _check_of_map(name, inner)
    if not field.is_repeated:

        def of_one(value: Message) -> str | None:
            found = problem(value)
            return None if found is None else f"{name}.{found}"

        return of_one

    def of_many(values: Any) -> str | None:
        if limit is not None and (found := limit.problem(len(values), name)):
            return found
        for number, value in enumerate(values):
            if (found := problem(value)) is not None:
                return f"{name}[{number}].{found}"
        return None

    return of_many


def _check_of_map(name: str, entry: Descriptor) -> Rule:
    of_key = rule_of(entry.fields_by_name["key"]) or anything
    value_field = entry.fields_by_name["value"]
    of_value = problem if value_field.message_type is not None else rule_of(value_field)

    def rule(values: Mapping[str, Any]) -> str | None:
        for key, value in values.items():
            if (found := of_key(key)) is not None:
                return f"{name}{found}"
            if of_value is not None and (found := of_value(value)) is not None:
                return f"{name}[{key}] {found.lstrip(': ')}"
        return None

    return rule


def _count_limit(field: FieldDescriptor) -> Limit | None:
    if not field.is_repeated:
        return None
    owner = field.containing_type.name if field.containing_type else ""
    return COUNTS.get(f"{owner}.{field.name}", COUNTS.get(field.name))


_recognizer = Recognizer(_usual, _count_limit, READ_ELSEWHERE, _is_sized, SMALL_BYTES)

_REASONS = frozenset(pb.Reason.DESCRIPTOR.values_by_number)
_SOURCES = frozenset(pb.Source.DESCRIPTOR.values_by_number)
_IMAGE_TROUBLES = frozenset(pb.ImageTrouble.DESCRIPTOR.values_by_number)


def tame(status: pb.TaskStatus) -> pb.TaskStatus:
    """The status, without a reason, source or trouble that only a newer peer knows."""
    if status.reason not in _REASONS:
        status.reason = pb.REASON_UNSPECIFIED
    if status.source not in _SOURCES:
        status.source = pb.SOURCE_UNSPECIFIED
    if status.image_trouble not in _IMAGE_TROUBLES:
        status.image_trouble = pb.IMAGE_TROUBLE_UNSPECIFIED
    return status
