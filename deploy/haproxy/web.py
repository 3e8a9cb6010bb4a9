"""A small web server that says which instance it is, and ends what it has begun before it ends."""

import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType

BUSY: set[BaseHTTPRequestHandler] = set()  # those that answer just now


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        BUSY.add(self)
        time.sleep(float(os.environ.get("WORK_S", "0")))  # as if it had something to do
        body = f"{os.environ.get('PYMESOS_TASK_ID', '')}\n".encode()
        head = f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + head.encode() + body)
        BUSY.discard(self)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


class Server(ThreadingHTTPServer):
    daemon_threads = True  # connections that are idle keep nobody from ending
    request_queue_size = 128


def main() -> None:
    server = Server(("", int(os.environ["PORT_HTTP"])), Answer)

    def end(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, end)
    server.serve_forever(poll_interval=0.1)
    while BUSY:
        time.sleep(0.01)


if __name__ == "__main__":
    main()
