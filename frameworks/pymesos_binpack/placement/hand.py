"""The offers in hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from pymesos_binpack.placement.agents import OfferedAgent
from pymesos_core.resources import EMPTY, Resources, for_good, from_proto, is_revocable
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(frozen=True)
class AgentOffers:
    """All that one agent offers, by one or several offers: for good, or as revocable."""

    offer_ids: tuple[str, ...]
    agent: OfferedAgent
    available: Resources
    revocable: bool = False


def agent_of(offer: pb.Offer) -> OfferedAgent:
    """What an offer tells of its agent."""
    attributes = {a.name: a.text for a in offer.attributes} | {"hostname": offer.hostname}
    total = for_good(from_proto(offer.agent_total or offer.resources))
    can = offer.agent_capabilities
    return OfferedAgent(
        offer.agent_id,
        attributes,
        total,
        tuple(offer.runtimes),
        knows_secrets=pb.SECRETS in can,
        knows_signals=pb.KILL_SIGNAL in can,
        knows_config=pb.CONFIG in can,
        knows_addresses=pb.ADDRESSES in can,
        knows_secret_addresses=pb.SECRET_ADDRESSES in can,
        ip=offer.agent_ip,
    )


def offers_of(
    ids: tuple[str, ...], agent: OfferedAgent, available: Resources
) -> tuple[AgentOffers, ...]:
    """What an agent offers, apart what may be taken back: no task has some of both."""
    if not is_revocable(available):
        return (AgentOffers(ids, agent, available),)
    revocable = available.where(lambda tag: tag.revocable)
    both = AgentOffers(ids, agent, for_good(available)), AgentOffers(ids, agent, revocable, True)
    return tuple(each for each in both if each.available)


@dataclass
class OffersInHand:
    """The offers in hand, by agent."""

    offers: dict[str, pb.Offer] = field(default_factory=dict)
    since_s: dict[str, float] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)  # kept back for a gang
    gang_waits: bool = False  # so what is declined is to come again soon

    def add(self, offer: pb.Offer, now_s: float) -> None:
        self.offers[offer.offer_id] = offer
        self.since_s[offer.offer_id] = now_s

    def drop(self, offer_id: str) -> None:
        self.offers.pop(offer_id, None)
        self.since_s.pop(offer_id, None)
        self.held.discard(offer_id)

    def clear(self) -> None:
        self.offers.clear()
        self.since_s.clear()
        self.held.clear()

    def by_agent(self) -> list[AgentOffers]:
        grouped: dict[str, list[pb.Offer]] = {}
        for offer in self.offers.values():
            grouped.setdefault(offer.agent_id, []).append(offer)
        out: list[AgentOffers] = []
        for offers in grouped.values():
            available = EMPTY
            for offer in offers:
                available = available + from_proto(offer.resources)
            ids = tuple(offer.offer_id for offer in offers)
            out += offers_of(ids, agent_of(offers[0]), available)
        return out
