"""The policy as people write it: YAML, read and checked, with sentences that name the line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pymesos_core import limits
from pymesos_core.documents import DocumentError, Items, Plain, Section, read_yaml
from pymesos_core.ids import id_problem, role_problem, size_of
from pymesos_core.images import image_problem
from pymesos_core.nearest import hint
from pymesos_core.security.identities import Kind
from pymesos_core.security.policy import CLUSTER_VERBS, EVERY, LaunchAs, Policy, Rule, Verb
from pymesos_core.text import in_yaml, quoted

# In force as long as nobody has set another: whom the authority issued a certificate is what that
# says, and nobody else is anything.
NEW_CLUSTER = """\
# Nobody has set a policy yet: who has a certificate of the cluster may do all that its kind can.
allow:
- {who: operator/*, do: ["*"], role: "**"}
- who: framework/*
  do: [subscribe, serve, launch, reserve]
  role: "**"
  as: {user: ["*"], images: ["", "*"], networks: ["*"], host_paths: [/], capabilities: ["*"]}
"""

NOBODY = "it has no rule, so by it nobody may do anything, nor set another policy"
MAX_NAME_LENGTH = 100
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.*")
_KINDS = (Kind.OPERATOR, Kind.FRAMEWORK)  # masters and agents need no rules
_AS = ("user", "images", "networks", "host_paths", "capabilities")


class PolicyError(ValueError):
    """A document is no policy: the message begins with the line, if one is known."""


def read_policy(document: str, version: int = 0) -> Policy:
    """Read and check a policy. Raises PolicyError."""
    if problem := limits.POLICY.problem(size_of(document)):
        raise PolicyError(problem)
    try:
        read = read_yaml(document)
    except DocumentError as error:
        quote = ""
        line = error.line or 0  # one behind the last where the end comes too soon
        if line and any("*" in text for text in document.splitlines()[line - 1 : line]):
            quote = '; * and ** have to be quoted: "*", "**"'
        raise PolicyError(f"{error}{quote}") from None
    try:
        return _policy(read, document, version)
    except DocumentError as error:
        raise PolicyError(str(error)) from None


def read_policy_bytes(data: bytes) -> Policy:
    """Read and check what a file holds, of which more than is accepted need not be read.

    Raises PolicyError.
    """
    if problem := limits.POLICY.problem(len(data)):
        raise PolicyError(problem)
    try:
        return read_policy(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"line {line}: it holds no text in UTF-8") from None


def role_warnings(policy: Policy) -> Iterator[str]:
    """Yield what of a policy is a role by its name, and looks as if it stood for several."""
    for rule in policy.rules:
        name = rule.role.removesuffix("/**")
        if "*" in name and name not in ("*", EVERY):
            top = name.partition("*")[0].rstrip("/") or "prod"
            yield (
                f"line {rule.line}: {in_yaml(rule.role)} is a role of that name: within a name *"
                f" stands for nothing else, and {in_yaml(f'{top}/**')} is {top} and all below it"
            )


@cache
def new_cluster() -> Policy:
    """The policy of a cluster in which nobody has set one."""
    return read_policy(NEW_CLUSTER)


def _policy(read: Any, document: str, version: int) -> Policy:
    """Raises DocumentError."""
    if isinstance(read, Plain) and read.value is None:
        read = Section()
    top = _section(read, "the policy", 1, ("groups", "allow"))
    groups = _groups(top.get("groups"), top.lines.get("groups", 1))
    line = top.lines.get("allow", 1)
    written = top.get("allow")
    if written is None:
        written = Items()
    if not isinstance(written, Items):
        raise DocumentError("allow is a list of rules: - {who: …, do: […], role: …}", line)
    if problem := limits.POLICY_RULES.problem(len(written)):
        raise DocumentError(problem, line)
    rules = tuple(_rule(item, groups, line) for item in written)
    return Policy(rules, groups, document, version)


def _groups(read: Any, line: int) -> Mapping[str, tuple[str, ...]]:
    if read is None:
        return {}
    section = _section(read, "groups", line)
    out = {}
    for name in section:
        line = section.lines[name]
        if problem := id_problem(name):
            raise DocumentError(f"the name of a group: {problem}", line)
        if set(name) - _NAME or "*" in name:
            raise DocumentError(f"the group {quoted(name)}: expected are a-z, 0-9, - and .", line)
        out[name] = _texts(section, name)
        for who in out[name]:
            _check_principal(who, line)
    return out


def _rule(read: Any, groups: Mapping[str, tuple[str, ...]], line: int) -> Rule:
    """Raises DocumentError."""
    section = _section(read, "a rule", line, ("who", "do", "role", "as"))
    line = min(section.lines.values(), default=line)
    for key in ("who", "do"):
        if key not in section:
            raise DocumentError(f"the rule lacks {key}; expected is {_EXAMPLE}", line)
    who = _texts(section, "who")
    for name in who:
        if "/" in name:
            _check_principal(name, section.lines["who"])
        elif name not in groups:
            known = f"; these are: {', '.join(groups)}" if groups else ""
            raise DocumentError(
                f"who is {quoted(name)}: expected is a group{known}, or KIND/NAME",
                section.lines["who"],
            )
    do = _verbs(_texts(section, "do"), section.lines["do"])
    role = _role(section, do, line)
    launch_as = LaunchAs()
    if "as" in section:
        if Verb.LAUNCH not in do:
            raise DocumentError("as is of rules that let launch", section.lines["as"])
        launch_as = _launch_as(section["as"], section.lines["as"])
    verbs = ", ".join(map(in_yaml, _texts(section, "do")))
    said = f"{{who: {_one(who)}, do: [{verbs}], role: {in_yaml(role)}}}"
    return Rule(who, do, role, launch_as, line, said)


_EXAMPLE = "{who: operator/alice, do: [read], role: prod}"


def _one(texts: tuple[str, ...]) -> str:
    some = [in_yaml(text) for text in texts]
    return some[0] if len(some) == 1 else f"[{', '.join(some)}]"


def _verbs(words: tuple[str, ...], line: int) -> frozenset[Verb]:
    out: set[Verb] = set()
    for word in words:
        if word == "*":
            out.update(Verb)
        elif word in set(Verb):
            out.add(Verb(word))
        else:
            raise DocumentError(
                f"{quoted(word)} is no verb; {hint(word, Verb, 'these are:')}", line
            )
    return frozenset(out)


def _role(section: Section, do: frozenset[Verb], line: int) -> str:
    named = {Verb(word) for word in _texts(section, "do") if word != "*"}
    if "role" not in section:
        if named and named <= CLUSTER_VERBS and named == do:
            return EVERY
        raise DocumentError(f'the rule lacks role; "{EVERY}" is every role', line)
    line = section.lines["role"]
    role = section["role"]
    if not isinstance(role, str):
        raise DocumentError(f'a role is expected, as prod, "prod/**" or "{EVERY}"', line)
    if role == EVERY:
        return role
    if problem := role_problem(role.removesuffix("/**")):
        raise DocumentError(f'{problem}; expected is a role, as prod, "prod/**" or "{EVERY}"', line)
    if role == "*/**":
        raise DocumentError(f'below the role * is nothing; every role is "{EVERY}"', line)
    if cluster := named & CLUSTER_VERBS:
        raise DocumentError(
            f"{', '.join(sorted(cluster))} is of the whole cluster: give it a rule of its own, with"
            f' the role "{EVERY}" or none',
            line,
        )
    return role


def _launch_as(read: Any, line: int) -> LaunchAs:
    """Raises DocumentError."""
    section = _section(read, "as", line, _AS)
    given = {key: _texts(section, key, empty=True) for key in section}
    for key, texts in given.items():
        if problem := limits.POLICY_AS.problem(len(texts), f"{key} of a rule"):
            raise DocumentError(problem, section.lines[key])
    for image in given.get("images", ()):
        if image not in ("", "*") and (problem := image_problem(image.removesuffix("/"))):
            raise DocumentError(problem, section.lines["images"])
    paths = []
    for path in given.get("host_paths", ()):
        if not path.startswith("/") or ".." in path.split("/"):
            raise DocumentError(
                f"{quoted(path)}: a path from / is expected, without ..",
                section.lines["host_paths"],
            )
        paths.append(f"/{path.strip('/')}")
    capabilities = tuple(c.upper().removeprefix("CAP_") for c in given.get("capabilities", ()))
    return LaunchAs(
        given.get("user"), given.get("images"), given.get("networks"), tuple(paths), capabilities
    )


def _check_principal(name: str, line: int) -> None:
    """Raises DocumentError."""
    kind, _, rest = name.partition("/")
    if kind not in _KINDS or not rest or len(rest) > MAX_NAME_LENGTH or set(rest) - _NAME:
        raise DocumentError(
            f"{quoted(name)} is no principal; expected is {_KINDS[0]}/NAME or {_KINDS[1]}/NAME, as"
            f" operator/alice or operator/ci-*",
            line,
        )


def _section(read: Any, what: str, line: int, keys: tuple[str, ...] = ()) -> Section:
    """Raises DocumentError."""
    if not isinstance(read, Section):
        raise DocumentError(f"{what} has to be a mapping, as {_EXAMPLE}", line)
    if keys:
        for key in read:
            if key not in keys:
                raise DocumentError(
                    f"{quoted(key)} is not known there; {what} has {', '.join(keys)}",
                    read.lines[key],
                )
    return read


def _texts(section: Section, key: str, *, empty: bool = False) -> tuple[str, ...]:
    """One text, or a list of them. Raises DocumentError."""
    value, line = section[key], section.lines[key]
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DocumentError(f"{key} has to be a list of texts, as [a, b]", line)
    if not texts and not empty:
        raise DocumentError(f"{key} is empty", line)
    return tuple(texts)
