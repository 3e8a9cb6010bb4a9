"""The progress of a job: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import Any

from pymesos_cli import terminal
from pymesos_cli.jobs.waiting import may_be_held_back, runs_not_ready
from pymesos_cli.output import printable
from pymesos_core.states import is_terminal, reason_name, state_name
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2

MAX_LINES = 12


class Progress:
    """Takes the views of one job and shows what changes. All of it goes to stderr when `quiet`.

    `here`: this process runs the job, so that no Jobs service can be asked about it.
    """

    def __init__(self, *, quiet: bool = False, here: bool = False) -> None:
        self._here = here
        self._out = terminal.stream(stderr=quiet)
        self._instances: dict[str, pb.InstanceView] = {}
        self._said: dict[str, str] = {}
        self._said_not_ready = False
        self._said_held_back = False
        self._state = ""
        self._live: Any = None
        if self._out.isatty() and not quiet:  # where output is shown, a live view would tear it
            from rich.console import Console
            from rich.live import Live

            # Its own escape codes must reach the terminal; the text in it is made printable here.
            console = Console(file=self._out.raw)
            self._live = Live(
                console=console,
                refresh_per_second=8,
                redirect_stdout=False,
                redirect_stderr=False,
            )

    def say(self, line: str) -> None:
        """A line of its own, whatever is in what tasks and frameworks say."""
        if self._live is not None and self._live.is_started:
            self._live.console.print(printable(line), highlight=False, markup=False)
        else:
            print(printable(line), file=self._out, flush=True)

    def update(self, view: pb.JobView) -> None:
        """Show a view."""
        for instance in view.instances:
            if instance.removed:
                self._instances.pop(name_of(instance), None)
            else:
                self._instances[name_of(instance)] = instance
        self._state = view.state or self._state
        if self._live is not None:
            if not self._live.is_started:  # before that a command may end by an error
                self._live.start()
            self._live.update(self._render())
            return
        lines: Counter[str] = Counter()
        for instance in view.instances:
            key = name_of(instance)
            line = describe(instance)
            waits = instance.state == types_pb2.TASK_STATE_UNSPECIFIED and not instance.done
            if waits and not instance.stuck and (self._any_live() or instance.cause == "STORING"):
                continue  # it has its turn when others end, or at once
            if line and self._said.get(key) != line:
                self._said[key] = line
                lines[_without_place(instance, line)] += 1
        for line, times in lines.items():
            self.say(f"{times} × {line}" if times > 1 else line)
        self._say_held_back(view)

    def _say_held_back(self, view: pb.JobView) -> None:
        """Name once the command that asks the master, too: a quota is nothing a framework sees."""
        held = (n for n, i in self._instances.items() if n in self._said and may_be_held_back(i))
        if self._said_held_back or (name := next(held, None)) is None:
            return
        what = f"framework {view.framework_id}" if self._here else f"task {view.job_id}.{name}"
        if view.framework_id if self._here else view.job_id:
            self._said_held_back = True
            self.say(f"`pymesos-cli explain {what}` says what the master withholds")

    def _any_live(self) -> bool:
        return any(
            i.state != types_pb2.TASK_STATE_UNSPECIFIED and not is_terminal(i.state)
            for i in self._instances.values()
        )

    def _counts(self) -> Counter[str]:
        return Counter(
            "running, not ready yet" if runs_not_ready(i) else phase_of(i)
            for i in self._instances.values()
        )

    def _render(self) -> Any:
        from rich.text import Text

        counts = self._counts()
        summary = "  ".join(f"{phase} {number}" for phase, number in sorted(counts.items()))
        lines = [f"{self._state or 'waiting'}: {summary}"]
        notes = Counter(
            f"{i.task_name}: {i.explanation}" for i in self._instances.values() if i.explanation
        )
        for note, times in notes.most_common(MAX_LINES):
            lines.append(f"  {times} × {note}" if times > 1 else f"  {note}")
        return Text(printable_lines(lines))

    def close(self) -> None:
        """Stop the live view."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def task_ids(self) -> list[str]:
        """The ids of the tasks that were launched."""
        return [i.task_id for i in self._instances.values() if i.task_id]

    def started(self) -> bool:
        """Whether a task runs or has run."""
        return any(
            i.state == types_pb2.TASK_RUNNING
            or (i.done and i.task_id and i.HasField("exit_status"))
            for i in self._instances.values()
        )

    def all_placed(self) -> bool:
        """Whether no task waits to be placed."""
        return bool(self._instances) and all(
            i.done or i.state != types_pb2.TASK_STATE_UNSPECIFIED for i in self._instances.values()
        )

    def settled(self) -> bool:
        """Whether each instance has ended for good, or is a service that runs."""
        return bool(self._instances) and all(
            i.done or (i.service and i.state == types_pb2.TASK_RUNNING)
            for i in self._instances.values()
        )

    def all_ready(self) -> bool:
        """Whether the checks of all that runs pass; it is said once what is waited for."""
        waits_for = [i for i in self._instances.values() if runs_not_ready(i)]
        if waits_for and not self._said_not_ready:
            self._said_not_ready = True
            number = len(waits_for)
            some = "1 instance runs and is" if number == 1 else f"{number} instances run and are"
            hint = f"`pymesos-cli explain task {waits_for[0].task_id}` says why"
            self.say(f"{some} not ready yet; {hint}")
        return not waits_for

    def failed(self) -> bool:
        """Whether an instance has ended for good without having finished."""
        return any(i.done and i.state != types_pb2.TASK_FINISHED for i in self._instances.values())

    def summarize(self, *, output_shown: bool = False) -> None:
        """How it ended, with those that failed, and where to read what they wrote."""
        counts = self._counts()
        self.say(", ".join(f"{number} {phase}" for phase, number in sorted(counts.items())))
        failed = [
            i
            for i in self._instances.values()
            if i.done and i.state not in (types_pb2.TASK_FINISHED, 0)
        ]
        for instance in failed[:MAX_LINES]:
            said = self._said.get(name_of(instance), "")
            if said != describe(instance):
                self.say(f"  {instance.task_id or name_of(instance)}: {instance.explanation}")
        started = [i for i in failed if i.HasField("exit_status")]
        if started and not output_shown:
            self.say(f"  see what it wrote: pymesos-cli logs --stderr {started[0].task_id}")


