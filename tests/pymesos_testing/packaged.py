"""Packages to try."""

from __future__ import annotations

from typing import Any

from pymesos_cli.packages.installing import (
    Installed,
)
from pymesos_cli.packages.package import Origin
from pymesos_proto.v1 import jobs_pb2 as pb


def schema(**options: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {"description": "What it is.", **one} for name, one in options.items()
        },
    }


PORT = {"type": "integer", "minimum": 1, "maximum": 65535, "default": 80}


def document(**changes: Any) -> dict[str, Any]:
    task = {"name": "t", "kind": "service", "command": "exec x", "env": {"PORT": "@{port}"}}
    return {
        "format": 1,
        "name": "web",
        "version": "1.0.0",
        "summary": "A server",
        "options": schema(port=PORT),
        "job": {"tasks": [task]},
        "readme": "It serves.",
        **changes,
    }


def installed(name: str, version: str, origin: Origin | None = None) -> Installed:
    view = pb.JobView(job_id="web-1", name="web", state="running", role="*")
    if name:
        view.package.CopyFrom(pb.PackageView(name=name, version=version))
    if origin:
        view.package.repository, view.package.repository_key = origin.name, origin.key
    return Installed("h:1", view)
