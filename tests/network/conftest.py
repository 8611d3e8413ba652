"""A server that publishes weights."""

import hashlib
import http.server
import threading
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from mne_wav2sleep.network import registry


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        body = self.server.body
        if self.path in ("/404", "/503"):
            self.send_error(int(self.path[1:]))
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):  # a client whose disk is full hangs up
            self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(golden_model, tmp_path):
    """An HTTP server on the loopback interface with a state dict of the released shape."""
    path = tmp_path / "served.pth"
    torch.save(golden_model.state_dict(), path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as httpd:
        httpd.body, httpd.requests = path.read_bytes(), []
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield httpd
        httpd.shutdown()
        thread.join()


@pytest.fixture
def publish(server, tmp_path, monkeypatch):
    """Point the registry's entry to the server, and use an empty cache."""
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr("time.sleep", lambda _: None)  # pooch waits between attempts

    def publish(route="/state_dict.pth", sha256=None, port=None):
        entry = replace(
            registry.REGISTRY["wav2sleep"],
            url=f"http://127.0.0.1:{port or server.server_address[1]}{route}",
            sha256=sha256 or hashlib.sha256(server.body).hexdigest(),
            size=len(server.body),
        )
        monkeypatch.setitem(registry.REGISTRY, "wav2sleep", entry)

    return publish
