"""A framework of several roles, whose driver keeps them over failovers."""

from __future__ import annotations

from pymesos_proto.v1 import scheduler_pb2 as spb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk.core import (
    Answered,
    Connected,
    Deliver,
    Disconnect,
    Disconnected,
    Fail,
    Lost,
)
from pymesos_testing.driver_harness import Harness


class TestOtherRoles:
    """A framework that is in other roles than it began with."""

    @staticmethod
    def begun(*capabilities: spb.MasterCapability) -> Harness:
        h = Harness()
        h.core.standing.info.roles.append("eng")
        h.core.standing.offer_constraints = {"eng": spb.OfferConstraints(groups=[{}])}
        h.connect()
        h.core.master_capabilities = frozenset(capabilities)
        return h

    @staticmethod
    def update(h: Harness, *roles: str) -> None:
        info = pb.FrameworkInfo(name="f", roles=roles)
        h.call(update_framework=spb.Call.UpdateFramework(framework_info=info))

    @staticmethod
    def taken(h: Harness) -> None:
        h.hear(spb.Event(framework_updated=spb.Event.FrameworkUpdated()))

    @staticmethod
    def refused(h: Harness, why: str) -> None:
        h.hear(spb.Event(refused=spb.Event.Refused(call="UPDATE_FRAMEWORK", message=why)))

    @staticmethod
    def said(h: Harness, kind: str = "update_framework") -> list[list[str]]:
        return [list(getattr(call, kind).framework_info.roles) for call in h.sent(kind)]

    @staticmethod
    def answers(h: Harness) -> list[tuple[list[str], str]]:
        return [(list(e.info.roles), e.problem) for e in h.effects if isinstance(e, Answered)]

    def test_what_a_master_refuses_is_not_said_at_the_next_subscription(self) -> None:
        h = self.begun(spb.UPDATES_FRAMEWORKS)
        self.update(h, "eng", "web")
        self.taken(h)
        self.update(h, "eng", "web", "secret")
        self.refused(h, "denied")
        assert self.answers(h) == [(["eng", "web"], ""), (["eng", "web", "secret"], "denied")]
        h.feed(Disconnected(1))
        h.connect()
        assert self.said(h, "subscribe")[-1] == ["eng", "web"]
        assert len(self.said(h)) == 2, "nor after it"

    def test_what_is_not_answered_is_said_again_after_the_next_subscription(self) -> None:
        h = self.begun(spb.UPDATES_FRAMEWORKS)
        self.update(h, "eng", "web")
        h.feed(Disconnected(1))
        self.update(h, "eng", "web", "db")
        h.connection = 2
        h.feed(Connected(2))
        assert self.said(h, "subscribe")[-1] == ["eng"], "the other may be refused"
        known = spb.Event.Subscribed(
            framework_id="id", master_capabilities=[spb.UPDATES_FRAMEWORKS]
        )
        h.hear(spb.Event(subscribed=known))
        assert self.said(h) == [["eng", "web"], ["eng", "web", "db"]]

    def test_one_is_answered_before_the_next_is_said(self) -> None:
        h = self.begun(spb.UPDATES_FRAMEWORKS)
        self.update(h, "eng", "secret")
        self.update(h, "eng", "secret", "web")
        self.update(h, "eng", "web")
        assert self.said(h) == [["eng", "secret"]]
        self.refused(h, "denied")
        assert self.said(h) == [["eng", "secret"], ["eng", "web"]]
        self.taken(h)
        assert self.answers(h) == [(["eng", "secret"], "denied"), (["eng", "web"], "")]
        self.taken(h)
        self.refused(h, "nothing was asked")
        assert len(self.answers(h)) == 2

    def test_what_is_said_of_a_role_that_waits_to_be_said_goes_with_it(self) -> None:
        h = self.begun(spb.UPDATES_FRAMEWORKS)
        self.update(h, "eng", "web")
        self.update(h, "eng", "web", "db")
        h.call(suppress=spb.Call.Suppress(roles=["db"]))
        h.call(suppress=spb.Call.Suppress(roles=["db", "web"]))
        h.call(revive=spb.Call.Revive(roles=["web"]))
        assert [list(call.suppress.roles) for call in h.sent("suppress")] == [["web"]]
        assert [list(call.revive.roles) for call in h.sent("revive")] == [["web"]]
        self.taken(h)
        said = h.sent("update_framework")[-1].update_framework
        assert list(said.framework_info.roles) == ["eng", "web", "db"]
        assert list(said.suppressed_roles) == ["db"]

    def test_what_was_suppressed_stays_so_where_leaving_is_refused(self) -> None:
        h = self.begun(spb.UPDATES_FRAMEWORKS)
        h.call(suppress=spb.Call.Suppress(roles=["eng"]))
        self.update(h, "web")
        self.refused(h, "denied")
        h.feed(Disconnected(1))
        h.connect()
        said = h.sent("subscribe")[-1].subscribe
        assert (list(said.framework_info.roles), list(said.suppressed_roles)) == (["eng"], ["eng"])

    def test_a_role_that_was_left_is_entered_again_with_offers(self) -> None:
        h = self.begun(spb.UPDATES_FRAMEWORKS)
        h.call(suppress=spb.Call.Suppress(roles=["eng"]))
        for roles in (["web"], ["eng", "web"]):
            self.update(h, *roles)
            self.taken(h)
        assert not h.sent("update_framework")[-1].update_framework.suppressed_roles

    def test_what_is_handed_out_is_not_what_was_taken(self) -> None:
        h = self.begun(spb.UPDATES_FRAMEWORKS)
        self.update(h, "eng", "web")
        self.taken(h)
        (answered,) = (e for e in h.effects if isinstance(e, Answered))
        answered.info.roles.append("db")
        h.call(update_framework=spb.Call.UpdateFramework(framework_info=answered.info))
        assert self.said(h)[-1] == ["eng", "web", "db"]

    def test_it_begins_in_some_and_says_the_others_then(self) -> None:
        h = Harness()
        h.core.standing.info.roles[:] = ["*", "secret"]
        h.core.standing.begin_in(["*"])
        h.feed(Connected(1))
        assert self.said(h, "subscribe") == [["*"]]
        h.connection = 1
        known = spb.Event.Subscribed(
            framework_id="id", master_capabilities=[spb.UPDATES_FRAMEWORKS]
        )
        h.hear(spb.Event(subscribed=known))
        assert self.said(h) == [["*", "secret"]]
        self.refused(h, "denied")
        assert self.answers(h) == [(["*", "secret"], "denied")]
        assert not [e for e in h.effects if isinstance(e, Fail)]
        h.feed(Disconnected(1))
        h.connect()
        assert self.said(h, "subscribe")[-1] == ["*"]

    def test_what_is_so_already_is_not_said(self) -> None:
        h = self.begun(spb.UPDATES_FRAMEWORKS)
        self.update(h, "eng")
        assert not self.said(h)

    def test_a_master_that_knows_no_such_call_is_left_after_its_subscription_is_told(self) -> None:
        h = Harness()
        h.feed(Connected(1))
        self.update(h, "web")
        h.connection = 1
        h.hear(spb.Event(subscribed=spb.Event.Subscribed(framework_id="id")))
        told = [type(e) for e in h.effects if isinstance(e, Deliver | Disconnect | Lost)]
        assert told == [Deliver, Disconnect, Lost]
        h.connect()
        assert self.said(h, "subscribe")[-1] == ["web"] and isinstance(h.effects[-1], Deliver)

    def test_they_are_said_to_the_master_and_at_each_subscription(self) -> None:
        h = self.begun(spb.UPDATES_FRAMEWORKS)
        h.call(suppress=spb.Call.Suppress(roles=["eng"]))
        self.update(h, "eng", "web")
        (said,) = (call.update_framework for call in h.sent("update_framework"))
        assert said.framework_info == pb.FrameworkInfo(
            name="f", framework_id="id", roles=["eng", "web"]
        )
        assert list(said.suppressed_roles) == ["eng"] and list(said.offer_constraints) == ["eng"]
        self.taken(h)
        self.update(h, "web")
        said = h.sent("update_framework")[-1].update_framework
        assert not said.suppressed_roles and not said.offer_constraints
        self.taken(h)
        h.feed(Disconnected(1))
        h.connect()
        said_then = h.sent("subscribe")[-1].subscribe
        assert list(said_then.framework_info.roles) == ["web"]
        assert not said_then.suppressed_roles and not said_then.offer_constraints

    def test_a_master_that_knows_no_such_call_is_subscribed_to_again(self) -> None:
        h = self.begun()
        self.update(h, "web")
        assert not h.sent("update_framework")
        assert [e.connection_id for e in h.effects if isinstance(e, Disconnect)] == [1]
        h.connect()
        assert list(h.sent("subscribe")[-1].subscribe.framework_info.roles) == ["web"]

    def test_before_the_first_subscription_they_are_said_by_it(self) -> None:
        h = Harness()
        self.update(h, "web")
        h.connect()
        assert list(h.sent("subscribe")[-1].subscribe.framework_info.roles) == ["web"]
        assert not h.sent("update_framework")

    def test_what_changes_while_a_subscription_is_on_its_way_is_said_after_it(self) -> None:
        h = Harness()
        h.feed(Connected(1))
        self.update(h, "web")
        h.connection = 1
        subscribed = spb.Event.Subscribed(
            framework_id="id", master_capabilities=[spb.UPDATES_FRAMEWORKS]
        )
        h.hear(spb.Event(subscribed=subscribed))
        (said,) = (call.update_framework for call in h.sent("update_framework"))
        assert list(said.framework_info.roles) == ["web"]
        assert said.framework_info.framework_id == "id"
