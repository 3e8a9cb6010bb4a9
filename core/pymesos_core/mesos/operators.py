"""What the operators' APIs of masters and of agents have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymesos_core.mesos.refusing import bad_request


@dataclass(frozen=True)
class EmptyLists:
    """Lists that Mesos shows though nothing is in them."""

    of: Mapping[Any, Sequence[str]]  # by the class of the message
    below: Sequence[str]  # fields whose messages have such lists, too

    def add(self, message: Any, shown: dict[str, Any]) -> dict[str, Any]:
        """Add them to a message in JSON, and return that."""
        for name in self.of.get(type(message), ()):
            shown.setdefault(name, [])
        for name in self.below:
            if name in shown and name in message.DESCRIPTOR.fields_by_name:
                self.add(getattr(message, name), shown[name])
        return shown


def parts_of(call: Any, but: Collection[str] = ()) -> Mapping[int, str]:
    """Return the part that a call of each type must have; a type that needs none is left out.

    `call` is the class of the calls, and `but` names types whose part may be missing.
    """
    return {
        number: name.lower()
        for name, number in call.Type.items()
        if name.lower() in call.DESCRIPTOR.fields_by_name and name not in but
    }


def check_parts(call: Any, parts: Mapping[int, str], whose: str) -> None:
    """Raises RefusalError for a call that lacks its type or its part, in Mesos' words
    (`src/master/validation.cpp`, `src/slave/validation.cpp`).
    """
    problem = None
    if not call.HasField("type"):
        problem = "Expecting 'type' to be present"
    elif (part := parts.get(call.type)) is not None and not call.HasField(part):
        problem = f"Expecting '{part}' to be present"
    if problem is not None:
        raise bad_request(f"Failed to validate {whose}::Call: {problem}")
