"""Job files to try."""

from __future__ import annotations

from typing import Any

GOOD = """
name: shop
role: web
tasks:
  - name: web
    kind: service
    instances: 5
    command: exec python3 -m http.server "$PORT0" --bind 127.0.0.1
    image: null
    resources: {cpus: 0.1, mem: 64, disk: 0, ports: 1}
    env: {GREETING: hello}
    constraints: ["rack:UNIQUE", "ssd:IS:true"]
    retries: 0
    kill_grace_s: 3
"""


def job_of(**task: Any) -> dict[str, Any]:
    return {"name": "j", "tasks": [{"name": "t", "command": "x", **task}]}
