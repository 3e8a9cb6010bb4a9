"""A job's views over several connections, of which each begins with all that there is."""

from __future__ import annotations

from pymesos_cli.jobs.progress import name_of
from pymesos_proto.v1 import jobs_pb2 as pb


class Following:
    """The instances that were told of. What is forgotten between two connections nobody tells."""

    def __init__(self) -> None:
        self._known: dict[str, pb.InstanceView] = {}
        self._told: set[str] | None = None  # at the beginning of a connection, so far

    def begin(self) -> None:
        """There is another connection."""
        self._told = set()

    def take(self, view: pb.JobView) -> pb.JobView:
        """Return a view; the first that is whole says, too, which instances are no more."""
        for instance in view.instances:
            name = name_of(instance)
            if instance.removed:
                self._known.pop(name, None)
                continue
            self._known[name] = instance
            if self._told is not None:
                self._told.add(name)
        if self._told is None or view.more:
            return view
        for name in sorted(self._known.keys() - self._told):
            gone = pb.InstanceView()
            gone.CopyFrom(self._known.pop(name))
            gone.removed = gone.done = True
            view.instances.append(gone)
        self._told = None
        return view
