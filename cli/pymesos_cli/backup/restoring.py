"""`restore`: a backup is checked to its end, held against the cluster, and then restored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path

from pymesos_cli.backup.records import Backup, BackupError, read_backup
from pymesos_cli.backup.restored_jobs import steps_of_jobs
from pymesos_cli.backup.restored_silences import steps_of_job_silences
from pymesos_cli.backup.restored_telling import steps_of_silences, steps_of_webhooks
from pymesos_cli.backup.steps import Found, Kind, Step, steps_of
from pymesos_cli.backup.variables import steps_of_variables
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_FAILED, EXIT_NO_MASTER, EXIT_USAGE, CliError
from pymesos_cli.given import given
from pymesos_cli.output import count_of, note, printable
from pymesos_core.clock import utc
from pymesos_core.security.secrets import KEY_FILE, Keyring, KeyringError, read_keyring
from pymesos_core.text import os_problem, quoted

SHOWN = 20  # of what is in the way


class Existing(StrEnum):
    """What is done with what is there already, and differs."""

    REFUSE = "refuse"
    KEEP = "keep"
    REPLACE = "replace"


async def restore(
    cluster: Cluster,
    file: str,
    *,
    plan: bool,
    existing: Existing,
    key_file: Path | None,
    partly: bool,
) -> int:
    """`pymesos-cli restore`; the exit status."""
    backup = read_file(file)
    keyring = _keys(key_file)
    for left_out in backup.left_out:
        note(printable(f"the backup lacks {left_out}"))
    async with AsyncExitStack() as stack:
        steps = await steps_of(cluster, backup, keyring)
        steps += await steps_of_webhooks(cluster, backup.webhooks)
        steps += await steps_of_silences(cluster, backup.silences)
        steps += await steps_of_variables(cluster, backup.variables, stack)
        steps += await steps_of_jobs(cluster, backup.jobs, stack)
        steps += await steps_of_job_silences(cluster, backup, stack)
        if plan:
            return _show(steps, existing, len(backup.left_out))
        _check(steps, existing, partly=partly)
        return await _carry_out(steps, existing, len(backup.left_out), partly=partly)


def read_file(file: str) -> Backup:
    """Read and check a backup; `-` is standard input. Raises CliError."""
    name = "standard input" if file == "-" else quoted(file)
    try:
        with given(file) as stream:
            backup = read_backup(stream)
    except BackupError as error:
        raise CliError(f"{name}: {error}. Nothing is restored", EXIT_USAGE) from error
    begin = backup.begin
    by = f" by {begin.made_by}" if begin.made_by else ""
    jobs = count_of(len(backup.jobs), "job")
    note(printable(f"a backup of {utc(begin.made_at_s)}{by}, with {jobs}"))
    return backup


def _keys(key_file: Path | None) -> Keyring | None:
    if key_file is None:
        return None
    try:
        return read_keyring(key_file)
    except FileNotFoundError as error:
        raise CliError(
            f"--secrets-key: {os_problem(error)}; {KEY_FILE} of a master is expected", EXIT_USAGE
        ) from error
    except KeyringError as error:
        raise CliError(f"--secrets-key: {error}", EXIT_USAGE) from error


def _becomes(step: Step, existing: Existing) -> str:
    """What a step does, in a word."""
    if step.found is Found.DIFFERS:
        return {Existing.REPLACE: "replace", Existing.KEEP: "keep"}.get(existing, "differs")
    return {Found.MISSING: "add", Found.SAME: "same", Found.LEFT_OUT: "leave out"}.get(
        step.found, "cannot"
    )


def _line(step: Step, existing: Existing) -> str:
    why = f": {step.why}" if step.why else ""
    return printable(f"{_becomes(step, existing):<9}  {step.what}{why}")


def _show(steps: Sequence[Step], existing: Existing, lacks: int) -> int:
    """Say what would be done; the exit status: 0 nothing."""
    for step in steps:
        print(_line(step, existing))
    words = [_becomes(step, existing) for step in steps]
    _sum_up(steps, [f"to {word}" if word in _PLANNED else word for word in words], lacks)
    return 0 if {*words} <= {"same", "keep", "leave out"} else EXIT_FAILED


_PLANNED = ("add", "replace", "keep", "leave out")


def _sum_up(steps: Sequence[Step], outcomes: Sequence[str], lacks: int) -> None:
    """Say of each kind of thing how many there are of each outcome, in a line."""
    counts: dict[Kind, Counter[str]] = {}
    for step, outcome in zip(steps, outcomes, strict=True):
        counts.setdefault(step.kind, Counter())[outcome] += 1
    for kind, counted in counts.items():
        print(f"{kind}: {', '.join(f'{number} {outcome}' for outcome, number in counted.items())}")
    if not counts:
        print("the backup is empty")
    if lacks:
        print(f"{count_of(lacks, 'thing')} named above {'is' if lacks == 1 else 'are'} not in it")


def _check(steps: Sequence[Step], existing: Existing, *, partly: bool) -> None:
    """Raises CliError where something is in the way: nothing is done then."""
    stuck = [step for step in steps if step.found is Found.STUCK and not partly]
    differs = [step for step in steps if step.found is Found.DIFFERS]
    if existing is not Existing.REFUSE:
        differs = []
    in_the_way = [*stuck, *differs]
    if not in_the_way:
        return
    for step in in_the_way[:SHOWN]:
        note(_line(step, existing))
    if len(in_the_way) > SHOWN:
        note(f"and {len(in_the_way) - SHOWN} more, which --plan shows")
    hints = []
    if any(step.kind is Kind.SECRETS for step in stuck):
        hints.append(
            "give the file of keys that the masters had whose secrets these are with --secrets-key"
            " (secrets.key in the folder of --tls of each, and of `cluster init`)"
        )
    if stuck:
        hints.append("mend what cannot be restored, or have the rest restored with --partly")
    if differs:
        hints.append(
            "what differs is left as it is with --existing keep, and made as in the backup with"
            " --existing replace"
        )
    rest = "; ".join(hints)
    raise CliError(
        f"nothing is restored, since {count_of(len(in_the_way), 'thing')} of the backup"
        f" {'is' if len(in_the_way) == 1 else 'are'} in the way: {rest}",
    )


async def _carry_out(steps: Sequence[Step], existing: Existing, lacks: int, *, partly: bool) -> int:
    """Do what is to be done, and sum it up, also where it is not done to its end; the exit status.

    Raises CliError.
    """
    outcomes = [_NOT_DONE] * len(steps)
    try:
        await _do_each(steps, outcomes, existing, partly=partly)
    finally:
        _sum_up(steps, outcomes, lacks)
    if failed := outcomes.count(_NOT_DONE):
        raise CliError(
            f"{count_of(failed, 'thing')} of the backup {'is' if failed == 1 else 'are'} not"
            f" restored: mend what is said above, and restore again, which adds what is missing"
        )
    return 0


_NOT_DONE = "not restored"
_OUTCOMES = {
    "add": "added",
    "replace": "replaced",
    "keep": "kept as it is here",
    "same": "the same",
    "leave out": "left out",
}


async def _do_each(
    steps: Sequence[Step], outcomes: list[str], existing: Existing, *, partly: bool
) -> None:
    """Do each step, and write down its outcome.

    What fails is said, and the rest goes on, unless it would be restored for somebody who was to
    be kept out. Raises CliError.
    """
    for index, step in enumerate(steps):
        if step.found is Found.STUCK:
            note(_line(step, existing))
            continue
        becomes = _becomes(step, existing)
        if step.do is not None and becomes in ("add", "replace"):
            try:
                await step.do()
            except CliError as error:
                if error.exit_code == EXIT_NO_MASTER:
                    raise
                note(printable(f"not restored: {step.what}: {error.format_message()}"))
                if step.keeps_out and not partly:
                    raise CliError(
                        "nothing that comes after this is restored, since somebody whom the backup"
                        " keeps out could have it: mend what is said above, and restore again, or"
                        " have the rest restored all the same with --partly"
                    ) from error
                continue
        if becomes != "same":
            print(_line(step, existing), flush=True)
        outcomes[index] = _OUTCOMES[becomes]
