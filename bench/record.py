"""Measures anew what bench/README.md tells: python bench/record.py [--runs N] [NAME...]

Runs the commands of bench/measurements.py with those names, each after a look at how fast the
machine is (bench/machine.py), keeps what they print in bench/results, and writes the tables of
bench/README.md. Without names it writes the tables of what is kept. `--list` has the names.

What is not measured keeps its figures, with the date of theirs. A result without a machine was
written down before machines were measured: its two runs are the least and the most of each figure.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import peers
from machine import calibrate
from measurements import MEASUREMENTS, Figure, Measurement

BENCH = Path(__file__).resolve().parent
RESULTS = BENCH / "results"
README = BENCH / "README.md"
HEAD = ("script", "figure", "measured", "aim", "when", "the machine then")
SIGNS = {"≤": lambda value, aim: value <= aim, "≥": lambda value, aim: value >= aim}


class RecordError(Exception):
    """What is measured or kept is not what is expected; the message says what to do."""


def at(result: Any, path: str) -> Any:
    """Return what is at a path of a result. Raises LookupError."""
    for key in path.split("/"):
        if isinstance(result, list):
            result = result[int(key)]
        elif isinstance(result, dict):
            result = result[key]
        else:
            raise LookupError(path)
    return result


def say(number: float) -> str:
    """Return a number with no more digits than it deserves."""
    size = abs(number)
    if size >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.1f}" if size >= 10 else f"{number:.2f}" if size >= 1 else f"{number:.2g}"


def _numbers(value: Any) -> list[float]:
    """All numbers of a value, which may be one, a list, or numbers by names."""
    if isinstance(value, Mapping):
        return [number for each in value.values() for number in _numbers(each)]
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, int | float) else []


def cell(figure: Figure, runs: Sequence[Any]) -> str:
    """Return a figure of all runs as a range; bold where one misses the aim. Raises LookupError."""
    values = [at(run, figure.path) for run in runs]
    first = values[0]
    if isinstance(first, Mapping):
        ranges = [f"{key} {_range(figure, [each[key] for each in values])}" for key in first]
    elif isinstance(first, list):
        columns = zip(*values, strict=True)
        ranges = [_range(figure, list(column)) for column in columns]
    else:
        ranges = [_range(figure, values)]
    text = f"{', '.join(ranges)} {figure.unit}".strip()
    sign, _, bound = figure.aim.partition(" ")
    if sign in SIGNS:
        aim = float(bound.replace(",", ""))
        numbers = [number * figure.factor for number in _numbers(values)]
        if not all(SIGNS[sign](number, aim) for number in numbers):
            return f"**{text}**"
    return text


def _range(figure: Figure, values: Sequence[Any]) -> str:
    numbers = [value * figure.factor for value in values if value is not None]
    if not numbers:
        return "none"
    least, most = say(min(numbers)), say(max(numbers))
    return least if least == most else f"{least}–{most}"


def machine_cell(machine: Mapping[str, Any] | None) -> str:
    """Return what matters of a machine, in a line."""
    if machine is None:
        return ""
    return (
        f"{machine['cores']} cores, load {machine['load_1min']:.1f}; {say(machine['spawn_per_s'])}"
        f" processes/s, sync {say(machine['fsync_ms']['p50'])} ms,"
        f" echo {say(machine['echo_messages_per_s'])}/s, loop {say(machine['loop_ms'])} ms"
    )


def rows(name: str, measurement: Measurement, record: Mapping[str, Any] | None) -> list[list[str]]:
    """The rows of one measurement. Raises RecordError."""
    command = f"`{measurement.command}`"
    if len(command) > 80:
        command = f"`{measurement.script}` ({name})"
    if record is None:
        return [[command, "", "not measured yet", "", "", ""]]
    found = []
    for figure in measurement.figures:
        try:
            text = cell(figure, record["runs"])
        except (LookupError, TypeError) as error:
            if figure.optional or record["machine"] is None:
                continue
            raise RecordError(
                f"{name}: its result has no {figure.path}; change the path in"
                " bench/measurements.py, or what the script prints"
            ) from error
        aim = f"{figure.aim} {figure.unit}".strip() if figure.aim[:1] in SIGNS else figure.aim
        found.append(["", figure.what, text, aim, "", ""])
    if not found:
        raise RecordError(f"{name}: none of its figures is in bench/results/{name}.json")
    load = f"load {record['load']}" if record.get("load") else ""
    found[0][0] = command
    found[0][4:] = [record["date"], machine_cell(record["machine"]) or load]
    return found


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return rows as a table, whose first row is its head."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rest))


def figures_table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of all measurements."""
    lines: list[Sequence[str]] = [HEAD]
    for name, measurement in MEASUREMENTS.items():
        lines += rows(name, measurement, records.get(name))
    return markdown(lines)


