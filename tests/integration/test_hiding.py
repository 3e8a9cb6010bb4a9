"""What a task with its agent's user can read, and what is hidden from it, in both ways."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.supervision import hiding
from pymesos_testing.users import as_somebody

# A user's folders; then, for a process from which some are hidden, what it finds.
TASK = """
import glob, json, os, subprocess, sys, tempfile
from pymesos_agent.supervision import hiding
way, replace = sys.argv[1:]
home = os.path.realpath(tempfile.mkdtemp())
secret, own = home + "/config/secret", home + "/config/secret/sandbox/own"
os.makedirs(own)
for path in (secret + "/key", own + "/mine", home + "/file"):
    with open(path, "w") as file:
        file.write("content")
daemon = subprocess.Popen(["sleep", "60"])
hidden = {"way": way, "paths": hiding.identify([secret]), "but": [own]}
if replace == "replaced":
    os.rename(home + "/config", home + "/elsewhere")
    os.makedirs(own)
os.chdir(home)
r, w = os.pipe()
if os.fork() == 0:
    try:
        hiding.hide(hidden)
        os.set_inheritable(w, True)
        script = 'import os, subprocess, sys\\n' + sys.stdin.read()
        os.execv(sys.executable, [sys.executable, "-c", script, str(w), home, str(daemon.pid)])
    except OSError as error:
        os.write(w, json.dumps({"refused": str(error)}).encode())
        os._exit(0)
os.close(w)
said = b""
while chunk := os.read(r, 65536):
    said += chunk
os.wait()
daemon.kill()
(there,) = glob.glob(home + "/*/secret/key")
with open(there) as key:
    assert key.read() == "content", "nothing changes outside"
print(said.decode())
"""
FINDINGS = """
out, home, daemon = int(sys.argv[1]), *sys.argv[2:]
import json
def tries(work):
    try:
        return work()
    except OSError as error:
        return type(error).__name__
def read(path):
    return tries(lambda: open(path).read())
def write(path):
    return tries(lambda: open(path, "w").write("new"))
def sh(command):
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True).stdout
secret = home + "/config/secret"
found = {
    "secret": read(secret + "/key"),
    "own": read(secret + "/sandbox/own/mine"),
    "other": read(home + "/file"),
    "written to own": write(secret + "/sandbox/own/new"),
    "written to secret": write(secret + "/new"),
    "of the daemon": read(f"/proc/{daemon}/environ"),
    "by the daemon's root": read(f"/proc/{daemon}/root{secret}/key"),
    "by its folder": read(f"/proc/{daemon}/cwd/config/secret/key"),
    "unmounted": sh(f"umount {secret}; cat {secret}/key"),
    "in namespaces within": sh(f"unshare -Urm sh -c 'umount {secret}; cat {secret}/key'"),
    "renamed": sh(f"mv {home}/config {home}/moved; cat {home}/*/secret/key"),
    "linked": sh(f"ln {secret}/key {home}/link; cat {home}/link"),
    "rights": sh("grep -E 'CapEff|NoNewPrivs' /proc/self/status").split(),
    "user": os.getuid(),
}
os.write(out, json.dumps(found).encode())
"""


def findings(way: str, replace: str = "") -> dict[str, Any]:
    done = subprocess.run(
        as_somebody(sys.executable, "-c", TASK, way, replace),
        input=FINDINGS, capture_output=True, text=True, timeout=60, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("way", [hiding.NAMESPACES, hiding.LANDLOCK])
def test_a_task_sees_its_own_folder_and_not_what_is_around_it(way: str) -> None:
    found = findings(way)
    refused = "FileNotFoundError" if way == hiding.NAMESPACES else "PermissionError"
    assert found.pop("secret") == refused
    assert found.pop("written to secret") in ("OSError", "PermissionError"), "OSError: read-only"
    assert found == {
        "own": "content",
        "other": "content",
        "written to own": 3,
        "of the daemon": "PermissionError",
        "by the daemon's root": "PermissionError",
        "by its folder": "PermissionError",
        "unmounted": "",
        "in namespaces within": "",
        "renamed": "",
        "linked": "",
        "rights": ["CapEff:", "0" * 16, "NoNewPrivs:", "1"],
        "user": 4321,
    }


@pytest.mark.parametrize("way", [hiding.NAMESPACES, hiding.LANDLOCK])
def test_what_was_replaced_is_not_taken_for_what_was_to_be_hidden(way: str) -> None:
    """A task before may have renamed the folder around it, and the secret would be elsewhere."""
    assert "was replaced, so it cannot be hidden any more" in findings(way, "replaced")["refused"]


def test_the_way_of_this_machine_is_found() -> None:
    argv = as_somebody(sys.executable, "-I", "-S", hiding.__file__)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd="/")
    assert done.stdout.strip() in (hiding.NAMESPACES, hiding.LANDLOCK), done.stderr


def test_none_is_found_where_the_kernel_allows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object, __: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(hiding, "_in_namespaces", refuse)
    monkeypatch.setattr(hiding, "_by_landlock", refuse)
    assert hiding.find_way() == ""


def test_of_folders_within_each_other_the_outermost_are_hidden(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "link").symlink_to(inner)
    status = (tmp_path / "a").stat()
    expected = [(str(tmp_path / "a"), status.st_dev, status.st_ino)]
    assert hiding.identify([str(inner), str(tmp_path / "a"), str(tmp_path / "link")]) == expected
