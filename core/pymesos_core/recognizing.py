"""Messages with which nothing is wrong are told at a glance, as most that come are.

What is not recognized may be well all the same: that is for a closer look to say, which takes
longer. `contract_rules.py` has the rules. Here a function is written for each kind of message, as
`dataclasses` writes an `__init__`: it reads field by field by name, which takes a third of the time
that going through descriptors does, and this is most of what a call costs a master.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Container
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.message import Message

from pymesos_core.limits import Limit

# Whether a value, or all that a message says, is one of the usual.
Usual = Callable[[Any], object]

usual_id: Usual = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]{0,254}").fullmatch


class Recognizer:
    """Recognizes messages by what is usual of each of their fields."""

    def __init__(
        self,
        usual_of: Callable[[FieldDescriptor], Usual | None],
        limit_of: Callable[[FieldDescriptor], Limit | None],
        unread: Container[str],
        sized: Callable[[Descriptor], bool],
        small_bytes: int,
    ) -> None:
        """Recognize by what the rules say.

        `usual_of` a field that is no message, of which None may be anything; `limit_of` how many a
        repeated one may have. What is not set is well. `unread` messages are left out. A message of
        a kind that is `sized` is usual up to `small_bytes`.
        """
        self._usual_of = usual_of
        self._limit_of = limit_of
        self._unread = unread
        self._sized = sized
        self._small_bytes = small_bytes
        self._known: dict[Descriptor, Usual] = {}
        self._known_if_small: dict[Descriptor, Usual] = {}  # of parts of what was found small

    def knows(self, message: Message) -> object:
        """Whether everything that a message says is as usual."""
        kind: Any = message.DESCRIPTOR
        known = self._known.get(kind) or self._of(kind, small=False)
        return known(message)

    def _of(self, descriptor: Descriptor, *, small: bool) -> Usual:
        written = self._known_if_small if small else self._known
        if descriptor not in written:
            written[descriptor] = self._write(descriptor, small=small)
        return written[descriptor]

    def _write(self, descriptor: Descriptor, *, small: bool) -> Usual:
        lines = ["def known(message):"]
        if self._sized(descriptor) and not small:
            lines.append(f"    if message.ByteSize() > {self._small_bytes}: return False")
            small = True
        oneofs = [oneof for oneof in descriptor.oneofs if len(oneof.fields) > 1]
        alone = [field for field in descriptor.fields if field.containing_oneof not in oneofs]
        tests: list[tuple[str, Any] | None] = [self._test_of_oneof(o, small=small) for o in oneofs]
        tests += [self._test_of(field, small=small) for field in alone]
        names: dict[str, Any] = {}
        for number, (test, usual) in enumerate(filter(None, tests)):
            names[f"usual_{number}"] = usual
            lines.append(f"    if {test.format(usual=f'usual_{number}')}: return False")
        exec("\n".join((*lines, "    return True")), names)  # noqa: S102 (names of our contract)
        known: Usual = names["known"]
        return known

    def _test_of(self, field: FieldDescriptor, *, small: bool) -> tuple[str, Any] | None:
        """An expression for what is not usual of a field, and the `usual` in it."""
        usual, limit = self._usual(field, small=small), self._limit_of(field)
        said = f"message.{field.name}"
        if usual is None and limit is None:
            return None
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return said, usual  # there are few
        if field.is_repeated:
            most = limit.most if limit is not None else sys.maxsize
            return f"(said := {said}) and not {{usual}}(said)", _many(usual or _anything, most)
        if field.message_type is not None:
            return f"message.HasField({field.name!r}) and not {{usual}}({said})", usual
        return f"(said := {said}) and not {{usual}}(said)", usual

    def _test_of_oneof(self, oneof: OneofDescriptor, *, small: bool) -> tuple[str, Any]:
        usual = {f.name: self._usual(f, small=small) or _anything for f in oneof.fields}
        which = f"(which := message.WhichOneof({oneof.name!r}))"
        return f"{which} and not {{usual}}[which](getattr(message, which))", usual

    def _usual(self, field: FieldDescriptor, *, small: bool) -> Usual | None:
        if (inner := field.message_type) is None:
            return self._usual_of(field)
        return None if inner.name in self._unread else self._of(inner, small=small)


def _anything(_: Any) -> bool:
    return True


def _many(usual: Usual, most: int) -> Usual:
    return lambda values: len(values) <= most and all(map(usual, values))
