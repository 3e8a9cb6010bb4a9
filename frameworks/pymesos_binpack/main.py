"""`pymesos-binpack`: the bin-packing framework."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pymesos_binpack import electing, life, moving
from pymesos_binpack.jobfiles.parsing import parse_job, read_job_file
from pymesos_binpack.life import Options
from pymesos_binpack.roles import job_roles
from pymesos_binpack.settings import BinpackSettings
from pymesos_binpack.specs import Job, JobError
from pymesos_core.directories import default_directory, real_path
from pymesos_core.exits import ExitStatus
from pymesos_core.garbage import collect_seldom
from pymesos_core.nearest import nearest
from pymesos_core.option_errors import RoleCommand
from pymesos_core.role import RoleProcess, serve_role
from pymesos_core.settings import resolved, takes
from pymesos_core.text import quoted

MOVE = "move-state"


class _Main(RoleCommand):
    """The framework, which takes job files, and one command beside it."""

    def main(self, args: Any = None, *more: Any, **extra: Any) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        if words[:1] == [MOVE]:
            extra["prog_name"] = f"pymesos-binpack {MOVE}"
            return moving.main.main(words[1:], *more, **extra)
        return super().main(args, *more, **extra)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """See click.Command: what nearly is that command, and no file, is answered with it."""
        word = args[0] if args else ""
        if nearest(word, [MOVE]) and not Path(word).exists():
            raise click.UsageError(
                f"there is neither a command nor a job file {quoted(word)}; did you mean {MOVE}?",
                context,
            )
        return super().parse_args(context, args)


def read_job(path: Path) -> Job:
    """Read a job file. Raises JobError naming it."""
    document = read_job_file(path)
    try:
        return parse_job(document)
    except JobError as error:
        raise JobError(f"{path}: {error}") from error


@click.command(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("job_files", nargs=-1, type=click.Path(path_type=Path), metavar="JOB.yaml...")
@takes(BinpackSettings, "binpack")
@click.pass_context
def main(context: click.Context, job_files: tuple[Path, ...]) -> None:
    """Run jobs on the cluster, packed.

    Ends when every batch task has ended and no service is left to keep up; exit status 1 when a
    batch task failed for good. With --listen it stays and takes jobs; with --zk it takes no job
    files. SIGTERM leaves the tasks running for the next run to take over, within the failover
    timeout. `pymesos-binpack move-state` moves its state between a directory and ZooKeeper.
    """
    settings = resolved(context, BinpackSettings, "binpack")
    options = _options(settings, job_files)
    collect_seldom()
    serve_role(
        "pymesos-binpack",
        settings.listen_at,
        settings.log_level,
        lambda process: _serve(options, process),
    )


async def _serve(options: Options, process: RoleProcess) -> ExitStatus:
    if options.settings.zk is None:
        return await life.serve(options, process)
    return await electing.serve(options, options.settings.zk, process)


def _options(settings: BinpackSettings, job_files: tuple[Path, ...]) -> Options:
    """Raises click.UsageError."""
    if not job_files and not settings.listen:
        raise click.UsageError("give job files, or --listen to take jobs from others")
    if job_files and settings.zk is not None:
        raise click.UsageError(
            "with --zk no job files are taken: submit them with `pymesos-cli run` or"
            " `pymesos-cli apply`"
        )
    try:
        jobs = tuple((str(real_path(path)), read_job(path)) for path in job_files)
    except JobError as error:
        raise click.UsageError(str(error)) from error
    theirs = sorted({job.role for _, job in jobs})
    try:
        chosen = settings.role or job_roles(theirs or ("*",))
    except ValueError as error:
        raise click.UsageError(f"the jobs are of too many roles: {error}") from error
    if others := [role for role in theirs if role not in chosen]:
        raise click.UsageError(
            f"there are jobs of the role {' and '.join(others)}, and --role takes those of"
            f" {chosen}: name all of them, with commas between"
        )
    try:
        state_dir = settings.state_dir or default_directory(settings.name)
    except ValueError as error:
        raise click.UsageError(f"--state-dir: {error}") from error
    return Options(settings, chosen, state_dir, jobs)


if __name__ == "__main__":
    main()
