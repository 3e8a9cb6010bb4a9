"""How the engine is told of a container: what a task asks for, in the words of the Engine API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from docker.types import LogConfig

from pymesos_agent.containers.cgroups import weight_of
from pymesos_agent.containers.disks import device_path, disk_of
from pymesos_agent.containers.environment import task_argv
from pymesos_agent.containers.facets import engine_arguments
from pymesos_agent.containers.hostpaths import unchangeable
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.files.memory import IN_CONTAINER
from pymesos_agent.runtimes.docker import variables
from pymesos_core.images import full_name

SANDBOX_IN_CONTAINER = Path("/mnt/pymesos/sandbox")
MIN_MEM_BYTES = 6 * 1024 * 1024  # the engine refuses less
DEFAULT_MEM_BYTES = 32 * 1024 * 1024
MILLI_MIB = 1024 * 1024 / 1000


def host_config_of(
    spec: ContainerSpec, settings: Settings, name_server: str = ""
) -> dict[str, Any]:
    """What holds a container, as arguments of APIClient.create_host_config.

    Those on the engine's bridge ask `name_server`, unless that is empty. Raises HostPathError,
    OSError.
    """
    amounts = spec.resources.quantities
    container = spec.info.container
    mem_bytes = int(amounts.get("mem", 0) * MILLI_MIB)
    mem_bytes = max(mem_bytes or DEFAULT_MEM_BYTES, MIN_MEM_BYTES)
    return {
        "binds": list(_binds(spec, settings)),
        "tmpfs": {
            str(SANDBOX_IN_CONTAINER / m.container_path): f"size={m.size_mib or 64}m,mode=1777"
            for m in container.mounts
            if not m.host_path and not m.group_path
        },
        "mem_limit": mem_bytes,
        "memswap_limit": mem_bytes,
        "cpu_shares": weight_of(spec.resources),
        "log_config": LogConfig(
            type=LogConfig.types.JSON,
            config={
                "max-size": str(settings.logs.max_bytes),
                "max-file": str(settings.logs.files),
            },
        ),
        "network_mode": container.network or "host",
        "dns": [name_server] if name_server and container.network == "bridge" else None,
        "port_bindings": {
            f"{p.container_port}/{p.protocol}": p.host_port for p in spec.mapped_ports()
        },
        "security_opt": ["no-new-privileges"],
        **engine_arguments(spec, settings),
        **_throttles(spec),
    }


def image_of(spec: ContainerSpec, settings: Settings) -> str:
    """What the engine is asked for. Where not all may be run, it is the name that was looked at,
    since an engine also takes the beginning of an image's digest for it.
    """
    reference = spec.info.container.image
    return full_name(reference) if settings.images.allowed else reference


def container_of(
    spec: ContainerSpec, image: str, config_of: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """What runs in a container, as arguments of APIClient.create_container.

    `config_of` says what the image has. Raises VariablesError.
    """
    argv = task_argv(spec.info.command)
    # As in Mesos a shell's command replaces what the image begins with, others are its words.
    shell = spec.info.command.shell
    entrypoint = argv[:1] if shell else None
    command = (argv[1:] if shell else argv) or None
    environment = variables.environment_of(spec, SANDBOX_IN_CONTAINER)
    if spec.secrets.variables:
        config = config_of()
        variables.check_handed_on(environment, config)
        entrypoint, command = variables.reading(entrypoint, command, config)
    return {
        "image": image,
        "entrypoint": entrypoint,
        "command": command,
        "environment": environment,
        "user": spec.info.command.user or None,
        "ports": [(p.container_port, p.protocol) for p in spec.mapped_ports()] or None,
    }


def _throttles(spec: ContainerSpec) -> Mapping[str, list[dict[str, Any]]]:
    """Raises OSError."""
    container = spec.info.container
    rates = {
        "device_read_bps": container.read_mib_per_s,
        "device_write_bps": container.write_mib_per_s,
    }
    if not any(rates.values()):
        return {}
    disk = disk_of(spec.sandbox)
    if disk is None:
        raise OSError("its sandbox is on no disk of its own, so its I/O cannot be limited")
    return {
        name: [{"Path": device_path(disk), "Rate": mib * 1024 * 1024}]
        for name, mib in rates.items()
        if mib
    }


def _binds(spec: ContainerSpec, settings: Settings) -> Iterator[str]:
    """The sandbox, the volumes, and what of the machine it may see. Raises HostPathError."""
    yield f"{spec.sandbox}:{SANDBOX_IN_CONTAINER}"
    for volume in spec.volumes:
        yield f"{volume.host_path}:{SANDBOX_IN_CONTAINER / volume.container_path}"
    for mount in spec.info.container.mounts:
        if mount.host_path:
            mode = "ro" if mount.read_only else "rw"
            where = SANDBOX_IN_CONTAINER / mount.container_path
            yield f"{unchangeable(mount, settings.host_paths)}:{where}:{mode}"
    if spec.has_secret_files and settings.memory is not None:
        yield f"{settings.memory.secrets_of(spec.container_id)}:{IN_CONTAINER}:ro"
    if spec.secrets.variables and settings.memory is not None:
        where = settings.memory.variables_of(spec.container_id)
        yield f"{where}:{variables.IN_CONTAINER}:ro"
