"""The config files of a task: those without secrets are written into its sandbox, the others go
where its secrets are. A template is rendered by a process of its own, `confined_templates.py`."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.files.below import FOLDER, OutsideError, parent_of, parts_of
from pymesos_core.ids import secret_name_problem
from pymesos_core.text import cut, os_problem
from pymesos_proto.v1 import types_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (
    "import json, sys; sys.path[:0] = json.loads(sys.argv[1]);"
    " from pymesos_agent.files.confined_templates import main; main()"
)
WALL_S = 30.0  # of which it computes one second at most; the rest is for a busy machine
MAX_OUTPUT_BYTES = 1024 * 1024
MAX_SAID = 500  # characters


class ConfigError(Exception):
    """A config file cannot be made: the message says which, why, and in which line."""


def write_config(spec: ContainerSpec) -> None:
    """Write the files that need no secrets into the sandbox. Blocks. Raises ConfigError."""
    for file in spec.info.container.config:
        if not file.secrets:
            _write(spec, file, made_of(spec, file, {}))


def secret_config(spec: ContainerSpec, secrets: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return what the files with secrets have, by name. Blocks. Raises ConfigError."""
    files = [file for file in spec.info.container.config if file.secrets]
    for file in files:  # of any framework, which may have checked nothing
        if problem := secret_name_problem(file.path):
            raise _wrong(file, f"with secrets it is a file in $PYMESOS_SECRETS, and {problem}")
    return {file.path: made_of(spec, file, secrets) for file in files}


def made_of(spec: ContainerSpec, file: pb.ConfigFile, secrets: Mapping[str, bytes]) -> bytes:
    """Return what a file has. Blocks. Raises ConfigError."""
    if not file.template:
        return file.content.encode()
    used: dict[str, str] = {}
    for name in file.secrets:
        try:
            used[name] = secrets[name].decode()
        except UnicodeDecodeError:
            raise _wrong(file, f"the secret {name} is no text, and cannot be used in it") from None
    env = {each.name: each.value for each in spec.info.command.environment}
    env |= {f"PORT{index}": str(port) for index, port in enumerate(spec.ports)}
    context = {
        "variables": dict(file.variables),
        "secrets": used,
        "env": env,
        "task": {"id": spec.info.task_id, "name": spec.info.name},
    }
    said = _run({"template": file.template, "context": context, "quiet": bool(used)})
    if "error" in said:
        raise _wrong(file, cut(said["error"], MAX_SAID))
    return said["made"].encode()


def _wrong(file: pb.ConfigFile, why: str) -> ConfigError:
    return ConfigError(f"its config file {file.path[:255]} cannot be made: {why}")


@cache
def _folders() -> str:
    """Where its modules are, as JSON: ours and those of Jinja2, which is not imported here."""
    found = [importlib.util.find_spec(name) for name in ("jinja2", "markupsafe")]
    folders = [str(Path(each.origin).parents[1]) for each in found if each and each.origin]
    return json.dumps([str(ROOT), *dict.fromkeys(folders)])


def _run(job: Mapping[str, object]) -> dict[str, str]:
    """What the process says: `made`, or an `error`. What it is told is in no list of processes."""
    process = subprocess.Popen(
        (sys.executable, "-I", "-S", "-c", PROGRAM, _folders()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        start_new_session=True,
    )
    said = b""
    try:
        said, _ = process.communicate(json.dumps(job).encode(), WALL_S)
    except subprocess.TimeoutExpired:
        return {"error": f"it was not rendered within {WALL_S:g} s"}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    with contextlib.suppress(ValueError):
        found = json.loads(said)
        if isinstance(found, dict) and all(isinstance(each, str) for each in found.values()):
            return found
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return {"error": "it takes more than 1 s to be rendered"}
    return {"error": f"the process that renders it ended with status {process.returncode}"}


def _write(spec: ContainerSpec, file: pb.ConfigFile, data: bytes) -> None:
    """Put it in the place of what is there, and through no link. Raises ConfigError."""
    try:
        parts = parts_of(file.path)
        if not parts:
            raise OutsideError("it has no name")
        with contextlib.ExitStack() as opened:
            root = os.open(spec.sandbox, FOLDER)
            opened.callback(os.close, root)
            folder = opened.enter_context(parent_of(root, parts, spec.owner))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(parts[-1], dir_fd=folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            made = os.open(parts[-1], flags, 0o644, dir_fd=folder)
            with os.fdopen(made, "wb") as stream:
                stream.write(data)
                if spec.owner is not None:
                    os.fchown(stream.fileno(), *spec.owner)
    except OutsideError as error:
        raise _wrong(file, f"its path {error}") from None
    except OSError as error:
        raise _wrong(file, os_problem(error)) from None
