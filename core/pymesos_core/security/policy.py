"""What principals may do: allow-rules in any order, of which one is enough.

A rule says who, does what, in which roles; what no rule allows is denied, and nothing else denies.
So a rule that is added takes nothing away from anybody. Where nobody has proved who he is, as in a
cluster without certificates, nothing is decided here: whoever reaches a server may do everything.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from pymesos_core.caller import Caller
from pymesos_core.images import full_name, is_on_disk
from pymesos_core.security import rights
from pymesos_core.security.roles import CLUSTER_VERBS as CLUSTER_VERBS
from pymesos_core.security.roles import EVERY as EVERY
from pymesos_core.security.roles import EVERY_ROLE as EVERY_ROLE
from pymesos_core.security.roles import Roles as Roles
from pymesos_core.security.roles import Verb as Verb
from pymesos_core.security.roles import covers
from pymesos_core.security.roles import read_roles as read_roles
from pymesos_core.text import quoted

MAX_REMEMBERED = 10_000  # principals
MAX_ASKED = 256  # paths and capabilities of one task, each of which is held against all of a rule


@dataclass(frozen=True, slots=True)
class Asked:
    """What a task is to be launched as, and what of its machine it asks for."""

    users: tuple[str, ...]  # an empty one: none is named
    image: str = ""
    network: str = "host"
    host_paths: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    none_is_root: bool = False  # on its agent, who names no user and has no image


@dataclass(frozen=True, slots=True)
class LaunchAs:
    """What a rule lets tasks be launched as; None: it says nothing of that."""

    user: tuple[str, ...] | None = None  # None: any but root, or none
    images: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    host_paths: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()

    @property
    def is_anything(self) -> bool:
        """Whether all is allowed, so that nobody needs to look."""
        return (
            self.user is not None
            and "*" in self.user
            and (self.images is None or {"", "*"} <= set(self.images))
            and (self.networks is None or "*" in self.networks)
            and "/" in self.host_paths
            and "*" in self.capabilities
        )

    def problem(self, asked: Asked) -> str | None:
        """What of it is not allowed, to follow "may not launch"; or None."""
        some = len(asked.host_paths) + len(asked.capabilities)
        if some > MAX_ASKED:
            return (
                f"with {some} paths of the host and capabilities; at most {MAX_ASKED} are looked at"
            )
        for user in asked.users:
            if problem := self._user_problem(user, asked):
                return problem
        if self.images is not None and not any(_is_image(i, asked.image) for i in self.images):
            what = f"the image {quoted(asked.image)}" if asked.image else "without an image"
            return f"{what}; allowed are {_listed(self.images)}"
        if self.networks is not None and not _matches_any(self.networks, asked.network):
            return f"in the network {quoted(asked.network)}; allowed are {_listed(self.networks)}"
        for path in asked.host_paths:
            if not any(_is_below(path, allowed) for allowed in self.host_paths):
                return f"with {quoted(path)} of the host; allowed are {_listed(self.host_paths)}"
        for capability in asked.capabilities:
            if not _matches_any(self.capabilities, capability.removeprefix("CAP_")):
                may = _listed(self.capabilities)
                return f"with the capability {quoted(capability)}; allowed are {may}"
        return None

    def _user_problem(self, user: str, asked: Asked) -> str | None:
        if self.user is not None:
            if any(_is_user(allowed, user) for allowed in self.user):
                return None
            what = f"as {quoted(user)}" if user else "as no user in particular"
            return f"{what}; allowed are {_listed(self.user)}"
        if not user:
            if asked.image:
                return "as the user of its image; one is to be named that is not root"
            if asked.none_is_root:
                return (
                    "as no user in particular, which is root on this agent; name one that is not,"
                    " or have the agent upgraded, and run without --task-uids none, so that it"
                    " gives users to tasks"
                )
            return None  # it gets one of its own, or the agent's that is not root
        if _is_root(user):
            return f"as {quoted(user)}, which is root"
        if ":" in user:
            return f"as {quoted(user)}, which names a group"
        return None


def _is_root(user: str) -> bool:
    name = user.partition(":")[0]
    return name in ("", "root") or (name.isdecimal() and all(int(digit) == 0 for digit in name))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(quoted, names)) or "none"


def matches(pattern: str, name: str) -> bool:
    """Whether a name is what a pattern says, in which `*` stands for anything, also for nothing."""
    if "*" not in pattern:
        return pattern == name
    first, *between, last = pattern.split("*")
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in between:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _matches_any(patterns: Iterable[str], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)


def _is_user(allowed: str, user: str) -> bool:
    """A name stands for no group beside it, whatever it ends with, but for `*` alone."""
    if ":" in user and ":" not in allowed and allowed != "*":
        return False
    return matches(allowed, user)


def _is_image(allowed: str, image: str) -> bool:
    """`registry/` is all below it, a name all its tags, and `*` any image."""
    if allowed == "*" or allowed == image:
        return True
    if not allowed or not image or is_on_disk(image):
        return False
    full = full_name(image)
    if allowed.endswith("/"):
        return full.startswith(allowed)
    whole = full_name(allowed)
    return full == whole or full.startswith((f"{whole}:", f"{whole}@"))


def _is_below(path: str, allowed: str) -> bool:
    if allowed == "/":
        return True
    if not path.startswith("/") or ".." in path.split("/"):
        return False
    return posixpath.commonpath((path, allowed)) == allowed


@dataclass(frozen=True, slots=True)
class Rule:
    """One allow-rule of the document."""

    who: tuple[str, ...]  # groups, and patterns of principals
    do: frozenset[Verb]
    role: str  # EVERY, ROLE/** or ROLE
    launch_as: LaunchAs
    line: int = 0
    written: str = ""  # as a person reads it

    def is_of(self, principal: str, groups: Container[str]) -> bool:
        """Whether it names a principal, who is in these groups."""
        return any(matches(who, principal) if "/" in who else who in groups for who in self.who)

    def allows(self, verb: Verb, role: str) -> bool:
        """Whether whom it is of may do that; nothing is the role of what is the cluster's."""
        return covers(self.do, self.role, verb, role)


