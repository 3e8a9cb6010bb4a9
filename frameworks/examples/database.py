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
            verb, key, *rest = line.decode().strip().split(" ", 2)
            if verb == "set":
                with database:
                    database.execute("REPLACE INTO pair VALUES (?, ?)", (key, rest[0]))
                answer = "ok"
            else:
                row = database.execute("SELECT value FROM pair WHERE key = ?", (key,)).fetchone()
                answer = row[0] if row else ""
            self.wfile.write(answer.encode() + b"\n")


if __name__ == "__main__":
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        server.serve_forever()
