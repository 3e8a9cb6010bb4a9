"""Whether two tasks present the same credentials for an image, and nothing else, is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pymesos_agent.runtimes.oci.credentials import KEY_BYTES, credentials_id, key_of

KEY = bytes(KEY_BYTES)
AUTHS = {
    "https://index.docker.io/v1/": {"auth": "hub"},
    "registry.corp": {"auth": "corp"},
    "registry.corp/team": {"auth": "team"},
    "registry.corp:5000": {"auth": "other"},
}


@pytest.fixture
def auth(tmp_path: Path) -> Path:
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": AUTHS, "credHelpers": {"quay.io": "pass"}}))
    return path


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("nginx", "docker.io/a/b:1", True),
        ("registry.corp/x:1", "registry.corp/y/z@sha256:" + "0" * 64, True),
        ("registry.corp/team/x", "registry.corp/teams/x", False),
        ("registry.corp/x", "registry.corp:5000/x", False),
        ("registry.corp/x", "nginx", False),
        ("quay.io/a/b", "quay.io/c", True),
    ],
)
def test_whose_they_are(auth: Path, one: str, other: str, same: bool) -> None:
    ids = [credentials_id(reference, auth, KEY) for reference in (one, other)]
    assert all(ids) and (ids[0] == ids[1]) is same


def test_none_and_other_ones(auth: Path) -> None:
    assert not credentials_id("ghcr.io/a", auth, KEY)
    assert not credentials_id("oci:/srv/x:1", auth, KEY)
    before = credentials_id("nginx", auth, KEY)
    assert before != credentials_id("nginx", auth, bytes([1] * KEY_BYTES)), "not without the key"
    auth.write_text(json.dumps({"auths": {"docker.io": {"auth": "rotated"}}}))
    assert before != credentials_id("nginx", auth, KEY)
    for text in ("", "[]", '{"auths": 1}', "{"):
        auth.write_text(text)
        assert not credentials_id("nginx", auth, KEY)


def test_where_skopeo_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not credentials_id("registry.corp/x", None, KEY)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": AUTHS}))
    assert credentials_id("registry.corp/x", None, KEY)


def test_the_key_of_a_store(tmp_path: Path) -> None:
    key = key_of(tmp_path)
    assert len(key) == KEY_BYTES and key_of(tmp_path) == key
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
