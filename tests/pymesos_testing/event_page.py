"""What a browser makes of server-sent events, as the standard has it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class EventPage:
    """An EventSource with what it has heard, over all its connections."""

    last_event_id: str = ""  # that it sends when it comes back
    heard: list[tuple[str, str, Any]] = field(default_factory=list)  # id, type and data
    comments: int = 0
    retry_ms: int = 0
    _unread: str = ""

    def connected(self) -> None:
        """The page has connected anew: what was cut is dropped."""
        self._unread = ""

    def feed(self, data: bytes) -> None:
        """Bytes that came."""
        *blocks, self._unread = (self._unread + data.decode()).split("\n\n")
        for block in blocks:
            self._block(block)

    def _block(self, block: str) -> None:
        kind, lines = "message", list[str]()
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "":
                    self.comments += 1
                case "id":
                    self.last_event_id = value
                case "event":
                    kind = value
                case "data":
                    lines.append(value)
                case "retry":
                    self.retry_ms = int(value)
                case _:
                    raise AssertionError(f"no field of an event: {line}")
        if lines:
            self.heard.append((self.last_event_id, kind, json.loads("\n".join(lines))))

    def kinds(self, of: str = "message") -> list[str]:
        """What the events of a type say that they are, in their order."""
        return [data["kind"] for _, kind, data in self.heard if kind == of]
