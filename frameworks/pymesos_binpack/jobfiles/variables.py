"""Variables in a job file: values that jobs of a role share, by `{{ variables.NAME }}`.

The document of a version has them with their values, below `variables`: so a version is all that
its instances are started by, and a rollback brings the values of that time.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from pymesos_binpack.jobfiles.templates import references
from pymesos_binpack.specs import Job, JobError
from pymesos_core.text import quoted

KEY = "variables"
MAX_WARNINGS = 20
# What somebody may have meant to be one.
_LIKE_ONE = re.compile(r"\{\{\s*(?:variable|variables|secret|secrets)\b[^{}]*\}\}")
_REFERENCE = re.compile(r"\{\{\s*variables\.([A-Za-z_][A-Za-z0-9_]{0,62})\s*\}\}")


def names_in(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that a document refers to, each once."""
    return tuple(dict.fromkeys(n for task in document["tasks"] for n in _names_of(task)))


def _names_of(task: Mapping[str, Any]) -> Iterator[str]:
    for value in task.get("env", {}).values():
        yield from _REFERENCE.findall(value)
    for file in task.get("config", ()):
        yield from references(file["template"]).variables if "template" in file else ()
    for sidecar in task.get("sidecars", ()):
        yield from _names_of(sidecar)


Of = tuple[str, str]  # the role and the name of a job


def with_values(task: Mapping[str, Any], values: Mapping[str, str], of: Of) -> Mapping[str, Any]:
    """Return a task with values for what refers to them, and with what else its templates use.

    What has no value stays as it is. `of` which job it is.
    """
    made = dict(task)
    if "env" in task:
        made["env"] = {name: _filled(text, values) for name, text in task["env"].items()}
    if "config" in task:
        made["config"] = [_with_what_it_uses(file, values, of) for file in task["config"]]
    if "sidecars" in task:
        made["sidecars"] = [with_values(sidecar, values, of) for sidecar in task["sidecars"]]
    return made


def _with_what_it_uses(
    file: Mapping[str, Any], values: Mapping[str, str], of: Of
) -> dict[str, Any]:
    if "template" not in file:
        return dict(file)
    used = references(file["template"])
    return {
        **file,
        **({"secrets": list(used.secrets)} if used.secrets else {}),
        **({"variables": {n: values[n] for n in used.variables if n in values}}
           if used.variables else {}),
        **({"addresses": [_addresses(name, of) for name in used.addresses]}
           if used.addresses else {}),
    }  # fmt: skip


def _addresses(name: str, of: Of) -> dict[str, str]:
    role, own = of
    job, _, task = name.rpartition(".")
    return {"name": name, "role": role, "job": job or own, "task": task}


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda found: values.get(found[1], found[0]), text)


def resolved(document: str, of_role: Mapping[str, str]) -> str:
    """Return the document of a job with the values that its role has; its own are for the rest."""
    read = json.loads(document)
    own = read.get(KEY, {})
    named = {name: of_role[name] for name in (*own, *names_in(read)) if name in of_role}
    return with_variables(document, {**own, **named}) if named else document


def with_variables(document: str, values: Mapping[str, str]) -> str:
    """Return a document with other values of its variables."""
    read = json.loads(document)
    if read.get(KEY, {}) == values:
        return document
    tasks = read.pop("tasks")  # they stay at the end
    return json.dumps({**read, KEY: dict(values), "tasks": tasks}, ensure_ascii=False)


def set_back(document: dict[str, Any], earlier: Mapping[str, Mapping[str, Any]]) -> None:
    """Give variables the values back that some tasks had by earlier documents.

    Raises JobError where that cannot be, as others refer to them that have not gone back.
    """
    values: dict[str, str] = {}
    for name, was in earlier.items():
        for task in was["tasks"]:
            for used in _names_of(task) if task["name"] == name else ():
                value = was.get(KEY, {}).get(used, "")
                if values.setdefault(used, value) != value:
                    raise JobError(f"two of its tasks had other values of the variable {used}")
    now = document.get(KEY, {})
    for task in document["tasks"]:
        for used in _names_of(task) if task["name"] not in earlier else ():
            if values.get(used, now.get(used)) != now.get(used):
                raise JobError(f"{task['name']} has another value of the variable {used}")
    if values:
        document[KEY] = {**now, **values}


def reference_warnings(job: Job) -> list[str]:
    """Return which values of `env` look like references and are none, as sentences."""
    document = json.loads(job.document)
    tasks = [each for task in document["tasks"] for each in (task, *task.get("sidecars", ()))]
    return [
        f"{task['name']}: env.{name} has {quoted(found[0])}, which is passed on as it stands: a"
        f" variable is referred to as {{{{ variables.NAME }}}}, and a secret is given by `secrets`"
        for task in tasks
        for name, text in task.get("env", {}).items()
        for found in _LIKE_ONE.finditer(text)
        if _REFERENCE.fullmatch(found[0]) is None
    ][:MAX_WARNINGS]


def missing_problem(job: Job) -> str | None:
    """Return why a job cannot be started that refers to what has no value, or None."""
    if not job.missing:
        return None
    name = job.missing[0]
    return (
        f"the job refers to the variable {quoted(name)}, which the role {job.role} does not have:"
        f" `pymesos-cli variables set {shlex.quote(job.role)} {name} VALUE` sets it, or give it a"
        f" value below `variables:` in the job file"
    )
