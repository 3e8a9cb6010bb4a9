"""The demo's database: SQLite behind a socket.  python3 database.py PORT FILE

One line in, one line out: `set KEY VALUE` answers `ok`, `get KEY` the value.
"""

import socketserver
import sqlite3
import sys


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        database = sqlite3.connect(sys.argv[2])
        database.execute("CREATE TABLE IF NOT EXISTS pair (key TEXT PRIMARY KEY, value TEXT)")
        for line in self.rfile:
            match line.decode(errors="replace").strip().split(" ", 2):
                case ["set", key, value]:
                    with database:
                        database.execute("REPLACE INTO pair VALUES (?, ?)", (key, value))
                    answer = "ok"
                case ["get", key]:
                    row = database.execute("SELECT value FROM pair WHERE key = ?", (key,))
                    (answer,) = row.fetchone() or ("",)
                case _:
                    answer = "error: `set KEY VALUE` or `get KEY` is expected"
            self.wfile.write(answer.encode() + b"\n")


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[1].isdecimal():
        sys.exit("usage: database.py PORT FILE")
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        server.serve_forever()
