"""What a framework says of itself to masters, and what they have taken it in as."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymesos_core.copies import copy_of
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb


@dataclass
class Standing:
    """A framework's standing with masters. One update is said at a time: a refusal names none."""

    info: pb.FrameworkInfo  # what the framework is to be
    offer_constraints: Mapping[str, scheduler_pb.OfferConstraints] = field(default_factory=dict)
    optimistic_roles: Sequence[str] = ()
    suppressed: set[str] = field(default_factory=set)
    taken: pb.FrameworkInfo | None = None  # as what it subscribes, and masters have taken it in
    _said: pb.FrameworkInfo | None = None  # what the master has not answered yet

    def begin_in(self, roles: Iterable[str]) -> None:
        """Subscribe in these roles at first, and say the others then."""
        self.taken = copy_of(self.info)
        self.taken.roles[:] = roles

    @property
    def is_due(self) -> bool:
        """Whether something is to be said, and nothing to be answered first."""
        return self._said is None and self.info != self.taken

    def subscribe(self) -> scheduler_pb.Call:
        """Return what is said at the beginning of a stream.

        What is new is said after it: that may be refused, and a refused SUBSCRIBE ends it all.
        """
        terms = self._terms(self.taken or self.info)
        return scheduler_pb.Call(subscribe=scheduler_pb.Call.Subscribe(**terms))

    def update(self) -> scheduler_pb.Call:
        """Return what says that the framework is something else now."""
        terms = self._terms(self.info)
        return scheduler_pb.Call(update_framework=scheduler_pb.Call.UpdateFramework(**terms))

    def _terms(self, info: pb.FrameworkInfo) -> dict[str, Any]:
        self._said = copy_of(info)
        mine = roles_of(info)
        return {
            "framework_info": info,
            "suppressed_roles": sorted(self.suppressed & mine),
            "offer_constraints": {r: c for r, c in self.offer_constraints.items() if r in mine},
            "optimistic_roles": [role for role in self.optimistic_roles if role in mine],
        }

    def be(self, info: pb.FrameworkInfo) -> None:
        """Be what `info` says, but under the same id and epoch."""
        framework_id, epoch = self.info.framework_id, self.info.epoch
        self.info.CopyFrom(info)
        self.info.framework_id, self.info.epoch = framework_id, epoch

    def subscribed(self, framework_id: str) -> None:
        """A master has taken the framework in as what it said, under this id."""
        self.info.framework_id = framework_id
        self.taken, self._said = self._said, None
        if self.taken is not None:
            self.taken.framework_id = framework_id
        self.suppressed &= self._mine()

    def answered(self, problem: str) -> pb.FrameworkInfo | None:
        """Take in that an update is in force, or not for a problem; return what that said.

        What is refused is said no more. None: nothing was said.
        """
        said, self._said = self._said, None
        if said is None or self.taken is None:
            return None
        if not problem:
            self.taken = said
            # Not before: where it is refused, what is wanted of a role stays as it was.
            self.suppressed &= self._mine()
        elif said == self.info:
            self.be(self.taken)
        return copy_of(said)

    def suppress(self, named: Iterable[str]) -> None:
        """Keep in mind of which roles nothing is wanted: these, or all."""
        # A wrong one is refused, and must not be in the next SUBSCRIBE.
        mine = self._mine()
        self.suppressed |= mine & set(named or mine)

    def revive(self, named: Iterable[str]) -> None:
        """Keep in mind that offers of these roles, or of all, are wanted."""
        self.suppressed -= set(named or self._mine())

    def _mine(self) -> set[str]:
        """The roles that it is in, and those that it is to be in."""
        return roles_of(self.info) | roles_of(self.taken or self.info)

    def unsaid(self) -> set[str]:
        """Return the roles that no master was told of yet: the next update says all of them."""
        return roles_of(self.info) - roles_of(self._said or self.taken or self.info)


def roles_of(info: pb.FrameworkInfo) -> set[str]:
    """Return the roles that a framework is in by what it says of itself."""
    return set(info.roles or ["*"])
