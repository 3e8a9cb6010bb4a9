"""`policy`, `can`, `whoami`: what principals may do, and by which rule."""

from __future__ import annotations

import time

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_FAILED, EXIT_USAGE, CliError
from pymesos_cli.given import given
from pymesos_cli.output import count_of, note, print_json, printable
from pymesos_core.clock import utc
from pymesos_core.json_access import can_json, policy_json, who_json
from pymesos_core.limits import POLICY
from pymesos_core.security.policy import Policy
from pymesos_core.security.policy_file import (
    NOBODY,
    PolicyError,
    read_policy_bytes,
    role_warnings,
)
from pymesos_core.text import duration, in_yaml, quoted
from pymesos_proto.v1 import operator_pb2 as pb


async def show_policy(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli policy show`: the document on stdout, and what there is to say of it beside."""
    request = pb.GetPolicyRequest()
    seen = await cluster.call(lambda stub, timeout_s: stub.GetPolicy(request, timeout=timeout_s))
    if as_json:
        print_json(policy_json(seen))
        return
    for line in seen.document.splitlines():
        print(printable(line))
    if seen.version:
        by = f", set by {seen.set_by}" if seen.set_by else ""
        what = f"version {seen.version}{by} at {utc(seen.set_at_s)}"
    else:
        what = "version 0: nobody has set a policy"
    note(f"{what}; `pymesos-cli policy set FILE --instead-of {seen.version}` sets another")


def _read(file: str) -> Policy:
    """Raises CliError."""
    name = "the policy" if file == "-" else quoted(file)
    with given(file) as stream:
        document = stream.read(POLICY.most + 1)
    try:
        policy = read_policy_bytes(document)
    except PolicyError as error:
        raise CliError(f"{name}, {error}", EXIT_USAGE) from error
    for warning in role_warnings(policy):
        note(f"{name}, {warning}")
    return policy


def check_policy(file: str) -> None:
    """`pymesos-cli policy check`."""
    policy = _read(file)
    rules, groups = len(policy.rules), len(policy.groups)
    print(f"a policy of {count_of(rules, 'rule')} and {count_of(groups, 'group')}")
    if not policy.rules:
        note(f"{NOBODY}; `policy set` does not take it")


async def set_policy(cluster: Cluster, file: str, instead_of: int) -> None:
    """`pymesos-cli policy set`."""
    policy = _read(file)
    if not policy.rules:
        name = "the policy" if file == "-" else quoted(file)
        raise CliError(f"{name} is not set: {NOBODY}. Give it rules below `allow:`", EXIT_USAGE)
    request = pb.SetPolicyRequest(document=policy.document, instead_of=instead_of)
    done = await cluster.call(lambda stub, timeout_s: stub.SetPolicy(request, timeout=timeout_s))
    print(f"the policy is of version {done.version} now, and in force")


async def can(cluster: Cluster, who: str, verb: str, role: str, *, as_json: bool) -> None:
    """`pymesos-cli can`; exit status 1: no."""
    request = pb.CanRequest(who=who, verb=verb, role=role)
    said = await cluster.call(lambda stub, timeout_s: stub.Can(request, timeout=timeout_s))
    rule = said.rule if said.HasField("rule") else None
    if as_json:
        print_json(can_json(said))
    elif rule is not None:
        print(f"yes: {_shown(rule)} of the policy (version {said.policy_version})")
    elif said.allowed:
        print("yes: this cluster has no certificates, so whoever reaches it may do everything")
    else:
        where = f" in the role {role}" if role else ""
        what = printable(f"{who} do {verb}{where}")
        print(f"no: no rule of the policy (version {said.policy_version}) lets {what}")
        note(f"this one would: {_rule_for(who, verb, role)}")
    if not said.allowed:
        raise SystemExit(EXIT_FAILED)


def _rule_for(who: str, verb: str, role: str) -> str:
    """Return the rule that would allow it, to be put into the file of a policy as it is."""
    where = f", role: {in_yaml(role)}" if role else ""
    return f"{{who: {in_yaml(who)}, do: [{in_yaml(verb)}]{where}}}"


def _shown(rule: pb.PolicyRule) -> str:
    return f"line {rule.line}, {printable(rule.rule)},"


async def who_am_i(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli whoami`."""
    request = pb.WhoAmIRequest()
    me = await cluster.call(lambda stub, timeout_s: stub.WhoAmI(request, timeout=timeout_s))
    if as_json:
        print_json(who_json(me))
        return
    if not me.principal:
        print("nobody in particular: this cluster has no certificates, and everybody may do all")
        return
    left = duration(max(0.0, me.ends_at_s - time.time()))
    until = f", whose certificate ends in {left}" if me.ends_at_s else ""
    print(f"{me.principal}{until}")
    for rule in me.rules:
        print(f"  line {rule.line}: {printable(rule.rule)}")
    if not me.rules:
        print(f"  no rule of the policy (version {me.policy_version}) is of you")
