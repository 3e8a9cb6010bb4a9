"""Silences keep alerts from people, for a while, and are kept over restarts."""

from __future__ import annotations

import json

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.alerts.silences import read_silence
from pymesos_testing.alert_harness import Harness, alert, service


@pytest.fixture
def h() -> Harness:
    return Harness().start()


def silence(h: Harness, for_s: float, task: str = "", when: str = "", asked: int = 1) -> None:
    h.feed(c.AlertsSilenced("db-r", task, when, for_s, "operator/eve", "we know", asked))
    assert c.Done(asked) in h.effects


class TestSilence:
    def test_what_fires_meanwhile_is_told_when_it_is_over(self, h: Harness) -> None:
        h.run(service(alert("unhealthy")), healthy=True)
        silence(h, 100)
        h.say("db-r.t.0.1", healthy=False)
        h.advance(99)
        assert (h.told, h.states) == ([], ["firing"])
        h.advance(2)
        assert h.told == [("unhealthy", "firing")]
        assert not any(kind == "silence" for kind, _ in h.records)

    def test_what_is_over_by_then_is_told_to_nobody(self, h: Harness) -> None:
        h.run(service(alert("unhealthy")), healthy=True)
        silence(h, 100)
        h.say("db-r.t.0.1", healthy=False)
        h.advance(60)
        h.say("db-r.t.0.1", healthy=True)
        h.advance(60)
        assert h.told == [] and h.states == []

    def test_what_was_told_before_goes_on(self, h: Harness) -> None:
        h.run(service(alert("unhealthy", 0)), healthy=True)
        h.say("db-r.t.0.1", healthy=False)
        silence(h, 100)
        h.say("db-r.t.0.1", healthy=True)
        assert h.told == [("unhealthy", "firing"), ("unhealthy", "resolved")]

    @pytest.fixture
    def owed(self, h: Harness) -> Harness:
        """An alert is over, which was not taken, and has come back in silence."""
        h.run(service(alert("unhealthy", 10)), healthy=True)
        h.say("db-r.t.0.1", healthy=False)
        h.advance(11)
        h.away = True
        h.say("db-r.t.0.1", healthy=True)
        silence(h, 100)
        h.say("db-r.t.0.1", healthy=False)
        h.advance(11)
        assert h.told == [("unhealthy", "firing"), ("unhealthy", "resolved")]
        return h

    def test_that_it_was_over_is_owed_though_it_comes_back_in_silence(self, owed: Harness) -> None:
        again = owed.restarted()
        assert again.told == [("unhealthy", "resolved")]  # which is taken now
        again.start()
        again.say("db-r.t.0.1", healthy=False)
        again.advance(11)
        assert again.states == ["firing"] and len(again.told) == 1
        again.say("db-r.t.0.1", healthy=True)
        assert again.states == [] and len(again.told) == 1

    def test_what_has_come_back_fires_in_silence_once_it_is_known_to_have_been_over(
        self, owed: Harness
    ) -> None:
        over = owed.of(c.Tell)[-1]
        assert isinstance(over, c.Tell)
        owed.take(over.notice)
        assert owed.states == ["firing"] and len(owed.told) == 2

    def test_what_has_come_back_is_told_once_it_is_silenced_no_more(self, owed: Harness) -> None:
        silence(owed, 0, asked=2)
        assert owed.states == ["firing"] and owed.told[2:] == [("unhealthy", "firing")]

    def test_what_has_come_back_and_ends_in_silence_is_told_to_be_over(self, owed: Harness) -> None:
        owed.say("db-r.t.0.1", healthy=True)
        assert owed.restarted().told == [("unhealthy", "resolved")]

    def test_until_somebody_ends_it(self, h: Harness) -> None:
        h.run(service(alert("unhealthy", 0)), healthy=True)
        silence(h, 1e6)
        h.say("db-r.t.0.1", healthy=False)
        assert h.told == []
        silence(h, 0, asked=2)
        assert h.told == [("unhealthy", "firing")]

    @pytest.mark.parametrize(
        ("task", "when", "told"),
        [("", "", []), ("t", "", []), ("", "below", ["unhealthy"]), ("t", "unhealthy", ["below"]),
         ("u", "", ["below", "unhealthy"])],
    )  # fmt: skip
    def test_of_what_is_meant(self, h: Harness, task: str, when: str, told: list[str]) -> None:
        h.run(service(alert("below", 1), alert("unhealthy", 1)), healthy=True)
        h.advance(10)
        silence(h, 100, task, when)
        h.say("db-r.t.0.1", healthy=False)
        h.advance(5)
        assert [what for what, _ in h.told] == told

    def test_it_goes_on_over_a_restart(self, h: Harness) -> None:
        h.run(service(alert("unhealthy", 0)), healthy=True)
        silence(h, 100)
        h.say("db-r.t.0.1", healthy=False)
        again = h.restarted(after_s=10).start()
        again.say("db-r.t.0.1", healthy=False)
        again.advance(85)
        assert again.told == [] and again.states == ["firing"]
        again.advance(10)
        assert again.told == [("unhealthy", "firing")]

    def test_of_a_job_that_is_gone(self, h: Harness) -> None:
        silence(h, 100)
        assert not list(h.core.silences)
        h.run(service(alert("unhealthy", 0)), healthy=True)
        silence(h, 100)
        h.records["quarantine", "db-r"] = b"for a test"
        again = h.restarted().start()
        again.feed(c.QuarantineReleased("db-r", discard=True))
        assert not any(kind == "silence" for kind, _ in again.records)
        again.advance(200)

    def test_a_record_that_is_no_silence(self) -> None:
        good = {"until_s": 1.0, "by": "", "why": ""}
        assert read_silence("j-1/t/below", json.dumps(good).encode()).until_s == 1
        changes = ({"until_s": -1}, {"until_s": "x"}, {"by": 1}, {"why": None})
        for change in changes:
            with pytest.raises(ValueError, match="silence"):
                read_silence("j-1//", json.dumps({**good, **change}).encode())
        for key in ("j-1/t", "/t/below", "j-1/t/on fire"):
            with pytest.raises(ValueError, match="no key"):
                read_silence(key, json.dumps(good).encode())
