"""How long a call lasts: until the credential of its caller ends, or is revoked."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymesos_core.caller import Caller
from pymesos_core.security.revocations import Revocations
from pymesos_core.transport import CallError, Code


@asynccontextmanager
async def while_valid(caller: Caller, revocations: Revocations) -> AsyncIterator[None]:
    """Cancel the body when the credential of its caller ends, or is revoked.

    Raises CallError then, and for one that is revoked already. Who has renewed it by then comes
    again with the new one.
    """
    left_s = None if caller.ends_s == math.inf else max(0.0, caller.ends_s - time.time())

    def end() -> None:
        if not ending.expired():
            ending.reschedule(asyncio.get_running_loop().time())

    try:
        async with asyncio.timeout(left_s) as ending:
            with revocations.watched(caller, end):
                if problem := revocations.problem(caller):
                    raise CallError(Code.UNAUTHENTICATED, problem)
                yield
    except TimeoutError:
        if not ending.expired():
            raise
        ended = f"the certificate of {caller.principal} has ended"
        why = revocations.problem(caller) or ended
        raise CallError(Code.UNAUTHENTICATED, why) from None
