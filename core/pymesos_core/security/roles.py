"""Verbs, and the roles in which they are allowed, as rules and rights name them."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import StrEnum

EVERY = "**"  # role


class Verb(StrEnum):
    """What is done. The object is a role, or of CLUSTER_VERBS the cluster."""

    SUBSCRIBE = "subscribe"
    SERVE = "serve"
    LAUNCH = "launch"
    RESERVE = "reserve"
    SUBMIT = "submit"
    STOP = "stop"
    KILL = "kill"
    TEARDOWN = "teardown"
    READ = "read"
    READ_ENV = "read-env"
    LOGS = "logs"
    FILES = "files"
    EXEC = "exec"
    QUOTA = "quota"
    SECRETS = "secrets"
    AGENTS = "agents"
    POLICY = "policy"
    AUDIT = "audit"

    @property
    def words(self) -> str:
        """What is done in words, to follow "may not"."""
        return _WORDS.get(self, self.value)


# What follows "may not", where the verb itself does not.
_WORDS = {
    Verb.READ_ENV: "read environments",
    Verb.LOGS: "read logs",
    Verb.FILES: "read files",
    Verb.QUOTA: "set quotas",
    Verb.SECRETS: "use secrets",
    Verb.AGENTS: "manage agents",
    Verb.POLICY: "manage the policy",
    Verb.AUDIT: "read the audit",
}

CLUSTER_VERBS = frozenset({Verb.AGENTS, Verb.POLICY, Verb.AUDIT})


@dataclass(frozen=True, slots=True)
class Roles:
    """A set of roles: all, or some by name, and some with all below them."""

    every: bool = False
    exact: frozenset[str] = frozenset()
    below: frozenset[str] = frozenset()

    def __contains__(self, role: str) -> bool:
        if self.every or role in self.exact:
            return True
        while role and self.below:
            if role in self.below:
                return True
            role = role.rpartition("/")[0]
        return False

    def __bool__(self) -> bool:
        return self.every or bool(self.exact or self.below)

    def __and__(self, other: Roles) -> Roles:
        """The roles that are in both."""
        if self.every or other.every:
            return other if self.every else self
        exact = {role for role in self.exact if role in other}
        exact |= {role for role in other.exact if role in self}
        mine, others = Roles(below=self.below), Roles(below=other.below)
        below = {role for role in self.below if role in others}
        below |= {role for role in other.below if role in mine}
        return Roles(False, frozenset(exact), frozenset(below))

    def patterns(self) -> list[str]:
        """Return what `read_roles` makes it of."""
        return [EVERY] * self.every + sorted({*self.exact, *(f"{top}/**" for top in self.below)})

    def overlaps(self, other: Roles) -> bool:
        """Whether any role, of those that are used and those that are not, is in both."""
        if self.every or other.every:
            return bool(self) and bool(other)
        mine, others = self.exact | self.below, other.exact | other.below
        return any(role in other for role in mine) or any(role in self for role in others)


EVERY_ROLE = Roles(every=True)


def read_roles(written: Iterable[str]) -> Roles:
    """The roles of EVERY, ROLE/** and ROLE, together."""
    patterns = set(written)
    below = {p.removesuffix("/**") for p in patterns if p.endswith("/**")}
    exact = {p for p in patterns if p != EVERY and not p.endswith("/**")}
    return Roles(EVERY in patterns, frozenset(exact), frozenset(below))


def covers(do: Container[Verb], pattern: str, verb: Verb, role: str) -> bool:
    """Whether some verbs in EVERY, ROLE/** or ROLE are that one in a role, or in the cluster."""
    if verb not in do:
        return False
    if verb in CLUSTER_VERBS or pattern == EVERY:
        return pattern == EVERY
    top = pattern.removesuffix("/**")
    return role == top or (top != pattern and role.startswith(f"{top}/"))
