"""An ERP for one machine: takes orders by POST and says how many it got. Standard library only."""

import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"
PORT = int(os.environ.get("ERP_PORT", "8099"))


class Orders(BaseHTTPRequestHandler):
    """Answers 200 to POST /orders with lines of `day;region;amount`, 400 to anything malformed."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        lines = [line for line in body.splitlines() if line]
        fits = self.path == "/orders" and all(line.count(";") == 2 for line in lines)
        self.send_response(200 if fits else 400)
        self.end_headers()
        say(f"{len(lines)} lines" if fits else f"refused {self.path}: {body[:100]!r}")

    def log_message(self, *_):
        """Say nothing of its own."""


def say(text):
    sys.stdout.write(f"erp: {text}\n")
    sys.stdout.flush()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server = ThreadingHTTPServer((HOST, PORT), Orders)
    except OSError as error:
        say(f"{HOST}:{PORT} is taken ({error.strerror}); leaving it to whoever answers there")
        while True:
            time.sleep(3600)
    say(f"listening on http://{HOST}:{PORT}/orders")
    server.serve_forever()


if __name__ == "__main__":
    main()