def printable_lines(lines: list[str]) -> str:
    """Lines without control characters."""
    return "\n".join(printable(line) for line in lines)


def phase_of(instance: pb.InstanceView) -> str:
    """Return pending, or the state of its latest task in lower case."""
    if instance.state == types_pb2.TASK_STATE_UNSPECIFIED:
        return "stopped" if instance.done else "pending"
    return state_name(instance.state).removeprefix("TASK_").lower()


def describe(instance: pb.InstanceView) -> str:
    """One line on an instance; empty while there is nothing to say."""
    name = name_of(instance)
    if instance.removed:
        return f"{name} is gone"
    if instance.state == types_pb2.TASK_STATE_UNSPECIFIED:
        return f"{name} waits: {instance.explanation}" if instance.explanation else ""
    phase = phase_of(instance)
    if is_terminal(instance.state):
        reason = reason_name(instance.reason)
        detail = instance.explanation if instance.state != types_pb2.TASK_FINISHED else ""
        return f"{name} {phase}{f' ({reason})' if reason and not detail else ''}" + (
            f": {detail}" if detail else ""
        )
    if instance.state == types_pb2.TASK_RUNNING:
        ports = f", port {ports_of(instance)}" if instance.ports else ""
        return f"{name} running on {instance.hostname}{ports}"
    return f"{name} {phase}: {instance.explanation}" if instance.explanation else ""


def ports_of(instance: pb.InstanceView) -> str:
    """Return the ports that an instance has, and the names of those that have one."""
    named = zip_longest(instance.ports, instance.port_names[: len(instance.ports)])
    return ", ".join(f"{port} ({name})" if name else str(port) for port, name in named)


def name_of(instance: pb.InstanceView) -> str:
    """Return what tells an instance from all others of its job."""
    return instance.name or f"{instance.task_name}.{instance.instance}"  # of an older framework


def _without_place(instance: pb.InstanceView, line: str) -> str:
    """Lines of many instances that say the same are shown once."""
    if instance.state == types_pb2.TASK_RUNNING or instance.removed:
        return line
    return line.replace(f"{name_of(instance)} ", f"{instance.task_name} ", 1)
