"""What is let in no more, though its certificate is in force: here, in this process.

The leading master says what that is. Calls that are open end at once.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator

from pymesos_core.caller import Caller


class Revocations:
    """Principals and serial numbers of certificates, and the calls that are open of all others."""

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self._open: dict[int, tuple[Caller, Callable[[], None]]] = {}
        self._ids = itertools.count()

    def set(self, names: Iterable[str]) -> None:
        """These, and no others, are let in no more; what they have open ends."""
        self.names = frozenset(names)
        for caller, end in list(self._open.values()):
            if self.problem(caller):
                end()

    def problem(self, caller: Caller) -> str | None:
        """Why somebody is not let in, or None."""
        if not self.names:
            return None
        if caller.principal in self.names:
            return f"{caller.principal} is revoked, until an operator undoes that"
        if caller.credential_id in self.names:
            return f"the certificate of {caller.principal} is revoked"
        if not self.names.isdisjoint(caller.vouched_by):
            return f"the authority that signed the certificate of {caller.principal} is revoked"
        return None

    @contextlib.contextmanager
    def watched(self, caller: Caller, end: Callable[[], None]) -> Iterator[None]:
        """While a call is open, which `end` does when its caller is revoked."""
        number = next(self._ids)
        self._open[number] = (caller, end)
        try:
            yield
        finally:
            del self._open[number]