def roles_of(rules: Iterable[Rule]) -> Roles:
    """The roles that rules are of."""
    return read_roles(rule.role for rule in rules)


class Grants:
    """The rules of one principal, and what they allow together."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self._roles: dict[Verb, Roles] = {}
        self._launching: dict[str, tuple[Rule, ...]] = {}  # by role

    def roles(self, verb: Verb) -> Roles:
        """Where it may do that."""
        found = self._roles.get(verb)
        if found is None:
            found = roles_of(rule for rule in self.rules if verb in rule.do)
            self._roles[verb] = found
        return found

    def rule(self, verb: Verb, role: str) -> Rule | None:
        """The first rule that allows it, or None."""
        return next((rule for rule in self.rules if rule.allows(verb, role)), None)

    def launching(self, role: str) -> tuple[Rule, ...]:
        """The rules that let it launch in a role; one that lets launch anything is alone."""
        found = self._launching.get(role)
        if found is None:
            if len(self._launching) >= MAX_REMEMBERED:
                self._launching.clear()
            found = tuple(rule for rule in self.rules if rule.allows(Verb.LAUNCH, role))
            free = next((rule for rule in found if rule.launch_as.is_anything), None)
            found = self._launching[role] = found if free is None else (free,)
        return found


@dataclass(frozen=True)
class Policy:
    """All rules, as they were set. What was asked of it once is remembered."""

    rules: tuple[Rule, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    document: str = ""
    version: int = 0  # 0: nobody has set one
    _grants: dict[str, Grants] = field(default_factory=dict, compare=False, repr=False)

    def of(self, principal: str) -> Grants:
        """What one principal may do."""
        found = self._grants.get(principal)
        if found is None:
            if len(self._grants) >= MAX_REMEMBERED:
                self._grants.clear()
            mine = {name for name, of in self.groups.items() if _matches_any(of, principal)}
            found = Grants(tuple(rule for rule in self.rules if rule.is_of(principal, mine)))
            self._grants[principal] = found
        return found


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something may be done, and by which rule; if not, why, as a sentence."""

    problem: str | None = None
    rule: Rule | None = None

    @property
    def allowed(self) -> bool:
        """Whether it may be done."""
        return self.problem is None


ALLOWED = Decision()


def decide(policy: Policy, caller: Caller, verb: Verb, role: str = "") -> Decision:
    """Whether a caller may do something in a role, or in the cluster."""
    if not caller.is_proved:
        return ALLOWED
    rule = policy.of(caller.principal).rule(verb, role)
    if rule is None:
        return Decision(_denied(policy, caller, verb, role))
    problem = rights.problem(caller, verb, role)
    return Decision(problem) if problem else Decision(rule=rule)


def decide_launch(policy: Policy, caller: Caller, role: str, asked: Asked) -> Decision:
    """Whether a caller may launch a task in a role as it is to be: one rule has to allow all."""
    if not caller.is_proved:
        return ALLOWED
    if problem := rights.problem(caller, Verb.LAUNCH, role):
        return Decision(problem)
    nearest = ""
    for rule in policy.of(caller.principal).launching(role):
        problem = rule.launch_as.problem(asked)
        if problem is None:
            return Decision(rule=rule)
        nearest = nearest or f"{problem} (the rule of line {rule.line})"
    if not nearest:
        return Decision(_denied(policy, caller, Verb.LAUNCH, role))
    return Decision(
        f"{caller.principal} may not launch in the role {role} {nearest}; `pymesos-cli policy show`"
        f" has the rules"
    )


def launches_anything(policy: Policy, caller: Caller, role: str) -> bool:
    """Whether a caller may launch whatever it likes in a role."""
    if not caller.is_proved:
        return True
    if rights.problem(caller, Verb.LAUNCH, role):
        return False
    rules = policy.of(caller.principal).launching(role)
    return len(rules) == 1 and rules[0].launch_as.is_anything


def roles_for(policy: Policy, caller: Caller, verb: Verb) -> Roles:
    """Where a caller may do something."""
    if not caller.is_proved:
        return EVERY_ROLE
    return policy.of(caller.principal).roles(verb) & rights.roles_for(caller, verb)


def denied(policy: Policy, caller: Caller, verb: Verb) -> str:
    """The sentence for one who may do something in no role at all."""
    if policy.of(caller.principal).roles(verb):
        return rights.lacking(caller, verb, "")
    return _denied(policy, caller, verb, "")


def _denied(policy: Policy, caller: Caller, verb: Verb, role: str) -> str:
    said = f"no rule of the cluster's policy (version {policy.version}) allows it"
    if not role and verb not in CLUSTER_VERBS:
        rules = "`pymesos-cli whoami` shows those that do name you"
        return f"{caller.principal} may not {verb.words} in any role: {said}; {rules}"
    where = f" in the role {role}" if role else ""
    asked = f"{caller.principal} {verb}{f' {shlex.quote(role)}' if role else ''}"
    return (
        f"{caller.principal} may not {verb.words}{where}: {said}; `pymesos-cli can {asked}` says"
        f" what would"
    )
