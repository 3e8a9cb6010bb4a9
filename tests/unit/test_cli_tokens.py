"""What `cluster join` and `cluster tokens` say when they cannot do what is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest
from click.testing import CliRunner

from pymesos_cli.certificates import enrolment
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.main import main
from pymesos_core.security.joining import JoinError
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2 as types_pb

TOKEN = f"pymesos.{'A' * 43}.{'A' * 43}@127.0.0.1:5053"


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def join(*_: Any) -> None:
        raise JoinError("the token was used before")

    monkeypatch.setattr(enrolment, "join", join)


@pytest.mark.usefixtures("refused")
def test_who_joins_again_hears_that_the_folder_has_a_certificate(tmp_path: Path) -> None:
    made = ("cluster", "init", str(tmp_path / "a"), "--name", "prod")
    assert CliRunner().invoke(main, made).exit_code == 0
    folder = tmp_path / "a/operator"
    with pytest.raises(click.ClickException) as raised:
        enrolment.join_cluster(TOKEN, None, folder)
    said = raised.value.message
    assert said.startswith("the token was used before. ")
    assert f"{folder} has a certificate of operator/admin of prod, good until 2" in said


@pytest.mark.usefixtures("refused")
def test_who_has_none_hears_the_refusal_alone(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException) as raised:
        enrolment.join_cluster(TOKEN, None, tmp_path)
    assert raised.value.message == "the token was used before"


def test_a_folder_that_cannot_be_looked_at_is_named(tmp_path: Path) -> None:
    made = ("cluster", "init", str(tmp_path / "a"))
    assert CliRunner().invoke(main, made).exit_code == 0
    issue = ("cluster", "issue", str(tmp_path / "a"), "agent/a", f"/{'x' * 300}")
    said = CliRunner().invoke(main, issue)
    assert said.exit_code == 1 and "File name too long. Name another folder" in said.output


@pytest.mark.parametrize("key", ["intermediate.key", "root.key"])
def test_an_authority_whose_key_others_can_read_signs_nothing(tmp_path: Path, key: str) -> None:
    made = ("cluster", "init", str(tmp_path / "a"))
    assert CliRunner().invoke(main, made).exit_code == 0
    (tmp_path / "a" / key).chmod(0o640)
    issue = ("cluster", "issue", str(tmp_path / "a"), "master/m2", str(tmp_path / "m2"))
    said = CliRunner().invoke(main, issue)
    assert said.exit_code == 1 and f"chmod 600 {tmp_path}/a/{key}" in said.output
    assert not (tmp_path / "m2/key.pem").exists()


@pytest.mark.parametrize(
    "wanted", ["nosuch", "", "cd", "cdcdcdcdcdc", "cdcdcdcdcdcdc", "dcdcdcdcdcdc", "CDCDCDCDCDCD"]
)
def test_a_token_is_removed_by_its_whole_id(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    """The beginning of an id took back another token than was meant."""

    async def tokens(_: Cluster) -> list[pb.TokenView]:
        return [pb.TokenView(digest=bytes.fromhex(d * 32)) for d in ("ab", "cd")]

    monkeypatch.setattr(enrolment, "_tokens", tokens)
    with pytest.raises(CliError) as raised:
        asyncio.run(enrolment.remove_token(cast(Cluster, None), wanted))
    assert raised.value.message.startswith(f"there is no token {wanted!r}; `pymesos-cli cluster")


async def test_no_token_is_made_where_one_is_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first was made and printed before it was said what is wrong with the second."""
    cluster = cast(Cluster, None)  # which nobody asks
    with pytest.raises(CliError, match="'node-2' is given; expected is KIND/NAME"):
        await enrolment.make_tokens(cluster, ("agent/node-1", "node-2"), 60.0)
    with pytest.raises(CliError, match="the principal's name is ''"):
        await enrolment.make_tokens(cluster, ("agent/",), 60.0)


@pytest.mark.parametrize("written", [None, "no token\n"])
def test_a_file_without_a_token_is_wrong_use(tmp_path: Path, written: str | None) -> None:
    file = tmp_path / "token"
    if written is not None:
        file.touch(0o600)
        file.write_text(written)
    arguments = ("cluster", "join", str(tmp_path / "f"), "--file", str(file))
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2 and str(file) in done.output


class _Known:
    """A cluster with a token of alice, a rule of bob, an access token of eve, an agent."""

    async def call(self, make: Callable[[Any, float], Any]) -> Any:
        async def _answer(request: Any, timeout: float) -> Any:
            match request:
                case pb.ListTokensRequest():
                    return pb.ListTokensResponse(tokens=[pb.TokenView(principal="operator/alice")])
                case pb.GetPolicyRequest():
                    return pb.GetPolicyResponse(document="allow: [{who: operator/bob, do: [read]}]")
                case pb.ListAccessTokensRequest():
                    view = pb.AccessTokenView(principal="operator/eve")
                    return pb.ListAccessTokensResponse(tokens=[view])
            return pb.RevokeResponse()

        names = ("ListTokens", "GetPolicy", "ListAccessTokens", "Revoke")
        return await make(SimpleNamespace(**dict.fromkeys(names, _answer)), 1.0)

    async def agents(self) -> list[pb.AgentView]:
        return [pb.AgentView(info=types_pb.AgentInfo(principal="agent/a"))]

    async def frameworks(self, *, completed: bool) -> list[pb.FrameworkView]:
        raise CliError("who asks may not read")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("operator/alice", True),
        ("operator/bob", True),
        ("operator/eve", True),
        ("operator/evi", False),
        ("agent/a", True),
        ("agent/b", False),
        ("framework/f", True),  # nobody can say
        ("12ab", True),
    ],
)
async def test_who_revokes_nobody_is_told(
    name: str, known: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    await enrolment.revoke(cast(Any, _Known()), name, undo=False)
    told = capsys.readouterr()
    assert told.out == f"{name} is revoked\n"
    assert (f"cluster revoke --undo {name}` takes it back" in told.err) == (not known)
