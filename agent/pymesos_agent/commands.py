"""Commands beside serving: `pymesos-agent recover` and `pymesos-agent purge`.

Both take the work directory of the agent's own settings, unless they are given another.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import click

from pymesos_agent.containers.marks import Marks
from pymesos_agent.containers.settings import Settings
from pymesos_agent.files.guards import GUARDED
from pymesos_agent.files.memory import memory_of
from pymesos_agent.files.trees import try_remove_tree
from pymesos_agent.purge import Ended, end_containers, pids_of, remove_files, unmount_files
from pymesos_agent.runtimes.oci.networks import remove_bridge
from pymesos_agent.runtimes.starting import candidates_of, check_needed, start_runtimes, tag_of
from pymesos_agent.settings import AgentSettings
from pymesos_agent.workdir import CHECKPOINT, SANDBOXES, if_damaged, lock_work_dir
from pymesos_core.confirming import confirm
from pymesos_core.directories import real_path
from pymesos_core.discovery import stand_in
from pymesos_core.discovery.following import FILE as NAMES
from pymesos_core.exits import ExitStatus
from pymesos_core.flags import Folder
from pymesos_core.log import set_up_logging
from pymesos_core.option_errors import RoleCommand
from pymesos_core.role import end_of, open_store
from pymesos_core.settings import resolved_one
from pymesos_core.text import os_problem

NAME = "pymesos-agent"
work_dir_option = click.option(
    "--work-dir", type=Folder(), help="The agent's work directory.  [default: as the agent has it]"
)


def _directory(context: click.Context, given: Path | None) -> Path:
    found = given or resolved_one(context, AgentSettings, "agent", "work_dir")
    assert isinstance(found, Path)
    return real_path(found)


def _names_in(directory: Path) -> list[str]:
    """What is in the agent's folder, if that is there. Raises click.UsageError."""
    try:
        return [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise click.UsageError(
            f"{os_problem(error)}; run this as the agent's user, or name the agent's folder with"
            f" --work-dir"
        ) from error


def _no_checkpoint(directory: Path) -> click.UsageError:
    return click.UsageError(
        f"there is no agent's checkpoint in {directory}; name the agent's folder with --work-dir"
    )


@click.command(cls=RoleCommand)
@click.option(
    "--discard", is_flag=True, help="Give up the agent's id and tasks; end what still runs."
)
@work_dir_option
@click.pass_context
def recover(context: click.Context, discard: bool, work_dir: Path | None) -> None:
    """Start over after a checkpoint that cannot be used. The agent must not be running."""
    if not discard:
        raise click.UsageError(
            "say --discard: the agent's id, its tasks and their files are given up"
        )
    directory = _directory(context, work_dir)
    if not any(name.startswith(CHECKPOINT) for name in _names_in(directory)):
        raise _no_checkpoint(directory)
    sys.exit(end_of(NAME, lambda: _recover(directory)))


def _recover(directory: Path) -> ExitStatus:
    with lock_work_dir(directory):
        for path in directory.glob(f"{CHECKPOINT}*"):
            path.unlink()
        (directory / NAMES).unlink(missing_ok=True)  # of a cluster that it may be no more of
        for sandboxes in (SANDBOXES, GUARDED / SANDBOXES):
            try_remove_tree(directory / sandboxes)
    click.echo("discarded; the next agent is a new one, and ends what still runs when it starts")
    return ExitStatus.STOPPED


@click.command(cls=RoleCommand)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--keep-files", is_flag=True, help="End tasks, networks and mounts; delete no file but secrets."
)
@work_dir_option
@click.option("--docker-host", envvar="DOCKER_HOST", help="As the agent had it.")
@click.pass_context
def purge(
    context: click.Context,
    yes: bool,
    keep_files: bool,
    work_dir: Path | None,
    docker_host: str | None,
) -> None:
    """Remove an agent from this machine: its tasks, volumes, networks and all its files.

    The agent must not be running. The bridge of its containers and their iptables chains go
    with it, unless others use them.
    """
    directory = _directory(context, work_dir)
    if CHECKPOINT not in _names_in(directory):
        raise _no_checkpoint(directory)
    if not yes:
        and_files = "" if keep_files else ", and deletes their files and volumes"
        confirm(f"This ends all tasks of the agent in {directory}{and_files}. Go on?")
    host = docker_host or resolved_one(context, AgentSettings, "agent", "docker_host")
    set_up_logging("warning")
    sys.exit(end_of(NAME, lambda: asyncio.run(_purge(directory, host, keep_files))))


async def _purge(directory: Path, docker_host: str | None, keep_files: bool) -> ExitStatus:
    """Raises RoleError and kin."""
    ended = Ended()
    async with contextlib.AsyncExitStack() as closing:
        closing.enter_context(lock_work_dir(directory))
        store, records = open_store(directory / CHECKPOINT, if_damaged(directory))
        pids = pids_of(records)
        store.close()
        memory = memory_of(tag_of(directory))
        settings = Settings(memory=memory)  # what has secrets in it is found, too
        candidates = candidates_of("auto", docker_host, settings, directory)
        runtimes, away = await start_runtimes(candidates, ended)
        for runtime in runtimes:
            closing.push_async_callback(runtime.close)
        check_needed(runtimes, away, ())
        count = await end_containers(runtimes, ended, pids)
    await asyncio.to_thread(Marks(directory).end_left)
    given = await asyncio.to_thread(stand_in.end_all, directory)
    stand_in.close_all(given.values())
    removed = await asyncio.to_thread(remove_bridge)
    if memory is not None:
        memory.remove_all()
    await unmount_files(directory)
    if not keep_files:
        await remove_files(directory)
        removed.append(str(directory))
    click.echo(f"ended {count} containers; removed {', '.join(removed) or 'nothing else'}")
    return ExitStatus.STOPPED
