"""Generate reference.md and parts of others from code and stories: `python docs/generate.py`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click

from pymesos_agent.containers.facets import DECLARED, FACETS
from pymesos_agent.core import lifecycles as of_agent
from pymesos_agent.main import main as agent
from pymesos_agent.settings import AgentSettings
from pymesos_binpack.jobfiles.parsing import read_job_file
from pymesos_binpack.jobfiles.reference import sections
from pymesos_binpack.jobs.lifecycle import INSTANCE_LIFE
from pymesos_binpack.jobs.rollouts.lifecycle import ROLLOUT_LIFE
from pymesos_binpack.main import main as binpack
from pymesos_binpack.moving import main as move_state
from pymesos_binpack.settings import BinpackSettings
from pymesos_cli.main import main as cli
from pymesos_core import limits
from pymesos_core.lifecycle import Lifecycle
from pymesos_core.outgoing.alert_life import ALERT_LIFE
from pymesos_core.settings.printing import table
from pymesos_lb.main import main as balance
from pymesos_master.core import lifecycles as of_master
from pymesos_master.http.answering import ALL
from pymesos_master.http.asking import Parameter
from pymesos_master.http.openapi import SCHEMAS
from pymesos_master.http.page_types import page_types
from pymesos_master.http.stream_routes import Stream
from pymesos_master.main import main as master
from pymesos_master.settings import MasterSettings
from pymesos_simulation.__main__ import main as simulate
from pymesos_simulation.stories import read

DOCS = Path(__file__).resolve().parent
STORIES = DOCS.parent / "tests" / "simulation" / "stories"
BEGIN = "<!-- the stories; `make docs` writes them -->"
END = "<!-- end of the stories -->"
KEYS = "<!-- the keys; `make docs` writes them -->"
END_OF_KEYS = "<!-- end of the keys -->"
HOLDS = "<!-- what holds; `make docs` writes it -->"
END_OF_HOLDS = "<!-- end of what holds -->"
LIMITS = "<!-- the table of core/pymesos_core/limits.py; `make docs` writes it -->"
LIFE = "<!-- the tables of life cycles; `make docs` writes them -->"
ROLLOUT = "<!-- the life of a rollout; `make docs` writes it -->"
ROUTES_BEGIN = "<!-- the routes; `make docs` writes them -->"
PROTO = DOCS.parent / "proto" / "pymesos_proto" / "v1"


def commands(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Every command with its help, subcommands included."""
    context = click.Context(
        command,
        info_name=name,
        terminal_width=90,
        max_content_width=90,
        help_option_names=["-h", "--help"],  # as below the main command, of which it has them
    )
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from commands(found, f"{name} {child}")


ROLES = {
    "master": (master, MasterSettings),
    "agent": (agent, AgentSettings),
    "binpack": (binpack, BinpackSettings),
}
SETTINGS = """\
The [operator's guide](operators-guide.md#settings) says where settings may stand. A key of the file
of `--config` is also a variable: `PYMESOS_AGENT_PORT` is the `port` of an agent. `--print-config`
prints what is in force."""


def settings() -> Iterator[str]:
    """A section for each role: how it is called, and all its settings."""
    for role, (command, cls) in ROLES.items():
        name = f"pymesos-{role}"
        context = click.Context(command, info_name=name, terminal_width=90, max_content_width=90)
        text = inspect.cleandoc(command.help or "")
        yield f"### {name}\n\n```\n{command.get_usage(context)}\n```\n\n{text}\n\n" + "\n".join(
            table(cls)
        )


def services() -> Iterator[str]:
    """A line for each call of the contract."""
    for path in sorted(PROTO.glob("*.proto")):
        text = path.read_text("utf-8")
        for service, body in re.findall(r"service (\w+) \{(.*?)\n\}", text, re.S):
            for call, request, response in re.findall(
                r"rpc (\w+)\((.*?)\) returns \((.*?)\)", body
            ):
                yield f"| {service} | {call} | {request} | {response} | `{path.name}` |"


def event_kinds() -> Iterator[str]:
    """A line for each kind of event, with what operator.proto says of it."""
    text = (PROTO / "operator.proto").read_text("utf-8")
    body = text.partition("enum Kind {")[2].partition("}")[0]
    for name, said in re.findall(r"([A-Z_]+) = \d+;(?: *// (.*))?", body):
        if name != "KIND_UNSPECIFIED":
            yield f"| `{name.lower()}` | {said} |"


