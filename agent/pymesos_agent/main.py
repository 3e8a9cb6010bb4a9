"""`pymesos-agent`: one machine in the cluster."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import os
import shutil
import stat
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from pymesos_agent import machine, metrics
from pymesos_agent.core import AgentCore, Config, RecoveryError
from pymesos_agent.purge import Ended, PurgeError, end_containers, pids_of, remove_files
from pymesos_agent.runtimes.interface import (
    AllowedPath,
    ImageSettings,
    LogLimits,
    NetworkSettings,
    Runtime,
    RuntimeEvent,
    Settings,
)
from pymesos_agent.runtimes.oci import tools
from pymesos_agent.runtimes.oci.networks import NetworkError
from pymesos_agent.runtimes.starting import (
    NoRuntimeError,
    candidates_of,
    check_needed,
    runtimes_of,
    start_runtimes,
)
from pymesos_agent.services.executor import ExecutorService
from pymesos_agent.services.sandbox import SandboxService
from pymesos_agent.shell import LAST_WORD_S, Shell
from pymesos_core import VERSION, resources
from pymesos_core.addresses import AddressError, parse_master
from pymesos_core.attributes import AttributeSyntaxError, parse_attributes
from pymesos_core.coordination import CoordinationError, Detector
from pymesos_core.coordination.detect import detector_for
from pymesos_core.coordination.standalone import LockedError, lock_directory
from pymesos_core.directories import default_directory, disk_problem
from pymesos_core.flags import FiniteRange, Folder, WholeRange
from pymesos_core.limits import PEER_EXECUTORS
from pymesos_core.log import LEVELS, set_up_logging
from pymesos_core.metrics import metrics_option, serve_metrics
from pymesos_core.resources import ResourceError, Resources
from pymesos_core.serving import (
    Listen,
    ServingError,
    bind,
    check_listen,
    listen_options,
    make_server,
    stop_event,
)
from pymesos_core.store import Records, Store, StoreError
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.executor_pb2_grpc import add_ExecutorServicer_to_server
from pymesos_proto.v1.sandbox_pb2_grpc import add_SandboxServicer_to_server

log = logging.getLogger("pymesos_agent")

DEFAULT_PORT = 5051
MAX_NAME_IN_ID = 60
STOP_GRACE_S = 1.0
END_TASKS_TIMEOUT_S = 30.0
RUNTIMES = ("auto", "process", "docker", "oci")


@dataclass(frozen=True)
class Options:
    """What the command line said."""

    listen: Listen
    master: str
    zk_session_timeout_s: float
    work_dir: Path
    resources: Resources
    attributes: dict[str, str]
    runtime: str
    docker_host: str | None
    settings: Settings
    metrics_port: int | None
    sandbox_max_age_s: float
    kill_tasks_on_exit: bool


class AgentError(Exception):
    """The agent cannot go on: the message says why and what to do."""


async def serve(options: Options) -> None:
    """Serve until SIGTERM, SIGINT, or an operator's word. Raises AgentError and kin."""
    stop = stop_event()
    work_dir = options.work_dir.resolve()
    lock = _lock(work_dir)
    (work_dir / "sandboxes").mkdir(exist_ok=True, mode=0o711)
    store, records = _open_store(work_dir)
    detector = detector_for(options.master, options.zk_session_timeout_s)
    server = make_server({"/pymesos.v1.Executor/Connect": PEER_EXECUTORS})
    port = bind(server, options.listen)
    runtimes: list[Runtime] = []
    holder: list[Shell] = []
    close_metrics: Callable[[], None] | None = None

    def on_event(event: RuntimeEvent) -> None:
        if holder:
            holder[0].feed(event)

    try:
        await detector.start(patient=True)
        needed = runtimes_of(records)
        candidates = candidates_of(options.runtime, options.docker_host, options.settings, work_dir)
        runtimes.extend(candidates)
        works, away = await start_runtimes(candidates, on_event)
        check_needed(works, away, needed)
        name = options.listen.name()[:MAX_NAME_IN_ID].replace("/", "-")
        core = AgentCore(
            _config(options, work_dir, port, works),
            records,
            container_ids=(f"{_prefix()}-{n}" for n in itertools.count()),
            uuids=(uuid.uuid4().bytes for _ in itertools.count()),
            incarnation_ids=(str(uuid.uuid4()) for _ in itertools.count()),
            agent_ids=(f"{name}-{uuid.uuid4().hex[:8]}" for _ in itertools.count()),
        )
        awaited = {r: why for r, why in away.items() if r.name in needed or r.name == "docker"}
        shell = Shell(core, store, works, work_dir, options.settings, awaited)
        holder.append(shell)
        add_SandboxServicer_to_server(SandboxService(shell), server)
        add_ExecutorServicer_to_server(ExecutorService(shell.executors, shell.feed), server)
        if options.metrics_port is not None:
            close_metrics = serve_metrics(
                options.listen.ip,
                options.metrics_port,
                lambda: metrics.snapshot(core),
                metrics.to_metrics,
            )
        await server.start()
        print(f"listening on {options.listen.advertised(port)}", flush=True)
        await _run(options, shell, detector, stop)
    finally:
        await server.stop(STOP_GRACE_S)
        if close_metrics is not None:
            await asyncio.to_thread(close_metrics)
        for runtime in runtimes:
            await runtime.close()
        await detector.close()
        store.close()
        os.close(lock)


