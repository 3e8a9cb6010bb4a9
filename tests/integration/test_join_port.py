"""The port for those who join: it takes tokens only, and who joins knows the cluster."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc.aio
import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.grpc_transport import add_service, dialer
from pymesos_core.security.authority import certificate_pem, fingerprint, make_root
from pymesos_core.security.credentials import Credentials, Joining, read_pem
from pymesos_core.security.identities import Identity, Kind
from pymesos_core.security.issuing import issue, put_authority
from pymesos_core.security.joining import JOIN, Invitation, JoinError, join, join_unless_in
from pymesos_core.security.signing import Signer, read_request
from pymesos_core.serving import Listen, bind, make_server
from pymesos_core.transport import CallError, Code, ServerCall, method_of
from pymesos_proto.v1 import enrolment_pb2 as pb
from pymesos_proto.v1 import operator_pb2

NODE = Identity("prod", Kind.AGENT, "node-1")
LEADER = method_of(
    "/pymesos.v1.Operator/GetLeader",
    operator_pb2.GetLeaderRequest,
    operator_pb2.GetLeaderResponse,
)


class Enrolment:
    """Takes everybody in, as one agent."""

    contract = pb.DESCRIPTOR.services_by_name["Enrolment"]

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self.secrets: list[bytes] = []
        self.wanted: list[str] = []
        self.to = NODE

    async def Join(
        self, request: pb.JoinRequest, call: ServerCall[pb.JoinRequest, pb.IssuedCertificate]
    ) -> pb.IssuedCertificate:
        assert not call.caller.is_proved
        self.secrets.append(request.secret)
        self.wanted.append(request.wanted)
        issued = self.signer.sign(read_request(request.request), self.to, None)
        return pb.IssuedCertificate(chain=issued.chain, roots=issued.roots)


class Port:
    def __init__(self, folder: Path) -> None:
        now_s = time.time()
        self.root = make_root("prod", now_s)
        signing = self.root.make_intermediate("master/m1", now_s)
        me = Identity("prod", Kind.MASTER, "m1")
        issue(folder, me, signing, certificate_pem(self.root.certificate), 600, now_s)
        put_authority(folder, signing)
        credentials = Credentials(folder)
        self.enrolment = Enrolment(Signer(folder, 600))
        self.server: grpc.aio.Server = make_server({}, credentials, for_joining=True)
        listen = Listen("127.0.0.1", 0, None, None)
        self.at = HostPort("127.0.0.1", bind(self.server, listen, credentials, for_joining=True))
        add_service(self.server, self.enrolment)
        self.invitation = Invitation(fingerprint(self.root.certificate), b"s" * 32, self.at)


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    made = Port(tmp_path / "master")
    await made.server.start()
    yield made
    await made.server.stop(0)


async def test_who_joins_gets_what_tls_takes(port: Port, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    await join_unless_in(folder, lambda: port.invitation, Kind.AGENT)
    assert Credentials(folder).identity == NODE
    assert sorted(path.name for path in folder.iterdir()) == ["cert.pem", "key.pem", "roots.pem"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    await join_unless_in(folder, lambda: port.invitation, Kind.AGENT)
    assert port.enrolment.secrets == [b"s" * 32], "who has a certificate needs no token"


async def test_nothing_is_told_to_another_cluster(port: Port, tmp_path: Path) -> None:
    other = replace(port.invitation, root=b"r" * 32)
    with pytest.raises(JoinError, match="its root is another, so nothing was told to it"):
        await join(tmp_path / "a", other)
    assert port.enrolment.secrets == [] and not (tmp_path / "a").exists()
    nobody = replace(port.invitation, at=HostPort("127.0.0.1", 1))
    with pytest.raises(JoinError, match="nobody takes those who join at"):
        await join(tmp_path / "a", nobody)


async def test_a_server_that_shows_the_root_and_is_none_of_its_masters_hears_nothing(
    port: Port, tmp_path: Path
) -> None:
    """An agent of the cluster has the root, too, and is no master."""
    signer, folder = port.enrolment.signer, tmp_path / "agent"
    await join(folder, port.invitation)
    port.enrolment.secrets.clear()
    credentials = Credentials(folder)
    server = make_server({}, credentials, for_joining=True)
    at = bind(server, Listen("127.0.0.1", 0, None, None), credentials, for_joining=True)
    listening = Enrolment(signer)
    add_service(server, listening)
    await server.start()
    with pytest.raises(JoinError, match="cannot take anybody in"):
        await join(tmp_path / "b", replace(port.invitation, at=HostPort("127.0.0.1", at)))
    assert listening.secrets == []
    await server.stop(0)


async def test_a_certificate_of_another_kind_or_folder_is_not_kept(
    port: Port, tmp_path: Path
) -> None:
    with pytest.raises(JoinError, match=r"the token is that of agent/node-1; expected is one of"):
        await join(tmp_path / "a", port.invitation, Kind.FRAMEWORK)
    await join(tmp_path / "a", port.invitation)
    before = read_pem(tmp_path / "a")
    port.enrolment.to = Identity("prod", Kind.AGENT, "node-2")
    with pytest.raises(JoinError, match=r"that of agent/node-2; expected is one of agent/no"):
        await join(tmp_path / "a", port.invitation)
    assert read_pem(tmp_path / "a").chain == before.chain


async def test_the_master_is_told_who_is_wanted_and_the_folder_is_looked_at_first(
    port: Port, tmp_path: Path
) -> None:
    told, folder = port.enrolment.wanted, tmp_path / "a"
    await join(folder, port.invitation)
    await join(folder, port.invitation, Kind.AGENT)
    await join(tmp_path / "b", port.invitation, Kind.AGENT)
    assert told == ["", "agent/node-1", "agent"]
    with pytest.raises(JoinError, match=r"holds the certificate of agent/node-1 of prod: name"):
        await join(folder, port.invitation, Kind.MASTER)
    now_s = time.time()
    elsewhere = make_root("test", now_s)
    issue(
        tmp_path / "other", Identity("test", Kind.AGENT, "node-1"), elsewhere,
        certificate_pem(elsewhere.certificate), 600, now_s,
    )  # fmt: skip
    with pytest.raises(JoinError, match=r"agent/node-1 of test: name another folder for the clus"):
        await join(tmp_path / "other", port.invitation, Kind.AGENT)
    assert len(told) == 3, "no token is sent where the folder is in the way"


async def test_it_is_for_joining_only_and_for_small_messages(port: Port) -> None:
    joining = Joining("prod", certificate_pem(port.root.certificate))
    channel = dialer(joining)(port.at, Kind.MASTER)
    with pytest.raises(CallError) as refused:
        await channel.stream(LEADER).read()
    assert refused.value.code in (Code.PERMISSION_DENIED, Code.UNIMPLEMENTED)
    stream = channel.stream(JOIN)
    with pytest.raises(CallError) as large:
        await stream.write(pb.JoinRequest(secret=b"x" * 100_000))
        await stream.done_writing()
        await stream.read()
    assert large.value.code == Code.RESOURCE_EXHAUSTED
    await channel.close()
    assert port.enrolment.secrets == []
