"""Images of an engine: fetching them, and who a container of one runs as."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from docker.errors import APIError, NotFound

from pymesos_agent.containers import users
from pymesos_agent.runtimes.docker.engine import ENGINE_ERRORS, engine_name

PROGRESS_S = 5.0  # between two reports of how far a fetching is
CHUNK_BYTES = 64 * 1024
NO_PROGRAM = "/pymesos-trial"
EMPTY_TAR = bytes(10240)


class PullError(Exception):
    """The engine could not fetch an image: the message says why, in its words."""


class StoppedError(Exception):
    """Nobody wants the image any more."""


def fetch(
    streams: Any,
    image: str,
    tell: Callable[[str], None],
    stopped: Callable[[], bool],
    login: str = "",
) -> None:
    """Fetch an image, and tell now and then how far it is; `login` is USER:PASSWORD, if any.

    Raises StoppedError, PullError, and one of engine.ENGINE_ERRORS.
    """
    tagged = ":" in image.rsplit("/", 1)[-1] or "@" in image
    layers: dict[str, tuple[int, int]] = {}
    told_s = time.monotonic()
    user, _, password = login.partition(":")
    auth = {"username": user, "password": password} if login else None
    name = image if tagged else f"{image}:latest"
    try:
        for event in streams.pull(name, stream=True, decode=True, auth_config=auth):
            if stopped():
                raise StoppedError
            if "error" in event:
                raise PullError(event["error"])
            detail = event.get("progressDetail") or {}
            sizes = (detail.get("current"), detail.get("total"))
            known = [size for size in sizes if isinstance(size, int)]
            if event.get("status") == "Downloading" and len(known) == 2:
                layers[str(event.get("id"))] = (known[0], known[1])
            if layers and time.monotonic() - told_s >= PROGRESS_S:
                told_s = time.monotonic()
                done, total = (sum(n) // 2**20 for n in zip(*layers.values(), strict=True))
                tell(f"The image is being fetched: {done} of {total} MiB")
    except APIError as error:
        raise PullError(str(error.explanation or error)) from error


def try_engine(client: Any, name: str, labels: Mapping[str, str]) -> str:
    """Why an engine can start no container, if it cannot; nothing is run.

    The container carries `labels`, by which it is found if this process ends before the trial does.
    An image of nothing is made for it, since what an image of a job says may be wrong by itself,
    and a container of a program that is not there, until the engine finds that out and names it.
    """
    made, image = engine_name(name), ""
    try:
        with contextlib.suppress(NotFound):
            client.remove_container(made, force=True)
        image = json.loads(client.import_image_from_data(EMPTY_TAR))["status"]
        client.create_container(image, entrypoint=[NO_PROGRAM], name=made, labels=labels)
        client.start(made)
    except APIError as error:
        text = str(error.explanation or error)
        return "" if NO_PROGRAM in text else text
    except ENGINE_ERRORS:
        return ""  # that it is away is told otherwise
    finally:
        remove_trial(client, made, image)
    return ""


def remove_trial(client: Any, container: str, image: str) -> None:
    """Remove the container and the image of a trial, as far as they are there."""
    with contextlib.suppress(*ENGINE_ERRORS):
        client.remove_container(container, force=True)
    if image:
        with contextlib.suppress(*ENGINE_ERRORS):
            client.remove_image(image, force=True)


def read_etc(client: Any, name: str, file: str) -> str:
    """A file of a container's /etc; empty when it has none."""
    try:
        chunks, _ = client.get_archive(name, f"/etc/{file}", chunk_size=CHUNK_BYTES)
    except NotFound:
        return ""
    data = b"".join(islice(chunks, users.MAX_FILE_BYTES // CHUNK_BYTES))
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            member = archive.next()
            content = archive.extractfile(member) if member and member.isreg() else None
            return content.read().decode("utf-8", "replace") if content is not None else ""
    except (tarfile.TarError, EOFError):
        return ""
