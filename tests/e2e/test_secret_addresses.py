"""One template has a secret and the addresses of another task: made in memory, and made anew."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from pymesos_testing.components import Roles, passable_folder, wait_for
from pymesos_testing.tls import TlsCluster

ROLE = "prod"
SMALL = {"cpus": 0.1, "mem": 32}
TEMPLATE = (
    "{{ secrets.db }}{% for each in addresses['shop.web'] %} {{ each.ports.http }}{% endfor %}\n"
)
WEB = {
    "name": "web",
    "kind": "service",
    "command": "exec python3 -m http.server $PORT_HTTP --bind 127.0.0.1",
    "resources": SMALL,
    "ports": [{"name": "http"}],
}
FRONT = {
    "name": "front",
    "kind": "service",
    "command": "f=$PYMESOS_SECRETS/peers; trap 'cat $f' HUP; cat $f; while :; do sleep 0.1; done",
    "resources": SMALL,
    "config": [{"path": "peers", "template": TEMPLATE, "on_change": "signal"}],
    "update": {"min_healthy_s": 0.2},
}


@pytest.mark.skipif(os.geteuid() != 0, reason="secrets are in memory that root makes")
def test_a_template_has_a_secret_and_addresses() -> None:
    with passable_folder() as folder:
        roles = Roles(folder)
        try:
            _follow_both(TlsCluster(roles, role=ROLE))
        finally:
            roles.close()


def _follow_both(cluster: TlsCluster) -> None:
    cli = cluster.cli

    def run(name: str, task: dict[str, Any]) -> None:
        job = {"name": name, "role": ROLE, "tasks": [task]}
        cli.ok("apply", "-", "--wait", text=json.dumps(job))

    def told() -> list[str]:
        """What the program has read last: the secret, and how many addresses there are."""
        last = cli.ok("logs", "front").splitlines()[-1:]
        return [" ".join([word, str(len(ports))]) for word, *ports in map(str.split, last)]

    cli.ok("secret", "set", ROLE, "db", text="first")
    run("shop", WEB)
    run("front", FRONT)
    wait_for("both", lambda: told() == ["first 1"])
    cli.ok("scale", "shop.web=2")
    wait_for("the second address, beside the same secret", lambda: told() == ["first 2"], 60)
    cli.ok("secret", "set", ROLE, "db", text="second")
    wait_for("a rollout by the secret", lambda: told() == ["second 2"], 60)
    assert not [p for p in cluster.roles.folder.rglob("peers") if p.is_file()], "it is on no disk"