def peers_table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of the systems, of the last run."""
    if "peers" not in records:
        return "Not measured yet."
    record = records["peers"]
    last = record["runs"][-1]
    rounds = f"{last['rounds']} round{'s' if last['rounds'] > 1 else ''}"
    known = f"{record['date']}, {rounds}; {machine_cell(record['machine'])}."
    return f"{known}\n\n{peers.table(last)}"


TABLES = {"figures": figures_table, "peers": peers_table}


def with_tables(text: str, records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page with its tables written anew between their marks."""
    for name, make in TABLES.items():
        begin, end = f"<!-- {name}, by bench/record.py -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not (found and ended):
            raise RecordError(f"bench/README.md has no marks {begin!r} and {end!r}")
        text = f"{before}{begin}\n{make(records)}\n{end}{after}"
    return text


def kept() -> dict[str, dict[str, Any]]:
    """All results that are kept, by their names."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in RESULTS.glob("*.json")}


def results_of(output: str) -> Any:
    """Return what a script has printed: one object of JSON, or a list of one for each line."""
    lines = [json.loads(line) for line in output.splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else lines


def measure(measurement: Measurement, number: int) -> Iterator[Any]:
    """Run a script several times. Raises RecordError."""
    script, *options = measurement.command.split()
    for _ in range(number):
        argv = [sys.executable, str(BENCH / script), *options, "--json"]
        done = subprocess.run(
            argv, cwd=BENCH.parent, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise RecordError(
                f"{script} ended with status {done.returncode}; nothing of it is kept"
            )
        yield results_of(done.stdout)


def commit() -> str:
    """The commit of this tree, or nothing outside of git."""
    argv = ["git", "-C", str(BENCH), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def record(name: str, runs: int) -> None:
    """Measure, and keep what was found. Raises RecordError."""
    measurement = MEASUREMENTS[name]
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        machine = calibrate(Path(folder))
    found = {
        "command": measurement.command,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": machine,
        "runs": list(measure(measurement, runs)),
    }
    for line in rows(name, measurement, found):
        print(" | ".join(line), flush=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def listed() -> str:
    """All names, with their commands and how long they take."""
    return "\n".join(
        f"{name:24} {each.minutes:4g} min  {re.sub(r'[^ ]*/openb/', '', each.command)}"
        for name, each in MEASUREMENTS.items()
    )


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*MEASUREMENTS]))
@click.option("--runs", default=1, show_default=True, type=click.IntRange(1), help="Of each.")
@click.option("--list", "as_list", is_flag=True, help="Print what can be measured.")
def main(names: tuple[str, ...], runs: int, as_list: bool) -> None:
    """Measure NAMES, keep what was found, and write the tables of bench/README.md."""
    if as_list:
        print(listed())
        return
    failed = False
    for name in names:
        try:
            record(name, runs)
        except RecordError as error:
            print(error, file=sys.stderr)
            failed = True
    try:
        README.write_text(with_tables(README.read_text("utf-8"), kept()), "utf-8")
    except RecordError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
