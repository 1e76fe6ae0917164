"""A web server on the loopback for tests of downloads: byte ranges, cuts, and a request count."""

import functools
import http.server
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; understands ``Range: bytes=N-`` and cuts files off where asked to."""

    def do_GET(self):
        state = self.server.state
        path = self.path.split("?")[0].lstrip("/")
        state.requests[path] += 1
        time.sleep(state.delay)
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            return super().do_GET()
        data = file.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        if start and start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        end = state.cuts.pop(path, len(data))
        self.wfile.write(data[start:end])
        if end < len(data):
            self.close_connection = True
        return None

    def do_HEAD(self):
        self.server.state.requests["HEAD " + self.path.lstrip("/")] += 1
        super().do_HEAD()

    def log_message(self, *_):
        pass


class Server:
    """What a test sees of the server.

    ``cuts[path] = n`` ends the next answer for ``path`` after n bytes of the file; each answer
    takes ``delay`` seconds more.
    """

    def __init__(self, url):
        self.url, self.requests, self.cuts, self.delay = url, Counter(), {}, 0.0


@contextmanager
def serve(folder):
    """Serve a folder; yields a ``Server`` whose ``url`` has no slash at its end."""
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        httpd.state = Server(f"http://127.0.0.1:{httpd.server_address[1]}")
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        try:
            yield httpd.state
        finally:
            httpd.shutdown()
            thread.join()
