"""The least that makes an offer worth sending (Mesos' --min_allocatable_resources)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymesos_core.resource_values import MILLI

Scalars = Mapping[str, int]  # name → thousandths

# Mesos' MIN_CPUS and MIN_MEM: either is enough.
DEFAULT: tuple[Scalars, ...] = ({"cpus": 10}, {"mem": 32 * MILLI})


class Minimum:
    """Amounts of which any one makes an offer worth sending; each may be of several resources."""

    def __init__(self, alternatives: Sequence[Scalars] = DEFAULT) -> None:
        assert alternatives
        self._alternatives = tuple(tuple(each.items()) for each in alternatives)

    def met(self, scalars: Scalars) -> bool:
        """Whether so much is worth an offer."""
        for alternative in self._alternatives:
            for name, value in alternative:
                if scalars.get(name, 0) < value:
                    break
            else:
                return True
        return False

    def met_within(self, bounds: Scalars) -> bool:
        """Whether what is bounded so can be worth an offer; what is not named has no bound."""
        return any(
            all(bounds.get(name, value) >= value for name, value in alternative)
            for alternative in self._alternatives
        )
