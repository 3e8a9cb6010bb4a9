"""What a job says of its containers and checks, as the contract has it. The schema checked it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymesos_core.text import count_of, quoted
from pymesos_proto.v1 import types_pb2 as pb

# The keys of a task that become its ContainerInfo.
CONTAINER_KEYS = tuple(
    field.name for field in pb.ContainerInfo.DESCRIPTOR.fields if field.name != "image"
)
ON_CHANGE = {
    "none": pb.ON_CHANGE_NONE,
    "signal": pb.ON_CHANGE_SIGNAL,
    "restart": pb.ON_CHANGE_RESTART,
}
TIMES = ("delay_s", "interval_s", "timeout_s", "grace_period_s", "consecutive_failures")


@dataclass(frozen=True)
class ContainerSpec:
    """What of a task is about its container rather than about where it runs."""

    keys: Mapping[str, Any] = field(default_factory=dict)
    health_check: Mapping[str, Any] | None = None
    readiness_check: Mapping[str, Any] | None = None
    max_completion_time_s: float = 0.0
    artifacts: Sequence[Mapping[str, Any]] = ()


def container_problem(task: Mapping[str, Any], *, in_group: bool) -> str | None:
    """What the schema cannot say. `in_group`: it is a sidecar, or has some."""
    ports = task.get("resources", {}).get("ports", 0)
    there_are = f"the task has {count_of(ports, 'port')}; the first is 0"
    for name in ("health_check", "readiness_check"):
        check = task.get(name, {})
        kinds = [kind for kind in ("command", "http", "tcp", "grpc") if kind in check]
        if name in task and len(kinds) != 1:
            return f"{name}: one of command, http, tcp and grpc is expected"
        ask = check.get(kinds[0]) if kinds else None
        if isinstance(ask, Mapping) and ("port" in ask) == ("port_index" in ask):
            return f"{name}.{kinds[0]}: either port or port_index is expected"
        if isinstance(ask, Mapping) and ask.get("port_index", -1) >= ports:
            return f"{name}.{kinds[0]}.port_index: {there_are}"
    mappings = task.get("port_mappings", ())
    if mappings and task.get("network", "host") in ("host", "none"):
        return "port_mappings: they need a network that has ports of its own, like `bridge`"
    limits = [key for key in task if key.startswith("network_")]
    if limits and task.get("network", "host") in ("host", "none"):
        return f"{limits[0]}: it needs a network of its own, like `bridge`"
    for index, mapping in enumerate(mappings):
        if mapping["port_index"] >= ports:
            return f"port_mappings[{index}].port_index: {there_are}"
    inside = [(m["container_port"], m.get("protocol", "tcp")) for m in mappings]
    if in_group and len(set(inside)) != len(inside):
        return "port_mappings: two lead to one port of the network that it shares with its sidecars"
    uses = [_secret_use(secret) for secret in task.get("secrets", ())]
    for key, names in (("path", [u.path for u in uses]), ("env", [u.env for u in uses])):
        given = [name for name in names if name]
        if twice := next((name for name in given if given.count(name) > 1), None):
            return f"secrets: two have the {key} {twice}"
    if both := next((u.env for u in uses if u.env in task.get("env", {})), None):
        return f"secrets: the variable {both} is one of env, too"
    config = task.get("config", ())
    for index, file in enumerate(config):
        if ("content" in file) == ("template" in file):
            return f"config[{index}]: either content or template is expected"
        if file["path"].startswith("/") or ".." in file["path"].split("/"):
            return f"config[{index}].path: {quoted(file['path'])} leads elsewhere"
    in_memory = [u.path for u in uses if u.path]
    paths = [(f["path"], bool(f.get("secrets"))) for f in config]
    paths += [(path, True) for path in in_memory]
    if again := next((path for path, kind in paths if paths.count((path, kind)) > 1), None):
        return f"config: two files have the path {again}"
    if task.get("image_secret") and not task.get("image"):
        return "image_secret: the task has no image that it could be for"
    for index, artifact in enumerate(task.get("artifacts", ())):
        path = artifact.get("path", "")
        if ".." in path.split("/"):
            return f"artifacts[{index}].path: {quoted(path)} leads elsewhere"
    for index, mount in enumerate(task.get("mounts", ())):
        if "group_path" in mount and mount.keys() - {"path", "group_path"}:
            return f"mounts[{index}]: a group_path is that and nothing else"
        if "group_path" in mount and not in_group:
            return f"mounts[{index}].group_path: the task has no sidecars to share a folder with"
        if ".." in mount["path"].split("/"):
            return f"mounts[{index}].path: {quoted(mount['path'])} leads elsewhere"
    return None


def container_spec(task: Mapping[str, Any]) -> ContainerSpec:
    """Read what a task of a job's document says of its container."""
    return ContainerSpec(
        {key: task[key] for key in CONTAINER_KEYS if key in task},
        task.get("health_check"),
        task.get("readiness_check"),
        float(task.get("max_completion_time_s", 0)),
        task.get("artifacts", ()),
    )


def container_info(image: str | None, container: ContainerSpec) -> pb.ContainerInfo:
    """For the task's launch."""
    keys = dict(container.keys)
    ulimits = keys.pop("ulimits", {})
    mounts = keys.pop("mounts", ())
    mappings = keys.pop("port_mappings", ())
    secrets = keys.pop("secrets", ())
    config = keys.pop("config", ())
    return pb.ContainerInfo(
        image=image or "",
        ulimits=[pb.Ulimit(name=n, soft=limit, hard=limit) for n, limit in ulimits.items()],
        mounts=[
            pb.ContainerMount(
                container_path=mount["path"],
                host_path=mount.get("host_path", ""),
                read_only=mount.get("read_only", False),
                size_mib=mount.get("size_mib", 0),
                group_path=mount.get("group_path", ""),
            )
            for mount in mounts
        ],
        secrets=[_secret_use(secret) for secret in secrets],
        config=[_config_file(**file) for file in config],
        port_mappings=[pb.PortMapping(**mapping) for mapping in mappings],
        **keys,
    )


def _config_file(*, on_change: str = "none", signal: str = "", **keys: Any) -> pb.ConfigFile:
    made = pb.ConfigFile(**keys, on_change=ON_CHANGE[on_change])
    if on_change == "signal":
        made.signal = signal or "SIGHUP"
    return made


def _secret_use(secret: Mapping[str, Any]) -> pb.SecretUse:
    """A file of its own name, if nothing else is asked for."""
    named = {"path": secret["name"]} if secret.keys() == {"name"} else {}
    return pb.SecretUse(**secret, **named)


def check_message(check: Mapping[str, Any]) -> pb.Check:
    """For the task's launch."""
    message = pb.Check(**{name: check[name] for name in TIMES if name in check})
    if "command" in check:
        message.command.CopyFrom(pb.CommandInfo(shell=True, value=check["command"]))
    for kind, ask in (("http", pb.Check.Http), ("tcp", pb.Check.Tcp), ("grpc", pb.Check.Grpc)):
        if kind in check:
            getattr(message, kind).CopyFrom(ask(**check[kind]))
    return message
