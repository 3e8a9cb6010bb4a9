"""Mesos' API by HTTPS, in a cluster with certificates."""

from __future__ import annotations

from pathlib import Path

from pymesos_core.serving import make_gate
from pymesos_master.mesos.authenticating import Authenticator
from pymesos_master.mesos.server import MesosServer
from pymesos_testing.http_cluster import a_bit_of_everything, leadership_of
from pymesos_testing.http_serving import LISTEN, Closed, running


async def test_certificates_are_shown_and_asked_for(tmp_path: Path) -> None:
    closed = Closed(tmp_path)
    known = closed.credentials
    authenticator = Authenticator({}, (), known.revocations, None, make_gate(known))
    leadership = leadership_of(a_bit_of_everything())
    server = MesosServer(leadership, authenticator, LISTEN, {}, known)
    async with running(server) as url:
        assert url.startswith("https://")
        status, version = await closed.get(url, "/version", closed.context())
        assert (status, version["version"]) == (200, "1.12.0"), "which is open"
        status, slaves = await closed.get(url, "/slaves", closed.context("operator/o"))
        assert status == 200 and slaves["slaves"]
        status, flags = await closed.get(url, "/flags", closed.context("operator/o"))
        assert (status, flags) == (200, {"flags": {}})
        for principal, expected in (("framework/f", 403), ("", 401)):
            assert await closed.status(url, "/slaves", closed.context(principal)) == expected