async def _run(options: Options, shell: Shell, detector: Detector, stop: asyncio.Event) -> None:
    running = asyncio.create_task(shell.run(detector))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
            if shell.exit_message:
                raise AgentError(shell.exit_message)
        elif options.kill_tasks_on_exit:
            log.info("stopping, and ending all tasks")
            try:
                await shell.end_tasks(END_TASKS_TIMEOUT_S)
                await asyncio.wait({running}, timeout=LAST_WORD_S + STOP_GRACE_S)  # its last word
            except TimeoutError:
                log.error("some tasks did not end within %g s", END_TASKS_TIMEOUT_S)
        else:
            log.info("stopping; the tasks run on")
    finally:
        for task in (running, stopping):
            task.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)


def _prefix() -> str:
    return uuid.uuid4().hex[:12]


def _lock(work_dir: Path) -> int:
    try:
        lock = lock_directory(work_dir)
        if os.geteuid() == 0:
            # Tasks of other users pass through it, on their way to their sandboxes.
            work_dir.chmod(stat.S_IMODE(work_dir.stat().st_mode) | 0o011)
        return lock
    except OSError as error:
        why = disk_problem(error) or error
        raise AgentError(f"cannot use the work directory (--work-dir): {why}") from error
    except LockedError as error:
        raise AgentError(f"cannot use the work directory: {error}") from error


def _open_store(work_dir: Path) -> tuple[Store, Records]:
    """The checkpoint, and what is in it. Raises AgentError."""
    try:
        store = Store(work_dir / "checkpoint.sqlite")
        return store, store.load()
    except StoreError as error:
        if not error.damaged:
            raise AgentError(str(error)) from error
        raise AgentError(
            f"{error}. Restore the file from a backup, or give up what this agent knew with"
            f" `pymesos-agent recover --discard --work-dir {work_dir}`"
        ) from error


def _config(options: Options, work_dir: Path, port: int, runtimes: list[Runtime]) -> Config:
    try:
        offered = machine.with_overrides(machine.measure(work_dir), options.resources)
    except resources.ResourceError as error:
        raise AgentError(f"--resources: {error}") from error
    address = options.listen.advertised(port)
    isolation = dict(runtimes[0].isolation) if runtimes else {}
    for runtime in runtimes[1:]:
        isolation |= {f"{runtime.name} {name}": what for name, what in runtime.isolation.items()}
    info = pb.AgentInfo(
        address=pb.Address(hostname=options.listen.name(), ip=address.host, port=address.port),
        resources=resources.to_proto(offered),
        attributes=[pb.Attribute(name=n, text=t) for n, t in options.attributes.items()],
        runtimes=[runtime.name for runtime in runtimes],
        isolation=isolation,
        version=VERSION,
    )
    return Config(
        info,
        tuple(info.runtimes),
        boot_id=machine.boot_id(),
        sandbox_max_age_s=options.sandbox_max_age_s,
    )


