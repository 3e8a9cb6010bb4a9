"""Commands on jobs: run them, follow them, stop them, and what they leave."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pymesos_cli import completing
from pymesos_cli.group import Command, Room
from pymesos_cli.options import Settings, json_option, pass_settings, with_cluster
from pymesos_core.flags import Lifetime, WholeRange

MAX_SILENCE_S = 30 * 86400.0

room = Room()


class _RunCommand(Command):
    """Remembers whether there was a `--`, which tells a command from a job file."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """See click.Command."""
        context.meta["pymesos.command"] = "--" in arguments
        return super().parse_args(context, arguments)


@room.command(cls=_RunCommand)
@click.argument(
    "arguments",
    nargs=-1,
    metavar="[JOB.yaml | -- CMD...]",
    type=click.UNPROCESSED,  # those of a program may be empty
    shell_complete=completing.files_here,
)
@click.option(
    "--wait", is_flag=True, help="Stay until batch tasks have ended and services are ready."
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the job: tasks.web.instances=3.",
)
@click.option("--cpus", default=None, help="Of the command, in cores.  [default: 0.1]")
@click.option("--mem", default=None, help="Of the command, in MiB.  [default: 32]")
@click.option("--image", default=None, help="The command's OCI image.")
@click.option("--role", default=None, help="The command's role.  [default: *]")
@click.option(
    "--here", is_flag=True, help="Be the framework of this job, whoever else serves its role."
)
@pass_settings
@click.pass_context
def run(
    context: click.Context,
    settings: Settings,
    arguments: tuple[str, ...],
    wait: bool,
    changes: tuple[str, ...],
    cpus: str | None,
    mem: str | None,
    image: str | None,
    role: str | None,
    here: bool,
) -> None:
    """Run a job file, or a command after `--`.

    A command is waited for, and what it writes is shown. A job goes to a bin-packing framework that
    the master knows; without one, this command is that framework until the job has ended. One job
    of a name runs at a time; of a command as many as you like.
    """
    is_command = context.meta["pymesos.command"]
    if not arguments or not (is_command or arguments[0].strip()):
        raise click.UsageError("give a job file, or a command after --")
    if not is_command:
        if len(arguments) > 1:
            raise click.UsageError("one job file at a time; a command comes after --")
        for flag, value in (("cpus", cpus), ("mem", mem), ("image", image), ("role", role)):
            if value is not None:
                raise click.UsageError(f"--{flag} is for a command after --; in a job, use --set")
    elif changes:
        raise click.UsageError("--set is for job files")
    from pymesos_cli.jobs import run as running

    if is_command:
        document = running.command_document(
            arguments,
            _number("--cpus", cpus, 0.1),
            _number("--mem", mem, 32),
            image,
            "*" if role is None else role,
        )
        job = running.check(document, "the command", running.FLAGS)
    else:
        from pymesos_cli.jobs.settings import apply_settings, origins

        document = apply_settings(running.read_document(Path(arguments[0])), changes)
        job = running.check(document, arguments[0], origins(document, changes))
    status = with_cluster(
        settings,
        lambda cluster: running.run_job(
            cluster, job, wait=wait or is_command, is_command=is_command, here=here
        ),
    )
    sys.exit(status)


def _number(flag: str, text: str | None, default: float) -> float:
    if text is None:
        return default
    from pymesos_core.resource_values import ResourceError, parse_milli

    try:
        milli = parse_milli(flag, text)
    except ResourceError as error:
        raise click.UsageError(str(error)) from error
    return milli // 1000 if milli % 1000 == 0 else milli / 1000


@room.command()
@click.argument("file", type=click.Path(path_type=Path), shell_complete=completing.files_here)
@click.option("--plan", is_flag=True, help="Show what would change, and change nothing.")
@click.option(
    "--wait", is_flag=True, help="Stay until all instances are as the file says, and ready."
)
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the file: see `run`."
)
@click.option(
    "--if-version",
    type=WholeRange(1, 2**31 - 1),
    default=None,
    metavar="N",
    help="Only if the job is at this version, as `history` shows it.",
)
@click.option("--keep-counts", is_flag=True, help="Keep the numbers of instances as they are.")
@click.option("--rerun", is_flag=True, help="Batch tasks that have ended run again.")
@click.option("--job", "job_id", default="", metavar="ID", help="Which, where several run.")
@pass_settings
def apply(
    settings: Settings,
    file: Path,
    plan: bool,
    wait: bool,
    changes: tuple[str, ...],
    if_version: int | None,
    keep_counts: bool,
    rerun: bool,
    job_id: str,
) -> None:
    """Make the job of a role and a name what FILE says: start it, change it, or do nothing.

    What of its instances differs is replaced; changes of numbers, retries, priority and the like
    end none. With --plan the exit status says whether something would change: 0 nothing, 1
    something, 2 the file is wrong or would be refused, 3 no master, or who takes the job, is
    reachable.
    """
    from pymesos_cli.errors import errors_of_a_plan
    from pymesos_cli.jobs import run as running
    from pymesos_cli.jobs import versions
    from pymesos_cli.jobs.settings import apply_settings, origins

    document = apply_settings(running.read_document(file), changes)
    job = running.check(document, str(file), origins(document, changes))
    asked = versions.Apply(plan, wait, if_version or 0, keep_counts, rerun, job_id)
    with errors_of_a_plan(planned=plan):
        sys.exit(with_cluster(settings, lambda cluster: versions.apply_job(cluster, job, asked)))


@room.command()
@click.argument("counts", nargs=-1, required=True, metavar="JOB.TASK=N...")
@click.option("--wait", is_flag=True, help="Stay until there are so many.")
@pass_settings
def scale(settings: Settings, counts: tuple[str, ...], wait: bool) -> None:
    """Have other numbers of instances. Fewer: those with the highest numbers end."""
    from pymesos_cli.jobs import versions

    sys.exit(with_cluster(settings, lambda c: versions.scale_job(c, counts, wait=wait)))


@room.command()
@click.argument("job", metavar="JOB[.TASK]", shell_complete=completing.live_jobs)
@click.option("--wait", is_flag=True, help="Stay until all are replaced.")
@click.option(
    "--lose-volumes",
    is_flag=True,
    help="Restart only what waits for data on agents that are unreachable, or on which it may not"
    " run: elsewhere, with empty volumes.",
)
@click.option("--yes", is_flag=True, help="Do not ask before volumes are given up.")
@pass_settings
def restart(settings: Settings, job: str, wait: bool, lose_volumes: bool, yes: bool) -> None:
    """Replace the instances of a job's services, or of one task, by others that are the same."""
    if lose_volumes:
        from pymesos_cli.jobs.giving_up import give_up_volumes

        with_cluster(settings, lambda c: give_up_volumes(c, job, ask=not yes))
        return
    from pymesos_cli.jobs import versions

    sys.exit(with_cluster(settings, lambda c: versions.restart_job(c, job, wait=wait)))


