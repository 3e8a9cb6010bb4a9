"""The two encodings of Mesos' API, and how a stream of messages is cut into records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum

from google.protobuf.message import DecodeError, Message

from pymesos_core.mesos.json_messages import (
    ConversionError,
    Fields,
    M,
    fields_to_json,
    from_json,
    parse_json,
)
from pymesos_core.mesos.json_messages import to_json as message_to_json
from pymesos_core.mesos.refusing import RefusalError, bad_request

NOT_ACCEPTABLE = RefusalError(
    406, "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"
)
MAX_DIGITS = 10  # of the length of a record
MAX_RANGES = 32  # that are looked at in a header Accept


class Media(StrEnum):
    """How a message is written."""

    JSON = "application/json"
    PROTOBUF = "application/x-protobuf"


def media_of_body(content_type: str | None) -> Media:
    """Return the encoding of a request. Raises RefusalError.

    As Mesos compares it: neither letters of another case nor a charset are accepted.
    """
    if content_type is None:
        raise bad_request("Expecting 'Content-Type' to be present")
    try:
        return Media(content_type)
    except ValueError:
        raise RefusalError(
            415, "Expecting 'Content-Type' of application/json or application/x-protobuf"
        ) from None


def media_of_answer(accept: str | None) -> Media:
    """Return the encoding of an answer, JSON where both may be. Raises RefusalError."""
    if accept is None or not accept.strip():
        return Media.JSON
    best: dict[str, float] = {}
    for part in accept.split(",")[:MAX_RANGES]:
        name, *parameters = (p.strip() for p in part.split(";"))
        best[name.lower()] = _quality(parameters)
    weights = {
        media: next((best[name] for name in (media, "application/*", "*/*") if name in best), 0.0)
        for media in Media
    }
    if not any(weights.values()):
        raise NOT_ACCEPTABLE
    return max(Media, key=lambda media: weights[media])


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def read(body: bytes, media: Media, kind: type[M]) -> M:
    """Return the message that a request holds. Raises RefusalError."""
    if media is Media.PROTOBUF:
        message = kind()
        try:
            message.ParseFromString(body)
        except DecodeError:
            raise bad_request("Failed to parse body into Call protobuf") from None
        return message
    try:
        value = parse_json(body)
    except ConversionError as error:
        raise bad_request(f"Failed to parse body into JSON: {error}") from None
    try:
        return from_json(value, kind)
    except ConversionError as error:
        raise bad_request(f"Failed to convert JSON into Call protobuf: {error}") from None


def write(message: Message, media: Media) -> bytes:
    """Return a message in an encoding."""
    return message.SerializeToString() if media is Media.PROTOBUF else message_to_json(message)


def write_fields(fields: Fields, kind: type[Message], media: Media) -> bytes:
    """Return the message of a kind that is made of these, in an encoding."""
    if media is Media.JSON:
        return fields_to_json(fields)
    return kind(**fields).SerializeToString()


async def records_of(parts: AsyncIterator[bytes], most_bytes: int) -> AsyncIterator[bytes]:
    """Yield the records of a stream. Raises RefusalError for what is none, or larger."""
    rest = bytearray()
    size: int | None = None  # of the record that it begins with; None: there is its length before
    async for part in parts:
        rest += part
        while True:
            if size is None:
                size = _take_length(rest, most_bytes)
            if size is None or len(rest) < size:
                break
            data, size = bytes(rest[:size]), None
            del rest[: len(data)]
            yield data


def _take_length(rest: bytearray, most_bytes: int) -> int | None:
    """Take the length of a record, unless it has not come whole. Raises RefusalError."""
    head, line_feed, _ = bytes(rest[: MAX_DIGITS + 1]).partition(b"\n")
    if len(head) > MAX_DIGITS or (head and not head.isdigit()):
        raise bad_request(f"Decoding failure: {head[:MAX_DIGITS]!r} is no length of a record")
    if not line_feed:
        return None
    del rest[: len(head) + 1]
    if (size := int(head or b"0")) > most_bytes:
        raise RefusalError(413, f"a record has more than {most_bytes} bytes")
    return size


def record(data: bytes) -> bytes:
    """Return one record of a stream: its length, a line feed, and itself (RecordIO)."""
    return b"%d\n%b" % (len(data), data)