def reference() -> str:
    """The whole page."""
    parts = [
        "# Reference",
        "Generated from the code by `make docs`; a test holds it to that.",
        "## Commands",
    ]
    for command, name in (
        (cli, "pymesos-cli"),
        (agent, "pymesos-agent"),
        (move_state, "pymesos-binpack move-state"),
        (balance, "pymesos-lb"),
        (simulate, "pymesos-simulate"),
    ):
        for full_name, text in commands(command, name):
            if full_name not in {f"pymesos-{role}" for role in ROLES}:
                parts.append(f"### {full_name}\n\n```\n{text.rstrip()}\n```")
    parts += ["## Settings of the servers", SETTINGS, *settings()]
    parts.append("## Job file\n\nEvery key is in [jobs.md](jobs.md).")
    parts.append("## gRPC services")
    parts.append(
        "| service | call | request | response | file |\n|---|---|---|---|---|\n"
        + "\n".join(services())
    )
    parts.append("## Events\n\nThe kinds that `pymesos-cli events` prints.")
    parts.append("\n".join(["| kind | meaning |", "|---|---|", *event_kinds()]))
    return "\n\n".join(parts) + "\n"


def failures() -> str:
    """docs/failures.md: its hand-written parts, with the stories between them."""
    page = (DOCS / "failures.md").read_text("utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    told = [read(path) for path in sorted(STORIES.glob("*.txt"))]
    sections = [
        f"### {story.title}\n\n"
        f"- **What fails:** {story.fields['fails']}.\n"
        f"- **What a user sees:** {story.fields['seen']}.\n"
        f"- **What the system does:** {story.fields['done']}.\n"
        f"- **Proved by:** [`{story.name}.txt`](../tests/simulation/stories/{story.name}.txt)"
        for story in told
    ]
    return "\n\n".join([head + BEGIN, *sections, END]) + tail


def job_files() -> str:
    """docs/jobs.md, with the tables of all keys and an example of each."""
    page = (DOCS / "jobs.md").read_text("utf-8")
    head, _, rest = page.partition(KEYS)
    _, _, tail = rest.partition(END_OF_KEYS)
    examples = read_job_file(DOCS.parent / "frameworks/examples/every-key.yaml")
    return "\n\n".join([head + KEYS, sections(examples), END_OF_KEYS]) + tail


def containers() -> str:
    """docs/containers.md, with the table of what holds on which runtime."""
    page = (DOCS / "containers.md").read_text("utf-8")
    head, _, rest = page.partition(HOLDS)
    _, _, tail = rest.partition(END_OF_HOLDS)
    lines = [f"| | asked by | {' | '.join(DECLARED)} |", "|---" * (len(DECLARED) + 2) + "|"]
    for facet in FACETS:
        cells = [declared.get(facet.name, "no") for declared in DECLARED.values()]
        lines.append(f"| {facet.text} | `{facet.asked_by}` | {' | '.join(cells)} |")
    return "\n".join([head + HOLDS, *lines, END_OF_HOLDS]) + tail


def limit_lines() -> Iterator[str]:
    """A line for each limit."""
    for limit in limits.TABLE:
        most = f"{limit.most // 1024} KiB" if limit.most % 1024 == 0 else f"{limit.most:,}"
        unit = "" if most.endswith("KiB") else f" {limit.unit}"
        yield f"| {limit.name} | {most}{unit} | {limit.what.rstrip(',')} |"


def limits_page() -> str:
    """docs/limits.md: its hand-written head, and the table."""
    head, _, _ = (DOCS / "limits.md").read_text("utf-8").partition(LIMITS)
    return (
        head
        + LIMITS
        + "\n"
        + "\n".join(["| limit | most | of |", "|---|---|---|", *limit_lines()])
        + "\n"
    )


# The life cycles of docs/life-cycles.md, in the order of that page.
LIFE_CYCLES: list[Lifecycle[Any, Any, Any]] = [
    of_master.FRAMEWORK_LIFE,
    of_master.AGENT_LIFE,
    of_master.DRAIN_LIFE,
    of_master.TASK_LIFE,
    of_master.OFFER_LIFE,
    of_master.INVERSE_OFFER_LIFE,
    of_master.OPERATION_LIFE,
    of_agent.TASK_LIFE,
    of_agent.EXECUTOR_LIFE,
    of_agent.CONTAINER_LIFE,
    INSTANCE_LIFE,
    ALERT_LIFE,
]


def life_cycle(cycle: Lifecycle[Any, Any, Any]) -> Iterator[str]:
    """The diagram of a table, and its rows."""
    yield f"## {cycle.title}\n\n```mermaid\n{cycle.diagram()}\n```"
    rows = [f"| {' | '.join(row)} |" for row in cycle.rows()]
    yield "\n".join(["| state | event | next | then |", "|---|---|---|---|", *rows])


def life_cycles() -> str:
    """docs/life-cycles.md: its hand-written head, and every table with its diagram."""
    head, _, _ = (DOCS / "life-cycles.md").read_text("utf-8").partition(LIFE)
    drawn = [part for cycle in LIFE_CYCLES for part in life_cycle(cycle)]
    return "\n\n".join([head + LIFE, *drawn]) + "\n"


def rollouts() -> str:
    """docs/rollouts.md: its hand-written head, and the table of a rollout with its diagram."""
    head, _, _ = (DOCS / "rollouts.md").read_text("utf-8").partition(ROLLOUT)
    return "\n\n".join([head + ROLLOUT, *life_cycle(ROLLOUT_LIFE)]) + "\n"


def type_text(schema: dict[str, Any]) -> str:
    """What a JSON Schema says, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "oneOf" in schema:
        return " or ".join(map(type_text, schema["oneOf"]))
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return " or ".join(_kind_text(kind, schema) for kind in kinds)


def _kind_text(kind: str, schema: dict[str, Any]) -> str:
    if kind == "array":
        return f"list of {type_text(schema['items'])}"
    if kind == "object" and "properties" in schema:
        fields = (f"`{name}`: {type_text(of)}" for name, of in schema["properties"].items())
        return f"{{{', '.join(fields)}}}"
    if kind == "object":
        of = schema.get("additionalProperties")
        return "object" if of is None else f"object of {type_text(of)}"
    if kind == "string" and schema.get("format") == "date-time":
        return "time"
    return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(kind, kind)


def _needed(one: Parameter) -> str:
    """What stands before what a parameter does."""
    return "(required) " if one.required else ""


def http_api() -> str:
    """docs/http-api.md: its hand-written head, every route, and what is answered."""
    head, _, _ = (DOCS / "http-api.md").read_text("utf-8").partition(ROUTES_BEGIN)
    parts = [head + ROUTES_BEGIN, "## Routes"]
    for route in ALL:
        parts.append(f"### {route.method} {route.path}\n\n{route.what}")
        for kind, of in (("parameter", (*route.in_path, *route.parameters)), ("field", route.body)):
            rows = [
                f"| `{one.name}` | {type_text(one.schema)} | {_needed(one)}{one.what} |"
                for one in of
            ]
            if rows:
                parts.append("\n".join([f"| {kind} | type | |", "|---|---|---|", *rows]))
        how = f"`{route.content_type}`, each " if isinstance(route, Stream) else ""
        said = "Answer" if route.status == HTTPStatus.OK else "What is sent first"
        parts.append(f"{said}: {how}{type_text(route.schema)}")
    parts.append("## What is answered")
    for name, schema in SCHEMAS.items():
        rows = [f"| `{key}` | {type_text(of)} |" for key, of in schema["properties"].items()]
        more = schema["additionalProperties"]
        if more:
            rows.append(f"| others | {type_text(more)} |")
        table_lines = "\n".join(["| field | type |", "|---|---|", *rows])
        parts.append(f"### {name}\n\n{schema['description']}\n\n{table_lines}")
    return "\n\n".join(parts) + "\n"


PAGES = {
    "http-api.md": http_api,
    "life-cycles.md": life_cycles,
    "limits.md": limits_page,
    "reference.md": reference,
    "jobs.md": job_files,
    "failures.md": failures,
    "containers.md": containers,
    "rollouts.md": rollouts,
    "../master/pymesos_master/http/web/types.d.ts": page_types,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), "utf-8")
