"""Rights of access tokens: of what a principal may, what who asks by a token of his may.

A right is written as in a policy, `read,logs:prod/**`, or as a verb of the cluster alone, `audit`.
One that cannot be read allows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pymesos_core.caller import Caller
from pymesos_core.ids import role_problem
from pymesos_core.limits import RIGHT, RIGHTS
from pymesos_core.nearest import hint
from pymesos_core.security.roles import (
    CLUSTER_VERBS,
    EVERY,
    EVERY_ROLE,
    Roles,
    Verb,
    covers,
    read_roles,
)
from pymesos_core.text import quoted

SCRAPE = "scrape"  # alone: to ask where tasks run, as Prometheus does, and nothing else
SCRAPING = (f"{Verb.READ}:{EVERY}",)  # what that is worth where it is asked
SIGN_IN = "sign-in"  # alone: to sign a browser in, once, and nothing else
SESSION = "session"  # alone: a browser that has signed in; it is made of a SIGN_IN only
ALONE = (SCRAPE, SIGN_IN)


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs, in the roles of a pattern."""

    do: frozenset[Verb]
    role: str  # EVERY, ROLE/** or ROLE


def read_right(written: str) -> Right:
    """Read one right, other than those that are given alone. Raises ValueError, with a sentence."""
    if problem := RIGHT.problem(len(written.encode("utf-8", "surrogatepass"))):
        raise ValueError(problem)
    words, colon, role = written.partition(":")
    do: set[Verb] = set()
    for word in words.split(","):
        if word == "*":
            do.update(Verb)
        elif word in set(Verb):
            do.add(Verb(word))
        else:
            raise ValueError(f"{quoted(word)} is no verb; {hint(word, Verb, 'these are:')}")
    if not colon and "*" not in words and do <= CLUSTER_VERBS:
        return Right(frozenset(do), EVERY)
    if role != EVERY and (role == "*/**" or role_problem(role.removesuffix("/**"))):
        raise ValueError(
            f"the right {quoted(written)} is of no role; expected is VERB:ROLE, as in read:prod,"
            f" read,logs:prod/** or read:{EVERY}"
        )
    if role != EVERY and "*" not in words and (cluster := do & CLUSTER_VERBS):
        raise ValueError(
            f"{', '.join(sorted(cluster))} is of the whole cluster: give it as a right of its own,"
            f" without a role"
        )
    return Right(frozenset(do), role)


def rights_problem(written: tuple[str, ...]) -> str | None:
    """Why these cannot be the rights of an access token, or None."""
    if problem := RIGHTS.problem(len(written)):
        return problem
    if not written:
        return f"an access token needs a right, as read:{EVERY}, or {SCRAPE}"
    for alone in ALONE:
        if alone in written:
            return None if len(written) == 1 else f"{alone} is for a token that has no other right"
    try:
        for one in written:
            read_right(one)
    except ValueError as error:
        return str(error)
    return None


@lru_cache(maxsize=1024)
def _read(written: tuple[str, ...]) -> tuple[Right, ...]:
    """Return those that can be read."""
    found = []
    for one in written:
        try:
            found.append(read_right(one))
        except ValueError:  # of a later version, or one that is given alone
            continue
    return tuple(found)


def problem(caller: Caller, verb: Verb, role: str) -> str | None:
    """Why the token of a caller is no good for a verb in a role, or in the cluster; or None."""
    if caller.rights is None:
        return None
    if any(covers(right.do, right.role, verb, role) for right in _read(caller.rights)):
        return None
    return lacking(caller, verb, role)


def lacking(caller: Caller, verb: Verb, role: str) -> str:
    """The sentence for one whose token has not the right."""
    where = f" in the role {role}" if role else ""
    has = ", ".join(caller.rights or ())
    return (
        f"the access token {caller.credential_id} of {caller.principal} may not {verb.words}"
        f"{where}: its rights are {has}"
    )


def roles_for(caller: Caller, verb: Verb) -> Roles:
    """Where the token of a caller is good for a verb."""
    if caller.rights is None:
        return EVERY_ROLE
    return read_roles(right.role for right in _read(caller.rights) if verb in right.do)