def parse_host_paths(text: str) -> tuple[AllowedPath, ...]:
    """`/data,/srv/www:ro`. Raises click.UsageError."""
    out = []
    for part in filter(None, text.split(",")):
        path, _, mode = part.partition(":")
        if not path.startswith("/") or mode not in ("", "ro", "rw"):
            raise click.UsageError(
                f"--allow-host-paths: {part!r} is not an absolute path, with :ro at its end or not"
            )
        out.append(AllowedPath(Path(path), mode == "ro"))
    return tuple(out)


def check_subnet(text: str) -> str:
    """An IPv4 network with room for a bridge and containers. Raises click.UsageError."""
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise click.UsageError(f"--bridge-subnet: {error}; like 10.213.0.0/16") from error
    if network.prefixlen > 29:
        raise click.UsageError(f"--bridge-subnet: {text} has too few addresses; /29 is the least")
    return text


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@listen_options(DEFAULT_PORT)
@click.option(
    "--master",
    metavar="ADDRESS",
    envvar="PYMESOS_MASTER",
    help="The master: host:port, or zk://host:port/path to find the leader.  [required]",
)
@click.option(
    "--zk-session-timeout",
    type=FiniteRange(1, 120),
    default=10.0,
    show_default=True,
    help="Seconds of the ZooKeeper session with which the leader is found.",
)
@click.option(
    "--work-dir",
    type=Folder(),
    default=None,
    help="Checkpoint and sandboxes.  [default: /var/lib/pymesos/agent for root, else"
    " ~/.local/state/pymesos/agent]",
)
@click.option(
    "--resources",
    "resource_text",
    default="",
    metavar="TEXT",
    help="What to offer instead of what is measured: 'cpus:4;mem:8192;ports:[31000-32000]'.",
)
@click.option(
    "--attributes", "attribute_text", default="", metavar="TEXT", help="'rack:a;ssd:true'."
)
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    default="auto",
    show_default=True,
    help="What starts containers; auto enables all that work here.",
)
@click.option(
    "--docker-host", metavar="URL", help="The engine's address.  [default: its usual socket]"
)
@click.option(
    "--pids-max",
    type=WholeRange(0),
    default=4096,
    show_default=True,
    help="Processes and threads of a task that does not say how many; 0: no limit.",
)
@click.option(
    "--log-max-size",
    type=WholeRange(1, 100_000),
    default=10,
    show_default=True,
    metavar="MIB",
    help="How large stdout and stderr of a task become before they are rotated.",
)
@click.option(
    "--log-max-files",
    type=WholeRange(1, 100),
    default=5,
    show_default=True,
    help="How many files of each are kept.",
)
@click.option(
    "--allow-host-paths",
    "host_paths",
    default="",
    metavar="PATHS",
    help="Paths of this machine that tasks may mount, with all below: '/data,/srv/www:ro'.",
)
@click.option(
    "--allow-capabilities",
    "capabilities",
    default="",
    metavar="NAMES",
    help="What containers may have beyond the usual: 'NET_ADMIN,SYS_PTRACE'.",
)
@click.option(
    "--bridge-subnet",
    default=NetworkSettings.bridge_subnet,
    show_default=True,
    metavar="CIDR",
    help="Addresses of containers of the oci runtime with `network: bridge`.",
)
@click.option(
    "--user-namespace-base",
    type=WholeRange(65536, 2**32 - 2 * 65536),
    default=None,
    metavar="UID",
    help="Images run in user namespaces (oci): their ids 0 to 65535 are UID and up on the machine.",
)
@click.option(
    "--oci-tool",
    type=click.Choice(["auto", *tools.NAMES]),
    default=Settings.oci_tool,
    show_default=True,
    help="What makes containers of the oci runtime; auto: the first of them that works here.",
)
@click.option(
    "--cni-config-dir",
    type=Folder(exists=True),
    default=None,
    help="More networks for them: CNI network lists, *.conflist.",
)
@click.option(
    "--allow-images",
    "allowed_images",
    default="",
    metavar="PREFIXES",
    help="What images of the oci runtime begin with: 'docker.io/library/,registry:5000/'."
    "  [default: all]",
)
@click.option(
    "--registry-auth",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    default=None,
    help="Credentials for registries, a config.json of Docker's.  [default: skopeo's places]",
)
@click.option(
    "--image-cache-size",
    type=WholeRange(0),
    default=20 * 1024,
    show_default=True,
    metavar="MIB",
    help="How much of images is kept; the ones not used for longest go first.",
)
@click.option(
    "--image-max-age",
    type=FiniteRange(0),
    default=14,
    show_default=True,
    metavar="DAYS",
    help="How long an image is kept that no task uses.",
)
@click.option(
    "--artifact-cache-size",
    type=WholeRange(0),
    default=2 * 1024,
    show_default=True,
    metavar="MIB",
    help="How much of artifacts with a checksum is kept.",
)
@metrics_option
@click.option(
    "--sandbox-max-age",
    type=FiniteRange(0),
    default=7,
    show_default=True,
    metavar="DAYS",
    help="How long the files of ended tasks are kept on an empty disk; less as it fills.",
)
@click.option(
    "--kill-tasks-on-exit",
    is_flag=True,
    help="On SIGTERM end all tasks first, for clusters that are thrown away.",
)
@click.option(
    "--log-level", type=click.Choice(LEVELS), default="info", show_default=True, help="Verbosity."
)
@click.version_option(VERSION)
@click.pass_context
def main(
    context: click.Context,
    ip: str,
    port: int,
    advertise_ip: str | None,
    hostname: str | None,
    insecure: bool,
    master: str | None,
    zk_session_timeout: float,
    work_dir: Path | None,
    resource_text: str,
    attribute_text: str,
    runtime: str,
    docker_host: str | None,
    pids_max: int,
    log_max_size: int,
    log_max_files: int,
    host_paths: str,
    capabilities: str,
    bridge_subnet: str,
    user_namespace_base: int | None,
    oci_tool: str,
    cni_config_dir: Path | None,
    allowed_images: str,
    registry_auth: Path | None,
    image_cache_size: int,
    image_max_age: float,
    artifact_cache_size: int,
    metrics_port: int | None,
    sandbox_max_age: float,
    kill_tasks_on_exit: bool,
    log_level: str,
) -> None:
    """Run a pymesos agent. SIGTERM leaves its tasks running, for the next agent to find."""
    if context.invoked_subcommand is not None:
        return
    set_up_logging(log_level)
    listen = check_listen(ip, port, advertise_ip, hostname, insecure)
    if not master:
        raise click.UsageError("--master is missing: host:port, or zk://host:port/path")
    if user_namespace_base is not None and runtime in ("process", "docker"):
        raise click.UsageError(
            f"--user-namespace-base is for the runtime oci, not {runtime}; a Docker engine has"
            f" `userns-remap` of its own"
        )
    try:
        parse_master(master)
        given = resources.parse(resource_text)
        attributes = parse_attributes(attribute_text)
    except (AddressError, ResourceError, AttributeSyntaxError) as error:
        flag = {AddressError: "--master", ResourceError: "--resources"}.get(
            type(error), "--attributes"
        )
        raise click.UsageError(f"{flag}: {error}") from error
    allowed_paths = parse_host_paths(host_paths)
    options = Options(
        listen,
        master,
        zk_session_timeout,
        work_dir or default_directory("agent"),
        given,
        attributes,
        runtime,
        docker_host,
        Settings(
            LogLimits(log_max_size * 1024 * 1024, log_max_files),
            pids_max,
            allowed_paths,
            frozenset(c for c in capabilities.upper().split(",") if c),
            ImageSettings(
                tuple(filter(None, allowed_images.split(","))),
                registry_auth,
                tuple(allowed.path for allowed in allowed_paths),
                image_cache_size,
                image_max_age * 86400,
            ),
            artifact_cache_size,
            NetworkSettings(check_subnet(bridge_subnet), cni_config_dir),
            user_namespace_base or 0,
            oci_tool,
        ),
        metrics_port,
        sandbox_max_age * 86400,
        kill_tasks_on_exit,
    )
    try:
        asyncio.run(serve(options))
    except (
        AgentError,
        NoRuntimeError,
        ServingError,
        CoordinationError,
        RecoveryError,
        StoreError,
    ) as error:
        print(f"pymesos-agent: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if (problem := disk_problem(error)) is None:
            raise
        print(f"pymesos-agent: {problem}", file=sys.stderr)
        sys.exit(1)


@main.command()
@click.option(
    "--discard", is_flag=True, help="Give up the agent's id and tasks; end what still runs."
)
@click.option(
    "--work-dir",
    type=Folder(),
    default=None,
    help="The agent's work directory.",
)
def recover(discard: bool, work_dir: Path | None) -> None:
    """Start over after a checkpoint that cannot be used. The agent must not be running."""
    if not discard:
        raise click.UsageError(
            "say --discard: the agent's id, its tasks and their files are given up"
        )
    directory = (work_dir or default_directory("agent")).resolve()
    try:
        lock = _lock(directory)
        for path in directory.glob("checkpoint.sqlite*"):
            path.unlink()
        shutil.rmtree(directory / "sandboxes", ignore_errors=True)
        os.close(lock)
    except (AgentError, OSError) as error:
        print(f"pymesos-agent: {error}", file=sys.stderr)
        sys.exit(1)
    print("discarded; the next agent is a new one, and ends what still runs when it starts")


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--work-dir",
    type=Folder(),
    default=None,
    help="The agent's work directory.",
)
@click.option("--docker-host", envvar="DOCKER_HOST", help="As the agent had it.")
def purge(yes: bool, work_dir: Path | None, docker_host: str | None) -> None:
    """Remove an agent from this machine: its tasks, volumes, networks and all its files.

    The agent must not be running. The bridge of its containers and their iptables chains go
    with it, unless others use them.
    """
    directory = (work_dir or default_directory("agent")).resolve()
    if not (directory / "checkpoint.sqlite").exists():
        print(f"pymesos-agent: there is no agent's checkpoint in {directory}", file=sys.stderr)
        sys.exit(2)
    if not yes:
        click.confirm(
            f"This ends all tasks of the agent in {directory}, and deletes their files and"
            f" volumes. Go on?",
            abort=True,
        )
    set_up_logging("warning")
    try:
        asyncio.run(_purge(directory, docker_host))
    except (AgentError, NoRuntimeError, PurgeError, NetworkError, StoreError) as error:
        print(f"pymesos-agent: {error}", file=sys.stderr)
        sys.exit(1)


async def _purge(directory: Path, docker_host: str | None) -> None:
    lock = _lock(directory)
    runtimes: list[Runtime] = []
    ended = Ended()
    try:
        store, records = _open_store(directory)
        pids = pids_of(records)
        store.close()
        runtimes, away = await start_runtimes(
            candidates_of("auto", docker_host, Settings(), directory), ended
        )
        check_needed(runtimes, away, ())
        count = await end_containers(runtimes, ended, pids)
    finally:
        for runtime in runtimes:
            await runtime.close()
        os.close(lock)
    removed = await remove_files(directory)
    print(f"ended {count} containers; removed {', '.join(removed)}")


if __name__ == "__main__":
    main()
