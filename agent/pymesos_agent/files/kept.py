"""What an agent keeps of config files that it makes anew while their task runs.

Of each it keeps the digest of what it made, beside the sandbox, where its task does not reach. Of
those with secrets digests and values are in memory, as the files are: so they go on with the values
that the task was started with, and others come by a rollout.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.files.below import opened, put_whole, read_whole
from pymesos_agent.files.memory import Memory

DIGESTS = "config-digests.json"
MAX_BYTES = 1024 * 1024


class Kept:
    """Where it is kept. All of it blocks."""

    def __init__(self, memory: Memory | None) -> None:
        self._memory = memory

    def digests(self, spec: ContainerSpec) -> dict[str, str]:
        """Return those of a container's files, by path; none of a sandbox without a guard."""
        found: Any = {}
        if _has_guard(spec):
            try:
                with opened(spec.sandbox.parent) as folder:
                    found = json.loads(read_whole(folder, DIGESTS, MAX_BYTES) or b"{}")
            except (OSError, ValueError):
                found = {}
        on_disk = found if isinstance(found, dict) else {}
        return {**on_disk, **self._in_memory(spec)["digests"]}

    def values(self, spec: ContainerSpec) -> Mapping[str, bytes]:
        """Return the values of the secrets that are in files which are made anew."""
        values = self._in_memory(spec)["values"]
        try:
            return {name: base64.b64decode(value) for name, value in values.items()}
        except (ValueError, TypeError):
            return {}

    def keep(self, spec: ContainerSpec, digests: Mapping[str, str]) -> None:
        """Keep what was made of all its files. Raises OSError."""
        with_secrets = {file.path for file in spec.info.container.config if file.secrets}
        on_disk = {path: each for path, each in digests.items() if path not in with_secrets}
        in_memory = {path: each for path, each in digests.items() if path in with_secrets}
        if on_disk and _has_guard(spec):
            with opened(spec.sandbox.parent) as folder:
                put_whole(DIGESTS, json.dumps(on_disk).encode(), None, folder, 0o600)
        if in_memory:
            self._write(spec, {**self._in_memory(spec), "digests": in_memory})

    def begin(
        self, spec: ContainerSpec, values: Mapping[str, bytes], digests: Mapping[str, str]
    ) -> None:
        """Keep what files with secrets are made from, and what was made. Raises OSError."""
        encoded = {name: base64.b64encode(value).decode() for name, value in values.items()}
        self._write(spec, {"values": encoded, "digests": dict(digests)})

    def _write(self, spec: ContainerSpec, kept: Mapping[str, Mapping[str, str]]) -> None:
        if self._memory is not None:
            self._memory.keep(spec.container_id, json.dumps(kept).encode())

    def _in_memory(self, spec: ContainerSpec) -> Mapping[str, Mapping[str, str]]:
        data = self._memory.kept(spec.container_id) if self._memory is not None else None
        try:
            read = json.loads(data or b"{}")
            return {name: dict(read.get(name, {})) for name in ("values", "digests")}
        except (ValueError, AttributeError, TypeError):
            return {"values": {}, "digests": {}}


def _has_guard(spec: ContainerSpec) -> bool:
    """Whether the sandbox has a folder around it (guards.py), which is called as it is."""
    return spec.sandbox.parent.name == spec.sandbox.name