@room.command()
@click.argument("job", metavar="JOB[.TASK]", shell_complete=completing.live_jobs)
@click.option("--arg", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the run.")
@pass_settings
def trigger(settings: Settings, job: str, given: tuple[str, ...]) -> None:
    """Have a run of a periodic task begin now, or as soon as its `overlap` lets it."""
    from pymesos_cli.jobs import periodic

    with_cluster(settings, lambda c: periodic.trigger_job(c, job, given))


@room.command()
@click.argument("job", shell_complete=completing.live_jobs)
@click.argument("version", default="", required=False)
@click.option("--wait", is_flag=True, help="Stay until all instances are as that version said.")
@pass_settings
def rollback(settings: Settings, job: str, version: str, wait: bool) -> None:
    """Make a job what an earlier version said, as a new version; numbers of instances stay.

    Without VERSION it is the latest that is known to work, as the first counts to, and by which
    something else ran.
    """
    from pymesos_cli.jobs import versions

    sys.exit(with_cluster(settings, lambda c: versions.roll_back(c, job, version, wait=wait)))


@room.group()
def rollout() -> None:
    """See how the instances of a job become those of another version, and steer that."""


@rollout.command("status")
@click.argument("job", metavar="JOB[.TASK]", shell_complete=completing.live_jobs)
@json_option
@pass_settings
def rollout_status(settings: Settings, job: str, as_json: bool) -> None:
    """Show where the latest rollout of each task is, and what it waits for."""
    from pymesos_cli.jobs import versions

    with_cluster(settings, lambda c: versions.show_rollouts(c, job, as_json=as_json))


def _steering(what: str, about: str) -> None:
    @rollout.command(what, help=about)
    @click.argument("job", metavar="JOB[.TASK]", shell_complete=completing.live_jobs)
    @pass_settings
    def steer(settings: Settings, job: str) -> None:
        from pymesos_cli.jobs import versions

        with_cluster(settings, lambda c: versions.steer(c, job, what))


_steering("pause", "Replace nothing until it is resumed; no deadline passes.")
_steering("resume", "Go on, with new deadlines.")
_steering("promote", "Take the canaries for good: the other instances follow.")
_steering("abort", "End it where it is: what is ready stays, of whichever version.")


@room.command()
@click.argument("job", shell_complete=completing.live_jobs)
@json_option
@pass_settings
def history(settings: Settings, job: str, as_json: bool) -> None:
    """List the versions of a job that are kept, and what changed from one to the next."""
    from pymesos_cli.jobs import versions

    with_cluster(settings, lambda cluster: versions.show_history(cluster, job, as_json=as_json))


@room.command()
@click.argument("job", shell_complete=completing.live_jobs)
@click.option(
    "--version",
    type=WholeRange(1, 2**31 - 1),
    default=None,
    help="An earlier one.",
    metavar="N",
)
@json_option
@pass_settings
def describe(settings: Settings, job: str, version: int | None, as_json: bool) -> None:
    """Show the file of a job as it is in force."""
    from pymesos_cli.jobs import versions

    with_cluster(settings, lambda c: versions.describe(c, job, version or 0, as_json=as_json))


@room.command()
@click.argument("job", shell_complete=completing.live_jobs)
@pass_settings
def watch(settings: Settings, job: str) -> None:
    """Follow a job until its batch tasks have ended and its services are ready."""
    from pymesos_cli.jobs import listing as jobs

    sys.exit(with_cluster(settings, lambda cluster: jobs.watch_job(cluster, job)))


@room.command("jobs")
@click.argument("job", default="", required=False, shell_complete=completing.live_jobs)
@click.option("--all", "ended", is_flag=True, help="Also those that have ended.")
@json_option
@pass_settings
def list_jobs(settings: Settings, job: str, ended: bool, as_json: bool) -> None:
    """List jobs; or the instances of one, and where each can be reached."""
    from pymesos_cli.jobs import instances
    from pymesos_cli.jobs import listing as jobs

    if job:
        with_cluster(settings, lambda c: instances.list_instances(c, job, as_json=as_json))
        return
    with_cluster(settings, lambda cluster: jobs.list_jobs(cluster, ended=ended, as_json=as_json))


@room.command("stop")
@click.argument("job", shell_complete=completing.live_jobs)
@click.option("--now", is_flag=True, help="Give clients no time to leave (shutdown.drain_s).")
@pass_settings
def stop(settings: Settings, job: str, now: bool) -> None:
    """End a job and its tasks, which clients leave before."""
    from pymesos_cli.jobs import listing as jobs

    with_cluster(settings, lambda cluster: jobs.stop_job(cluster, job, now=now))


@room.group()
def quarantine() -> None:
    """See what is stored and cannot be handled, and have it tried again or forgotten."""


@quarantine.command("list")
@json_option
@pass_settings
def list_quarantined(settings: Settings, as_json: bool) -> None:
    """List it, with the reasons."""
    from pymesos_cli.jobs import quarantine as aside

    with_cluster(settings, lambda cluster: aside.list_quarantined(cluster, as_json=as_json))


@quarantine.command("show")
@click.argument("id_", metavar="ID")
@json_option
@pass_settings
def show_quarantined(settings: Settings, id_: str, as_json: bool) -> None:
    """Show one as it is stored, by its exact id."""
    from pymesos_cli.jobs import quarantine as aside

    with_cluster(settings, lambda cluster: aside.show(cluster, id_, as_json=as_json))


@quarantine.command("release")
@click.argument("id_", metavar="ID")
@click.option("--discard", is_flag=True, help="Forget it instead, and end its tasks.")
@pass_settings
def release_quarantined(settings: Settings, id_: str, discard: bool) -> None:
    """Have one tried again, by its exact id."""
    from pymesos_cli.jobs import quarantine as aside

    with_cluster(settings, lambda cluster: aside.release(cluster, id_, discard=discard))


@room.group()
def volumes() -> None:
    """What tasks have written for their next runs, and what is left of jobs that have ended."""


@volumes.command("list")
@json_option
@pass_settings
def list_volumes(settings: Settings, as_json: bool) -> None:
    """List volumes, where they are, and who has them."""
    from pymesos_cli.jobs import volumes as kept

    with_cluster(settings, lambda cluster: kept.list_volumes(cluster, as_json=as_json))


@volumes.command("remove")
@click.argument(
    "volume_ids",
    nargs=-1,
    required=True,
    metavar="VOLUME...",
    shell_complete=completing.left_volumes,
)
@click.option("--role", default=None, help="Of which role, where several have one of that id.")
@click.option("--host", default=None, help="Of which agent's host, where several have one.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def remove_volumes(
    settings: Settings, volume_ids: tuple[str, ...], role: str | None, host: str | None, yes: bool
) -> None:
    """Destroy volumes that no task has, by their whole ids, with all that is in them."""
    from pymesos_cli.jobs import volumes as kept

    with_cluster(
        settings, lambda cluster: kept.remove_volumes(cluster, volume_ids, role, host, ask=not yes)
    )


@room.group()
def alerts() -> None:
    """See what is wrong, have nobody told of it for a while, and test who is told."""


@alerts.command("list")
@json_option
@pass_settings
def list_alerts(settings: Settings, as_json: bool) -> None:
    """List alerts that are pending or fire, and who is told."""
    from pymesos_cli.jobs import alerts as told

    with_cluster(settings, lambda cluster: told.list_alerts(cluster, as_json=as_json))


@alerts.command("silence")
@click.argument("job", required=False, shell_complete=completing.live_jobs)
@click.option("--task", default="", help="Only of this task of it.")
@click.option("--cluster", "of_cluster", is_flag=True, help="Of the cluster itself, not of a job.")
@click.option("--subject", default="", help="Of the cluster: of this agent, role or master.")
@click.option("--when", default="", help="Only of this kind, as in unhealthy.")
@click.option("--for", "for_s", type=Lifetime(), default=None, help="For how long, as in 2h.")
@click.option("--why", default="", help="A line for those who wonder later.")
@click.option("--end", is_flag=True, help="Tell again.")
@pass_settings
def silence_alerts(
    settings: Settings,
    job: str | None,
    task: str,
    of_cluster: bool,
    subject: str,
    when: str,
    for_s: float | None,
    why: str,
    end: bool,
) -> None:
    """Have nobody told of alerts of a job, or of the cluster, for a while.

    What was told before goes on.
    """
    if (job is None) is not of_cluster or (of_cluster and task) or (job is not None and subject):
        raise click.UsageError(
            "say of which job, perhaps with --task; or --cluster, perhaps with --subject"
        )
    if (for_s is None) is not end:
        raise click.UsageError("say for how long, as in --for 2h; or --end to tell again")
    if for_s is not None and not 1 <= for_s <= MAX_SILENCE_S:
        raise click.UsageError("--for: expected is a time from 1s to 30d")
    from pymesos_cli.jobs import alerts as told

    length_s = for_s or 0.0
    if job is None:
        with_cluster(
            settings, lambda cluster: told.silence_cluster(cluster, subject, when, length_s, why)
        )
    else:
        with_cluster(
            settings, lambda cluster: told.silence(cluster, job, task, when, length_s, why)
        )


@alerts.command("receivers")
@json_option
@pass_settings
def list_receivers(settings: Settings, as_json: bool) -> None:
    """List who can be told, and why one has not taken what it was sent last."""
    from pymesos_cli.jobs import alerts as told

    with_cluster(settings, lambda cluster: told.list_receivers(cluster, as_json=as_json))


@alerts.command("test")
@click.argument("receiver", shell_complete=completing.receivers)
@pass_settings
def test_receiver(settings: Settings, receiver: str) -> None:
    """Tell a receiver that nothing is wrong, and say whether it has taken that."""
    from pymesos_cli.jobs import alerts as told

    with_cluster(settings, lambda cluster: told.test_receiver(cluster, receiver))
