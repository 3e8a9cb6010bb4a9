"""The executor of a recording: `python FILE LOGS FOLDER ARGUMENT…` plays what one has written.

It is run by an agent as a framework's executor, with nothing but Python's own library. `LOGS` is a
file with what each executor of the recording wrote, by its id. What is sent is sent when the events
that came before it are there and its gap has passed. What comes back is written to FOLDER, a file
for each executor, a line for each entry: `{"index": …, "status": …, …}` for an answer, `{"event":
…}` for an event.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

Json = dict[str, Any]
KNOWN_S = 30.0  # until what is sent after an event is sent without it
IDS = ("MESOS_FRAMEWORK_ID", "MESOS_SLAVE_ID", "MESOS_AGENT_ENDPOINT", "MESOS_DIRECTORY")


class Player:
    """Plays one log."""

    def __init__(self, log: list[Json], written: Path) -> None:
        self._log = log
        self._written = written
        self._changed = threading.Condition()
        self._seen: list[str] = []
        self._ids = _ids(log[0]["env"])
        host, _, port = os.environ["MESOS_AGENT_ENDPOINT"].rpartition(":")
        self._at = (host, int(port))
        beginning = {"env": dict(os.environ), "cwd": str(Path.cwd()), "argv": sys.argv}
        self._write({"index": 0} | beginning)

    def play(self) -> None:
        """Play it to its end."""
        wanted: list[str] = []
        before_ms, before_s = float(self._log[0]["at_ms"]), time.monotonic()
        for index, entry in enumerate(self._log):
            if "event" in entry:
                # An acknowledgement may have been told before its update was noted.
                if entry["event"]["type"] != "ACKNOWLEDGED":
                    wanted.append(_gist(entry["event"]))
                before_ms, before_s = float(entry["at_ms"]), self._wait(wanted)
                continue
            gap_s = max(0.0, float(entry["at_ms"]) - before_ms) / 1000
            time.sleep(max(0.0, before_s + gap_s - time.monotonic()))
            before_ms, before_s = float(entry["at_ms"]), time.monotonic()
            if "send" in entry:
                self._send(index, entry["send"])

    def _wait(self, wanted: list[str]) -> float:
        """Wait until all of these have come; say when that was."""
        until_s = time.monotonic() + KNOWN_S
        with self._changed:
            while missing := [one for one in wanted if one not in self._seen]:
                if not self._changed.wait(max(0.0, until_s - time.monotonic())):
                    wanted[:] = [one for one in wanted if one not in missing]
        return time.monotonic()

    def _send(self, index: int, send: Json) -> None:
        connection = http.client.HTTPConnection(*self._at)
        body = send["body"]
        said = self._ours(body if isinstance(body, str) else json.dumps(body))
        connection.request(send["method"], send["path"], said or None, send["headers"])
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        told: Json = {"index": index, "status": answer.status, "headers": headers}
        if answer.status == 200 and headers.get("transfer-encoding") == "chunked":
            self._write(told)
            threading.Thread(target=self._read, args=(answer,), daemon=True).start()
            return
        self._write(told | {"body": answer.read().decode("utf-8", "replace")})
        connection.close()

    def _read(self, stream: http.client.HTTPResponse) -> None:
        while length := stream.readline().strip():
            event = json.loads(stream.read(int(length)))
            self._write({"event": event})
            with self._changed:
                self._seen.append(_gist(event))
                self._changed.notify_all()

    def _ours(self, text: str) -> str:
        for recorded, ours in self._ids.items():
            text = text.replace(recorded, ours)
        return text

    def _write(self, entry: Json) -> None:
        with self._written.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _ids(recorded: dict[str, str]) -> dict[str, str]:
    """What the environment says that the ids of the recording are here, long ones first."""
    out = {recorded[name]: os.environ[name] for name in IDS if name in os.environ}
    return dict(sorted(out.items(), key=lambda item: -len(item[0])))


def _gist(event: Json) -> str:
    """What an event is of: its kind, task and update."""
    part = event.get(event["type"].lower()) or {}
    task = part.get("task_id") or (part.get("task") or {}).get("task_id") or {}
    return f"{event['type']} {task.get('value', '')} {part.get('uuid', '')} {part.get('data', '')}"


def main() -> None:
    """Play the log of the executor that this process is to be."""
    logs, folder = Path(sys.argv[1]), Path(sys.argv[2])
    del sys.argv[1:3]
    mine = os.environ["MESOS_EXECUTOR_ID"]
    log = json.loads(logs.read_text("utf-8"))[mine]
    Player(log, folder / f"{mine}.played").play()


if __name__ == "__main__":
    main()
