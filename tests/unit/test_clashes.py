"""What a task would have twice is refused before it is taken."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_binpack.jobfiles.clashes import clash_problem
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobfiles.trial import new_problem


def said_of(**task: Any) -> str:
    made = {"name": "t", "kind": "service", "command": "x", **task}
    return clash_problem(parse_job({"name": "j", "role": "dev", "tasks": [made]})) or ""


def file(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, **(more or {"content": "x"})}


def volume(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "path": path, "size": 1}


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            {"config": [file("a"), file("./a")]},
            "tasks[0] (t).config[1].path: './a' is that of config[0], too: give it another",
        ),
        (
            {"config": [file("a"), file("a/b")]},
            "tasks[0] (t).config[1].path: 'a/b' would be below 'a' (config[0]): put it elsewhere",
        ),
        (
            {"config": [file("a/b"), file("a")]},
            "config[0].path: 'a/b' would be below 'a' (config",
        ),
        (
            {"config": [file("etc/x")], "volumes": [volume("v", "etc")]},
            "config[0].path: 'etc/x' would be below 'etc' (volumes[0]): put it elsewhere",
        ),
        (
            {"config": [file("etc")], "volumes": [volume("v", "etc/x")]},
            "volumes[0].path: 'etc/x' would be below 'etc' (config[0]): put it elsewhere",
        ),
        (
            {"volumes": [volume("v", "data"), volume("w", "data/")]},
            "volumes[1].path: 'data/' is that of volumes[0], too: give it another",
        ),
        (
            {"ports": [{"name": "http"}], "secrets": [{"name": "k", "env": "PORT_HTTP"}]},
            "tasks[0] (t).secrets: PORT_HTTP would also be set by ports: give one of them another",
        ),
        (
            {
                "kind": "periodic",
                "parameters": [{"name": "A", "default": "1"}],
                "secrets": [{"name": "k", "env": "A"}],
            },
            "secrets: A would also be set by parameters: give one of them another name",
        ),
        (
            {"sidecars": [{"name": "s", "command": "x", "config": [file("a"), file("a/")]}]},
            "tasks[0] (s).config[1].path: 'a/' is that of config[0], too",
        ),
        ({"config": [file("a"), file("b/a"), file("ab")]}, ""),
        ({"config": [file("a"), file("a", template="{{ secrets.k }}")]}, ""),
        ({"config": [file("a/b")], "volumes": [volume("v", "/a")], "image": "i"}, ""),
        ({"volumes": [volume("v", "a"), volume("w", "a/b")]}, ""),
        ({"ports": [{"name": "http"}], "secrets": [{"name": "k", "env": "HTTP"}]}, ""),
    ],
)
def test_what_would_be_there_twice_is_named(task: dict[str, Any], said: str) -> None:
    assert said in said_of(**task) and bool(said) == bool(said_of(**task))


def test_it_is_asked_of_what_is_sent() -> None:
    task = {"name": "t", "command": "x", "config": [file("a"), file("a/b")]}
    assert "would be below" in (new_problem(parse_job({"name": "j", "tasks": [task]})) or "")
