"""Images that a task's own secret fetches, from a registry with users."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from pymesos_agent.containers.settings import ImageSettings
from pymesos_agent.runtimes.docker.images import PullError, fetch
from pymesos_agent.runtimes.oci.images import Images
from pymesos_agent.runtimes.oci.skopeo import ImageError
from pymesos_testing.components import MissingError
from pymesos_testing.registry import busybox_layer, push, registry, write_layout

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks images")
LOGIN = "user:secret"
# The password, hashed by bcrypt.
HTPASSWD = "user:$2b$05$.N6uVtJKQsI0Dt2S7h6JnOVsyzjINuEOEPwN6O9.m2/B4rGE3t2GO\n"
REFUSED = r"unauthorized|authentication|no basic auth"


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("private")
    try:
        with registry(folder / "registry", HTPASSWD) as where:
            write_layout(folder / "layout", [busybox_layer()], {})
            push(folder / "layout", f"{where}/app:1", LOGIN)
            yield f"{where}/app:1"
    except MissingError as error:
        pytest.skip(str(error))


def below(folder: Path, text: bytes) -> list[str]:
    argv = ["grep", "-rlF", "--binary-files=text", text.decode(), str(folder)]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()


async def test_it_is_fetched_for_those_who_present_the_same(private: str, tmp_path: Path) -> None:
    images = Images(tmp_path, ImageSettings(), lambda: ())
    images.start()
    with pytest.raises(ImageError, match=REFUSED):
        await images.get(private, lambda _: None)
    assert await images.get(private, lambda _: None, LOGIN)
    told: list[str] = []
    assert await images.get(private, told.append, LOGIN)
    assert told == [], "it is here"
    for login in ("", "user:wrong", "other:secret"):
        with pytest.raises(ImageError, match=REFUSED) as refused:
            await images.get(private, lambda _: None, login)
        assert "wrong" not in str(refused.value)
    for written in (LOGIN.encode(), base64.b64encode(LOGIN.encode())):
        assert not below(tmp_path, written)
    await images.close()


def test_an_engine_is_told_it_with_the_call(private: str, docker_host: str) -> None:
    client: Any = docker.APIClient(base_url=docker_host)
    for login in ("", "user:wrong"):
        with pytest.raises(PullError, match=REFUSED):
            fetch(client, private, lambda _: None, lambda: False, login)
    fetch(client, private, lambda _: None, lambda: False, LOGIN)
    assert client.inspect_image(private)
    client.remove_image(private, force=True)
    client.close()
