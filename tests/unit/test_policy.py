"""What the policy says, and what it may not say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pymesos_core.caller import NOBODY, Caller, Method
from pymesos_core.security.policy import (
    CLUSTER_VERBS,
    Asked,
    LaunchAs,
    Policy,
    Rule,
    Verb,
    decide,
    decide_launch,
    launches_anything,
    matches,
    read_roles,
    roles_for,
)
from pymesos_core.security.policy_file import (
    NEW_CLUSTER,
    PolicyError,
    new_cluster,
    read_policy,
    role_warnings,
)
from pymesos_master.main import main as master

OF_THE_ISSUE = """\
groups: {ops: [operator/alice], ci: [operator/ci-*]}
allow:
- {who: ops, do: ["*"], role: "**"}
- {who: framework/binpack, do: [subscribe, serve, launch, reserve], role: "prod/**",
   as: {user: [app], images: ["registry.corp/"], networks: [bridge], host_paths: []}}
- {who: ci, do: [submit, read, logs], role: prod/ci}
"""


def who(principal: str) -> Caller:
    return Caller(principal, Method.CERT)


def may(policy: Policy, principal: str, verb: Verb, role: str = "") -> int:
    """The line of the rule that allows it; 0: none."""
    decision = decide(policy, who(principal), verb, role)
    assert decision.allowed == (decision.rule is not None) == (decision.problem is None)
    return decision.rule.line if decision.rule else 0


def test_the_example_says_what_it_seems_to() -> None:
    policy = read_policy(OF_THE_ISSUE, 7)
    assert all(may(policy, "operator/alice", verb, "any/role") == 3 for verb in Verb)
    assert may(policy, "operator/ci-7", Verb.SUBMIT, "prod/ci") == 6
    assert not may(policy, "operator/ci-7", Verb.SUBMIT, "prod/ci/below")
    assert not may(policy, "operator/ci-7", Verb.KILL, "prod/ci")
    assert not may(policy, "operator/bob", Verb.READ, "prod/ci")
    assert may(policy, "framework/binpack", Verb.SUBSCRIBE, "prod") == 4
    assert may(policy, "framework/binpack", Verb.SUBSCRIBE, "prod/a/b") == 4
    assert not may(policy, "framework/binpack", Verb.SUBSCRIBE, "production")
    assert not may(policy, "framework/binpack2", Verb.SUBSCRIBE, "prod")
    denied = decide(policy, who("operator/ci-7"), Verb.KILL, "prod/ci").problem
    assert denied == (
        "operator/ci-7 may not kill in the role prod/ci: no rule of the cluster's policy (version"
        " 7) allows it; `pymesos-cli can operator/ci-7 kill prod/ci` says what would"
    )


def test_the_page_has_every_verb_and_its_example_is_a_policy() -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text("utf-8")
    example, *_ = re.findall(r"```yaml\n(.*?)```", page, re.S)
    policy = read_policy(example)
    assert may(policy, "operator/ci-7", Verb.SUBMIT, "prod/ci") == 6
    assert may(policy, "operator/admin", Verb.POLICY), (
        "whom `cluster init` makes sets the first one"
    )
    rows = re.findall(r"^\| ([a-z, -]+) \|", page.partition("| verb |")[2], re.M)
    verbs = [word for row in rows for word in row.split(", ") if word in set(Verb)]
    assert sorted(verbs) == sorted(Verb)


def test_a_rule_that_is_shown_is_one_that_can_be_set() -> None:
    written = """groups: {ops: [operator/a, operator/b-*]}
