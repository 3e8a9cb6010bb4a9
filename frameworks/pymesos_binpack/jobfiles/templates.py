"""Templates of config files, checked before a job is taken: their syntax, and what they refer to.

They are parsed here, and nothing of them is computed. Who refers to a variable, a secret, or the
addresses of a task says so by its name, so that what it is given is known beforehand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pymesos_binpack.specs import JobError
from pymesos_core.ids import secret_name_problem, variable_name_problem
from pymesos_core.text import cut, quoted

if TYPE_CHECKING:
    from jinja2 import nodes

NAMED = ("variables", "secrets", "addresses")
KNOWN = (*NAMED, "env", "task")
ASKING = ("default", "d", "defined", "undefined")  # filters and tests of what may not be there
METHODS = frozenset(dir(dict))  # as of env.get("X")
MAX_SAID = 300  # characters


@dataclass(frozen=True, slots=True)
class References:
    """What a template refers to, by names."""

    variables: tuple[str, ...]
    secrets: tuple[str, ...]
    addresses: tuple[str, ...] = ()  # of tasks: TASK, or JOB.TASK
    env: tuple[str, ...] = ()  # that have to be there, as nothing in it asks whether they are


@lru_cache(maxsize=256)
def references(template: str) -> References:
    """Return what a template refers to. Raises JobError with its line for what it cannot have."""
    from jinja2 import TemplateSyntaxError, nodes  # it takes long, and few jobs have any
    from jinja2.sandbox import SandboxedEnvironment

    from pymesos_binpack.jobfiles.template_names import names_looked_up

    try:
        environment = SandboxedEnvironment()
        tree = environment.parse(template)
        for other in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            raise JobError(f"line {other.lineno}: a template cannot include others")
        found: dict[str, dict[str, None]] = {name: {} for name in NAMED}
        uses = 0
        for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
            assert isinstance(node, nodes.Getattr | nodes.Getitem)
            of = node.node
            if not isinstance(of, nodes.Name) or of.name not in NAMED:
                continue
            uses += 1
            name = _name_of(node, nodes.Const)
            problem = name and (_PROBLEMS[of.name](name))
            if not name or problem:
                said = problem or _to_be_named(of.name)
                raise JobError(f"line {node.lineno}: {of.name}: {said}")
            found[of.name][name] = None
        named = [n for n in tree.find_all(nodes.Name) if n.name in NAMED and n.ctx == "load"]
        if len(named) != uses:
            first = named[0]
            raise JobError(f"line {first.lineno}: {first.name}: {_to_be_named(first.name)}")
        if unknown := sorted(names_looked_up(environment, tree).difference(KNOWN)):
            raise JobError(
                f"it refers to {quoted(unknown[0])}, and a template has {', '.join(KNOWN)}"
            )
    except TemplateSyntaxError as error:
        raise JobError(f"line {error.lineno}: {cut(error.message or '', MAX_SAID)}") from None
    except RecursionError:
        raise JobError("it is nested too deeply") from None
    except ValueError as error:  # as of a number with thousands of digits
        raise JobError(cut(str(error), MAX_SAID)) from None
    named_by = {name: tuple(found[name]) for name in NAMED}
    return References(**named_by, env=_needed_of_env(tree))


def _needed_of_env(tree: nodes.Template) -> tuple[str, ...]:
    """The names of `env` without which the template fails, each where it comes to it.

    One that it also asks about (`env.X is defined`, `env.X|default("y")`) is none of them, nor is
    any where it looks at all of `env`, or has one of its own.
    """
    from jinja2 import nodes

    names = [each for each in tree.find_all(nodes.Name) if each.name == "env"]
    needed: dict[str, None] = {}
    asked_about: set[str] = set()
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        assert isinstance(node, nodes.Getattr | nodes.Getitem)
        if isinstance(node.node, nodes.Name) and node.node.name == "env":
            needed[_name_of(node, nodes.Const)] = None
            names.remove(node.node)
    if names or "" in needed or needed.keys() & METHODS:
        return ()
    for asking in tree.find_all((nodes.Filter, nodes.Test)):
        assert isinstance(asking, nodes.Filter | nodes.Test)
        if asking.name in ASKING and asking.node is not None:
            asked_about.add(_name_of(asking.node, nodes.Const))
    return tuple(name for name in needed if name not in asked_about)


def _task_problem(name: str) -> str | None:
    """Why a name is none of a task whose addresses there could be, or None."""
    if name in METHODS:
        return f"a task of this name is to be named with its job, as in addresses['JOB.{name}']"
    if _TASK.fullmatch(name):
        return None
    return f"{quoted(name)} is neither the name of a task nor JOB.TASK"


_TASK = re.compile(r"([A-Za-z0-9_-]{1,63}\.)?[A-Za-z0-9_-]{1,63}")
_PROBLEMS = {
    "variables": variable_name_problem,
    "secrets": secret_name_problem,
    "addresses": _task_problem,
}


def _to_be_named(what: str) -> str:
    return f"each is to be named, as in {{{{ {what}.name }}}}"


def _name_of(node: object, constant: type) -> str:
    """The name by which something is asked for; empty if that is known only when it is rendered."""
    if isinstance(attribute := getattr(node, "attr", None), str):
        return attribute
    argument = getattr(node, "arg", None)
    if isinstance(argument, constant) and isinstance(value := getattr(argument, "value", 0), str):
        return value
    return ""
