"""What the compiled spawner is told, and which launches are left to a fork."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_agent.supervision.spawning import request_of

SPEC: dict[str, Any] = {
    "argv": ["sh", ""],
    "env": {"A": "b=c"},
    "cwd": "/s",
    "cgroups": ["/g/tasks"],
    "ulimits": [("RLIMIT_CORE", 1, 2)],
    "no_new_privileges": True,
    "ids": (5, 6, (7,)),
    "logs": {"pipes": ["/o", "/e"]},
}


def test_a_request_has_all_of_a_launch_in_order() -> None:
    texts = ["1", "/g/tasks", "1", "4", "1", "2", "/o", "/e", "1", "1", "5", "6", "1", "7"]
    texts += ["/s", "0", "2", "sh", "", "1", "A=b=c"]
    assert request_of(SPEC) == "".join(f"{text}\0" for text in texts).encode()


def test_a_helper_joins_no_cgroup_and_stays_the_agents_user() -> None:
    helper = {name: SPEC[name] for name in ("argv", "env", "cwd", "logs")}
    texts = ["0", "0", "/o", "/e", "0", "0", "/s", "0", "2", "sh", "", "1", "A=b=c"]
    said = request_of(helper | {"helper": {"pid_file": "/p", "error_log": "/l"}})
    assert said == "".join(f"{text}\0" for text in texts).encode()
    assert request_of(helper) is None


@pytest.mark.parametrize(
    "change",
    [
        {"cgroups": ()},
        {"hidden": {"way": "landlock"}},
        {"user": "nobody"},
        {"argv": []},
        {"argv": ["a\0b"]},
        {"env": {"A=B": "c"}},
        {"env": {"": "c"}},
        {"env": {"A": "\ud800"}},
        {"ulimits": [("RLIMIT_ABSENT", 1, 2)]},
    ],
)
def test_what_it_does_not_know_is_left_to_a_fork(change: dict[str, Any]) -> None:
    assert request_of(SPEC) is not None
    assert request_of(SPEC | change) is None