allow:
- {who: [ops, operator/c], do: ["*"], role: "**"}
- {who: framework/*, do: [subscribe, launch], role: "*"}
- {who: ops, do: [read-env], role: "5/**"}
"""
    policy = read_policy(written)
    groups = "groups: {ops: [operator/a, operator/b-*]}\nallow:\n"
    again = read_policy(groups + "".join(f"- {rule.written}\n" for rule in policy.rules))
    assert again.rules == policy.rules


def test_nobody_is_denied_where_nobody_is_known() -> None:
    assert all(decide(Policy(), NOBODY, verb, "r").allowed for verb in Verb)
    assert decide_launch(Policy(), NOBODY, "r", Asked(("root",))).allowed
    assert "r" in roles_for(Policy(), NOBODY, Verb.READ)


def test_what_is_the_clusters_needs_a_rule_of_every_role() -> None:
    policy = read_policy('allow:\n- {who: operator/a, do: ["*"], role: "prod/**"}\n'
                         "- {who: operator/b, do: [agents]}\n")  # fmt: skip
    assert not any(may(policy, "operator/a", verb) for verb in CLUSTER_VERBS)
    assert may(policy, "operator/b", Verb.AGENTS) == 3
    assert not may(policy, "operator/b", Verb.POLICY)


def test_in_a_new_cluster_each_is_what_its_certificate_says() -> None:
    policy = new_cluster()
    assert policy.version == 0 and policy.document == NEW_CLUSTER
    assert all(may(policy, "operator/x", verb, "*") for verb in Verb)
    framework = who("framework/x")
    for verb in Verb:
        mine = verb in (Verb.SUBSCRIBE, Verb.SERVE, Verb.LAUNCH, Verb.RESERVE)
        assert decide(policy, framework, verb, "a/b").allowed == mine
    every = [Asked(("",)), Asked(("root",), "oci:/x"), Asked(("a",), "x", "n", ("/etc",), ("ALL",))]
    assert all(decide_launch(policy, framework, "r", asked).allowed for asked in every)
    for stranger in ("agent/x", "master/x", "x", ""):
        assert not any(may(policy, stranger, verb, "r") for verb in Verb)


@pytest.mark.parametrize(
    ("as_", "asked", "problem"),
    [
        ("", Asked(("app",)), None),
        ("", Asked(("app",), "nginx", "bridge"), None),
        ("", Asked(("root",)), "as 'root', which is root"),
        ("", Asked(("00",)), "as '00', which is root"),
        ("", Asked((":disk",)), "as ':disk', which is root"),
        ("", Asked(("app:disk",)), "as 'app:disk', which names a group"),
        ("", Asked(("",)), None),
        ("", Asked(("",), none_is_root=True), "which is root on this agent; name one that is not"),
        ("", Asked(("app",), none_is_root=True), None),
        ('user: [""]', Asked(("",), none_is_root=True), None),
        ("", Asked(("",), "nginx"), "as the user of its image"),
        ("user: [app]", Asked(("",)), "as no user in particular; allowed are 'app'"),
        ('user: [app, ""]', Asked(("",)), None),
        ("", Asked(("app", "0")), "as '0', which is root"),
        ("", Asked(("app",), host_paths=("/data",)), "with '/data' of the host"),
        ("", Asked(("app",), capabilities=("NET_ADMIN",)), "the capability 'NET_ADMIN'"),
        ("", Asked(("0" * 5000,)), "which is root"),
        ('capabilities: ["*"]', Asked(("app",), capabilities=("X",) * 257), "with 257 paths of"),
        ("user: [app]", Asked(("app",)), None),
        ("user: [app]", Asked(("other",)), "as 'other'; allowed are 'app'"),
        ("user: [app]", Asked(("app:disk",)), "as 'app:disk'"),
        ("user: [root]", Asked(("root",)), None),
        ('user: ["*"]', Asked(("",)), None),
        ('user: ["app*"]', Asked(("app1",)), None),
        ('user: ["app*"]', Asked(("app1:docker",)), "as 'app1:docker'"),
        ('user: ["app*:staff", "x:*"]', Asked(("app1:staff", "x:docker")), None),
        ("images: [registry.corp/]", Asked(("a",), "registry.corp/x:1"), None),
        ("images: [registry.corp/]", Asked(("a",), "registry.corp.evil/x"), "the image"),
        ("images: [registry.corp/]", Asked(("a",)), "without an image"),
        ('images: [""]', Asked(("a",)), None),
        ("images: [nginx]", Asked(("a",), "docker.io/library/nginx:1"), None),
        ("images: [nginx]", Asked(("a",), "nginx-evil"), "the image"),
        ("images: [docker.io/]", Asked(("a",), "oci:/etc"), "the image"),
        ("networks: [bridge]", Asked(("a",), network="bridge"), None),
        ("networks: [bridge]", Asked(("a",)), "in the network 'host'"),
        ("host_paths: [/data/]", Asked(("a",), host_paths=("/data", "/data/x")), None),
        ("host_paths: [/data]", Asked(("a",), host_paths=("/data2",)), "with '/data2'"),
        ("host_paths: [/data]", Asked(("a",), host_paths=("/data/../etc",)), "of the host"),
        ("capabilities: [CAP_net_admin]", Asked(("a",), capabilities=("NET_ADMIN",)), None),
    ],
)  # fmt: skip
def test_what_a_task_may_be_launched_as(as_: str, asked: Asked, problem: str | None) -> None:
    more = f", as: {{{as_}}}" if as_ else ""
    policy = read_policy(f"allow:\n- {{who: framework/f, do: [launch], role: r{more}}}\n")
    said = decide_launch(policy, who("framework/f"), "r", asked).problem
    assert (said is None) if problem is None else (said is not None and problem in said), said
    assert not decide_launch(policy, who("framework/f"), "s", asked).allowed


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("5", "line 1: the policy has to be a mapping"),
        ("allow: {}", "line 1: allow is a list of rules"),
        ("groups: {}\nalow: []", "line 2: 'alow' is not known there"),
        ("groups:\n  a: [operator/x]\n  b: [bob]", "line 3: 'bob' is no principal"),
        ("groups:\n  'a/b': [operator/x]", "line 2: the name of a group"),
        ("allow:\n- 5", "line 1: a rule has to be a mapping"),
        ("allow:\n- {who: operator/a}", "line 2: the rule lacks do"),
        ("allow:\n- {who: ops, do: [read], role: r}", "line 2: who is 'ops': expected is a"),
        ("allow:\n- {who: agent/a, do: [read], role: r}", "line 2: 'agent/a' is no principal"),
        ("allow:\n- who: operator/a\n  do: [fly]\n  role: r", "line 3: 'fly' is no verb"),
        ("allow:\n- who: operator/a\n  do: []\n  role: r", "line 3: do is empty"),
        ("allow:\n- who: operator/a\n  do: [read]", "line 2: the rule lacks role"),
        ("allow:\n- who: operator/a\n  do: [read]\n  role: 5", "line 4: a role is expected"),
        ("allow:\n- who: operator/a\n  do: [read]\n  role: a//b", "line 4: role 'a//b' has the"),
        ("allow:\n- who: operator/a\n  do: [read]\n  role: **", "line 4: not YAML or JSON"),
        ("allow:\n- who: operator/a\n  do: [read]\n  role: **", "have to be quoted"),
        ("allow:\n- who: operator/a\n  do: [policy]\n  role: r", "line 4: policy is of the whole"),
        ("allow:\n- who: operator/a\n  do: [read]\n  role: r\n  as: {}", "line 5: as is of rules"),
        ("allow:\n- who: framework/a\n  do: [launch]\n  role: r\n  as: {host_paths: [x]}",
         "line 5: 'x': a path from / is expected"),
        ("allow:\n- who: framework/a\n  do: [launch]\n  role: r\n  as: {images: [A B]}",
         "line 5: 'A B' is no reference"),
        ("allow:\n- who: framework/a\n  do: [launch]\n  role: r\n  as: {user: ["
         + "x," * 101 + "]}",
         "line 5: user of a rule has 101 entries; at most 100"),
        ("allow:\n- {who: operator/a, do: [fly], role: '**'}",
         "line 2: 'fly' is no verb; these are: subscribe"),
        ("x" * 70_000, "The policy has 70000 bytes; at most 65536"),
        ("allow: [" + "5," * 1001 + "]", "line 1: The policy has 1001 rules; at most 1000"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(written: str, says: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_policy(written)
    said = str(refused.value)
    assert says in said
    assert ("have to be quoted" in said) == ("role: **" in written), "of what is not quoted alone"


@pytest.mark.parametrize(
    ("role", "instead"),
    [("prod*", "prod/**"), ("prod/**/x", "prod/**"), ("a/b*/**", "a/b/**"), ("x/*y", "x/**")],
)
def test_a_role_that_looks_like_several_is_warned_of(role: str, instead: str) -> None:
    document = f"allow:\n- {{who: operator/a, do: [read], role: '{role}'}}\n"
    (warning,) = role_warnings(read_policy(document))
    assert warning.startswith("line 2: ") and f"{instead} is" in warning, warning


@pytest.mark.parametrize("role", ["**", "*", "prod", "prod/**"])
def test_other_roles_are_not(role: str) -> None:
    document = f"allow:\n- {{who: operator/a, do: [read], role: '{role}'}}\n"
    assert not list(role_warnings(read_policy(document)))


def test_the_masters_flag_says_what_is_wrong_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"

    def started() -> tuple[int, str]:
        done = CliRunner().invoke(master, ["--policy", str(path), "--print-config"])
        return done.exit_code, " ".join(done.output.split())

    status, said = started()
    assert status == 2 and "--policy" in said and "No such file or directory" in said
    path.write_text("allow:\n- {who: operator/a, do: [fly], role: r}\n")
    status, said = started()
    assert status == 2 and "line 2: 'fly' is no verb" in said
    path.write_bytes(b"\xff")
    assert "holds no text in UTF-8" in started()[1]
    path.write_text(OF_THE_ISSUE)
    status, said = started()
    assert status == 0 and str(path) in said


@settings(max_examples=300)
@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_a_star_stands_for_anything(pattern: str, name: str) -> None:
    def slowly(p: str, n: str) -> bool:
        if not p:
            return not n
        if p[0] == "*":
            return slowly(p[1:], n) or bool(n and slowly(p, n[1:]))
        return bool(n) and n[0] == p[0] and slowly(p[1:], n[1:])

    assert matches(pattern, name) == slowly(pattern, name)


PRINCIPALS = ["operator/a", "operator/ab", "framework/a"]
ROLES = ["*", "a", "a/b", "a/b/c", "ab"]
some = st.sampled_from
launching = st.builds(
    LaunchAs,
    st.none() | st.lists(some(["app", "root", "*", ""]), max_size=2).map(tuple),
    st.none() | st.lists(some(["", "nginx", "*"]), max_size=2).map(tuple),
    st.none() | st.lists(some(["host", "*"]), max_size=1).map(tuple),
    st.lists(some(["/", "/a"]), max_size=1).map(tuple),
    st.lists(some(["*", "X"]), max_size=1).map(tuple),
)
ANYTHING = LaunchAs(("*",), None, None, ("/",), ("*",))
rules = st.builds(
    Rule,
    st.lists(some(["operator/*", "operator/a", "framework/a", "g"]), min_size=1).map(tuple),
    st.frozensets(some(list(Verb)), min_size=1),
    some(["**", "a/**", "a/b/**", "a", "*"]),
    launching | st.just(ANYTHING),
)
GROUPS = {"g": ("operator/ab",)}
ASKED = [Asked(("app",)), Asked(("",)), Asked(("root",), "nginx", "host", ("/a/b",), ("X",))]


def allowed(written: list[Rule]) -> set[tuple[object, ...]]:
    """All that anybody may do by these rules."""
    policy = Policy(tuple(written), GROUPS)
    out: set[tuple[object, ...]] = set()
    for name in PRINCIPALS:
        caller = who(name)
        for role in ROLES:
            out |= {(name, v, role) for v in Verb if decide(policy, caller, v, role).allowed}
            out |= {(name, asked, role) for asked in ASKED
                    if decide_launch(policy, caller, role, asked).allowed}  # fmt: skip
            if launches_anything(policy, caller, role):
                assert all(decide_launch(policy, caller, role, asked).allowed for asked in ASKED)
            for verb in set(Verb) - CLUSTER_VERBS:
                listed = role in roles_for(policy, caller, verb)
                assert listed == decide(policy, caller, verb, role).allowed
    return out


@settings(max_examples=100, deadline=None)
@given(st.lists(rules, max_size=4), rules, st.randoms(use_true_random=False))
def test_a_rule_takes_nothing_away_and_order_means_nothing(
    written: list[Rule], added: Rule, random: object
) -> None:
    before = allowed(written)
    more = [*written, added]
    after = allowed(more)
    assert before <= after
    random.shuffle(more)  # type: ignore[attr-defined]
    assert allowed(more) == after


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (["a"], ["a"], True),
        (["a"], ["b"], False),
        (["a/**"], ["a/b/c"], True),
        (["a/**"], ["a/b/**"], True),
        (["a/**"], ["ab"], False),
        (["a/b"], ["a"], False),
        (["**"], ["x"], True),
        (["**"], [], False),
        ([], [], False),
    ],
)
def test_whether_two_sets_of_roles_overlap(one: list[str], other: list[str], overlap: bool) -> None:
    assert read_roles(one).overlaps(read_roles(other)) is overlap
    assert read_roles(other).overlaps(read_roles(one)) is overlap
