"""Mesos' messages in JSON and protobuf, as Mesos reads and writes them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pymesos_core.mesos import media
from pymesos_core.mesos.json_messages import ConversionError, from_json, parse_json, to_json
from pymesos_core.mesos.media import Media
from pymesos_core.mesos.refusing import RefusalError
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_testing.odd_messages import messages

slow = settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)


@slow
@given(messages(mesos_scheduler.Call))
def test_a_call_survives_json(call: mesos_scheduler.Call) -> None:
    assert from_json(parse_json(to_json(call)), mesos_scheduler.Call) == call
    assert media.read(media.write(call, Media.PROTOBUF), Media.PROTOBUF, type(call)) == call


@slow
@given(messages(mesos_scheduler.Event))
def test_an_event_survives_json(event: mesos_scheduler.Event) -> None:
    assert from_json(parse_json(to_json(event)), mesos_scheduler.Event) == event


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "accept", "framework_id", "value", "subscribe", "uuid", "x"]),
            inner,
            max_size=4,
        )
    ),
)


@given(JSON)
def test_no_json_is_too_odd_to_be_refused(value: Any) -> None:
    try:
        call = from_json(value, mesos_scheduler.Call)
    except ConversionError:
        return
    assert call.IsInitialized()


@given(st.binary(max_size=64), st.sampled_from(Media))
def test_no_body_is_too_odd_to_be_refused(body: bytes, kind: Media) -> None:
    try:
        call = media.read(body, kind, mesos_scheduler.Call)
    except RefusalError as refusal:
        assert refusal.status == 400
        return
    assert call.IsInitialized()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"type":', "Failed to parse body into JSON: syntax error at line 1 near: "),
        ("", "Failed to parse body into JSON: syntax error at line 1 near: "),
        ("[1]", "Failed to convert JSON into Call protobuf: Expecting a JSON object"),
        (
            '{"type":1}',
            "Failed to convert JSON into Call protobuf:"
            " Not expecting a JSON number for field 'type'",
        ),
        (
            '{"subscribe":{"framework_info":{"name":"x"}}}',
            "Failed to convert JSON into Call protobuf:"
            " Missing required fields: subscribe.framework_info.user",
        ),
        (
            '{"acknowledge":{"uuid":"a!"}}',
            "Failed to convert JSON into Call protobuf:"
            " Failed to base64 decode bytes field 'uuid': Invalid character '!'",
        ),
        ('{"accept":{"filters":{"refuse_seconds":NaN}}}', "NaN is no number of JSON"),
        ('{"accept":{"filters":{"refuse_seconds":1e999}}}', "too large a number"),
        ('{"kill":' * 3000 + "}" * 3000, "nested too deep"),
        ('{"framework_id":{"value":"\\ud800"}}', "no Unicode text"),
        ("9" * 5000, "Failed to parse body into JSON"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_mesos(body: str, text: str) -> None:
    with pytest.raises(RefusalError) as refused:
        media.read(body.encode(), Media.JSON, mesos_scheduler.Call)
    assert text in refused.value.text
    assert refused.value.status == 400


def test_a_message_may_hold_one_of_its_own_kind() -> None:
    said = {"value": "inner", "parent": {"value": "outer"}}
    found = from_json(said, mesos.ContainerID)
    assert (found.value, found.parent.value) == ("inner", "outer")
    assert not found.parent.HasField("parent")


def test_what_is_wrong_in_a_map_is_said_of_its_field() -> None:
    with pytest.raises(ConversionError, match="Not expecting a JSON array for field 'limits'"):
        from_json({"limits": {"cpus": []}}, mesos.TaskInfo)


def test_names_of_enums_and_fields_that_are_not_known_are_left_out() -> None:
    said = {"type": "NO_SUCH", "nonsense": 1, "framework_id": {"value": "f", "more": []}}
    call = from_json(said, mesos_scheduler.Call)
    assert not call.HasField("type") and call.framework_id.value == "f"


def test_json_is_written_as_mesos_writes_it() -> None:
    status = mesos.TaskStatus(state=mesos.TASK_RUNNING, uuid=b"\x00\xff", timestamp=2.0)
    status.task_id.value = "ö"
    status.unreachable_time.nanoseconds = 2**60
    assert json.loads(to_json(status)) == {
        "task_id": {"value": "ö"},
        "state": "TASK_RUNNING",
        "timestamp": 2.0,
        "uuid": base64.b64encode(b"\x00\xff").decode(),
        "unreachable_time": {"nanoseconds": 2**60},
    }
    assert b'"timestamp":2.0' in to_json(status)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, Media.JSON),
        ("*/*", Media.JSON),
        ("application/json", Media.JSON),
        ("application/x-protobuf", Media.PROTOBUF),
        ("application/x-protobuf;q=0.5, application/json;q=0.9", Media.JSON),
        ("application/x-protobuf;q=0.9, application/json;q=0.5", Media.PROTOBUF),
        ("text/html, application/*;q=0.1", Media.JSON),
        ("application/json;q=oops, application/x-protobuf;q=0.1", Media.PROTOBUF),
    ],
)
def test_an_answer_is_in_what_is_accepted(accept: str | None, expected: Media) -> None:
    assert media.media_of_answer(accept) is expected


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", ",", ";;;,q=1"])
def test_what_cannot_be_answered_is_refused(accept: str) -> None:
    with pytest.raises(RefusalError) as refused:
        media.media_of_answer(accept)
    assert refused.value.status == 406


@pytest.mark.parametrize(
    ("content_type", "status"),
    [(None, 400), ("text/plain", 415), ("Application/JSON", 415)],
)
def test_the_type_of_a_body_is_compared_as_it_is(content_type: str | None, status: int) -> None:
    with pytest.raises(RefusalError) as refused:
        media.media_of_body(content_type)
    assert refused.value.status == status


def test_a_record_is_its_length_and_itself() -> None:
    assert media.record(b"ab\n") == b"3\nab\n"
