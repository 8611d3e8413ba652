"""Downloads from servers that misbehave are bounded, and refused with their true cause."""

import gzip
import hashlib
import http.server
import os
import shutil
import ssl
import subprocess
import threading
from contextlib import suppress
from dataclasses import replace

import pytest
from builders import assert_clean

from mne_wav2sleep import WeightsError
from mne_wav2sleep.network import download, registry

BODY = b"the weights" * 1000
ENDLESS = b"0" * 2**16


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.paths.append(self.path)
        with suppress(OSError):  # the client hangs up
            self.server.respond(self)
        self.close_connection = True

    do_CONNECT = do_GET  # noqa: N815

    def log_message(self, *args):
        pass

    def start(self, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def pour(self, data=ENDLESS, pause=0.0):
        """Send data again and again until the client hangs up."""
        while not self.server.closing.wait(pause):
            self.wfile.write(data)
            self.server.n_sent += len(data)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *args):
        pass


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Start a server whose answer is a function, and point the registry's entry to it."""
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr("time.sleep", lambda _: None)  # pooch waits between attempts
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    servers = []

    def serve(respond, *, scheme="http", context=None):
        server = _Server(("127.0.0.1", 0), _Handler)
        server.respond, server.paths, server.n_sent = respond, [], 0
        server.closing = threading.Event()
        if context is not None:
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        entry = replace(
            registry.REGISTRY["wav2sleep"],
            url=f"{scheme}://127.0.0.1:{server.server_port}/state_dict.pth",
            sha256=hashlib.sha256(BODY).hexdigest(),
            size=len(BODY),
        )
        monkeypatch.setitem(registry.REGISTRY, "wav2sleep", entry)
        return server

    yield serve
    for server in servers:
        server.closing.set()
        server.shutdown()
        server.server_close()


def send_weights(handler):
    handler.start(Content_Length=str(len(BODY)))
    handler.wfile.write(BODY)


def fail(message):
    """Fail to download; return the error."""
    with pytest.raises(WeightsError, match=message) as error:
        download.fetch_weights(verbose=False)
    path = download.weights_path()
    assert f"copy it to {path}" in str(error.value)
    files = [one for one in path.parents[1].rglob("*") if one.is_file()]
    assert not files
    return str(error.value)


def test_weights_are_downloaded(serve):
    server = serve(send_weights)
    assert download.fetch_weights(verbose=False).read_bytes() == BODY
    assert server.paths == ["/state_dict.pth"]


def send_without_length(handler):
    handler.start()
    handler.pour()


def send_chunks(handler):
    handler.start(Transfer_Encoding="chunked")
    handler.pour(b"10000\r\n" + ENDLESS + b"\r\n")


def send_gigabytes(handler):
    handler.start(Content_Length=str(10**12))
    handler.pour()


def send_one_byte_more(handler):
    handler.start(Content_Length=str(len(BODY) + 1))
    handler.wfile.write(BODY + b"!")


def send_gzip_bomb(handler):
    bomb = gzip.compress(bytes(10**8))
    handler.start(Content_Length=str(len(bomb)), Content_Encoding="gzip")
    handler.wfile.write(bomb)


@pytest.mark.parametrize(
    "respond",
    [send_without_length, send_chunks, send_gigabytes, send_one_byte_more, send_gzip_bomb],
)
def test_body_is_bounded_by_the_size_of_the_weights(respond, serve):
    server = serve(respond)
    fail("is longer than the 11,000 bytes of the weights 'wav2sleep', and was not kept")
    assert server.paths == ["/state_dict.pth"]  # it is not tried again
    assert server.n_sent < 2**26  # what fits into the buffers of the system


def send_compressed(handler):
    body = gzip.compress(BODY)
    handler.start(Content_Length=str(len(body)), Content_Encoding="gzip")
    handler.wfile.write(body)


def test_weights_that_are_compressed_on_the_way_are_unpacked(serve):
    serve(send_compressed)
    assert download.fetch_weights(verbose=False).read_bytes() == BODY


@pytest.mark.parametrize("encoding", ["gzip, gzip, gzip", "br", "zstd", "\x1b]0;title"])
def test_other_compression_is_refused(encoding, serve):
    def send(handler):
        handler.start(Content_Encoding=encoding)
        handler.pour()

    serve(send)
    assert fail(r"sends the weights compressed \('").isprintable()


def drip_body(handler):
    handler.start(Content_Length=str(len(BODY)))
    handler.pour(BODY[:1], pause=0.01)


def drip_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    handler.pour(b"x", pause=0.01)


def drip_redirects(handler):
    handler.server.closing.wait(1)
    handler.start(302, Location=f"/{len(handler.server.paths)}", Content_Length="0")


def fail_slowly(handler):
    handler.server.closing.wait(5)
    handler.start(503, Content_Length="0")


@pytest.mark.parametrize("respond", [drip_body, drip_headers, drip_redirects, fail_slowly])
def test_whole_download_has_a_time_limit(respond, serve, monkeypatch):
    monkeypatch.setattr(download, "_GRACE_S", 0.1)
    monkeypatch.setattr(download, "_SLOWEST_BYTES_PER_S", 10**6)
    server = serve(respond)
    with pytest.raises(WeightsError, match=r"was stopped after 0 s, because .* too slow") as error:
        download.fetch_weights(verbose=False)
    assert not download.weights_path().exists()
    assert f"copy it to {download.weights_path()}" in str(error.value)
    assert server.n_sent < 1000


def test_redirect_is_followed_without_its_body(serve):
    def redirect(handler):
        if handler.path == "/real":
            send_weights(handler)
        else:
            handler.start(302, Location="/real")
            handler.pour()

    server = serve(redirect)
    assert download.fetch_weights(verbose=False).read_bytes() == BODY
    assert server.paths == ["/state_dict.pth", "/real"]
    assert server.n_sent < 2**26


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("file:///etc/hostname", "address or answer that cannot be used .*'file:///etc/hostname'"),
        ("ftp://127.0.0.1/weights", "address or answer that cannot be used .*'ftp://127"),
        ("http://[::1", "address or answer that cannot be used"),
        ("/state_dict.pth", r"cannot be used \(Exceeded 30 redirects\)"),
    ],
)
def test_redirect_that_leads_nowhere_is_named(location, message, serve):
    serve(lambda handler: handler.start(302, Location=location, Content_Length="0"))
    fail(message)


def test_answer_that_is_no_http_is_reported(serve):
    serve(lambda handler: handler.wfile.write(b"SSH-2.0-\x1b]0;title\x07" + b"x" * 5000))
    assert fail(r"127\.0\.0\.1 cannot be reached \(").isprintable()


@pytest.fixture
def certificate(tmp_path):
    """Make a certificate that nobody has signed, and a server's TLS context with it."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")

    def make(name="IP:127.0.0.1"):
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
        command += ["-keyout", "k.pem", "-out", "c.pem", "-subj", "/CN=test"]
        command += ["-addext", f"subjectAltName={name}"]
        subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
        return context, tmp_path / "c.pem"

    return make


def test_certificate_that_is_not_trusted_is_named(serve, certificate, monkeypatch):
    context, path = certificate()
    serve(send_weights, scheme="https", context=context)
    fail(
        r"certificate of 127\.0\.0\.1 is not trusted \(self.signed certificate\)\. "
        ".* set REQUESTS_CA_BUNDLE to a file with its certificate"
    )
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))  # what the error says works
    assert download.fetch_weights(verbose=False).read_bytes() == BODY


def test_certificate_of_another_server_is_named(serve, certificate, monkeypatch):
    context, path = certificate("DNS:example.org")
    serve(send_weights, scheme="https", context=context)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(path))
    fail(r"certificate of 127\.0\.0\.1 is not trusted \(IP address mismatch")


def test_server_without_tls_is_named(serve):
    serve(send_weights, scheme="https")
    fail(r"the secure connection to 127\.0\.0\.1 failed \(")


@pytest.mark.parametrize("kind", ["missing", "garbage", "empty folder"])
def test_bundle_of_certificates_that_cannot_be_used_is_named(
    kind, serve, certificate, monkeypatch, tmp_path
):
    serve(send_weights, scheme="https", context=certificate()[0])
    path = tmp_path / "bundle.pem"
    if kind == "garbage":
        path.write_text("no certificate")
    elif kind == "empty folder":
        path.mkdir()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    message = fail("certificate|secure connection")
    assert "could not be written" not in message
    if kind == "missing":
        assert "Correct or unset REQUESTS_CA_BUNDLE" in message


def refuse_proxy(handler):
    handler.start(407, Proxy_Authenticate="Basic", Content_Length="0")


@pytest.mark.parametrize(
    ("scheme", "proxy", "message"),
    [
        ("http", "http://127.0.0.1:1", r"the proxy cannot be used \(Connection refused\)"),
        ("https", "http://127.0.0.1:1", r"the proxy cannot be used \(Connection refused\)"),
        ("http", "{server}", r"The proxy refused .* \(HTTP status 407\)"),
        ("https", "{server}", r"the proxy cannot be used \(Tunnel connection failed: 407"),
        ("https", "http://", "address or answer that cannot be used .*proxy"),
        ("http", "gopher://127.0.0.1:1", "the proxy cannot be used|that cannot be used"),
    ],
)
def test_proxy_that_does_not_work_is_named(scheme, proxy, message, serve, monkeypatch):
    server = serve(refuse_proxy, scheme=scheme)
    address = proxy.format(server=f"http://user:hunter2@127.0.0.1:{server.server_port}")
    monkeypatch.setenv(f"{scheme}_proxy", address)
    assert "hunter2" not in fail(message)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "should be a file, but is a folder. Remove it"),
        (lambda path: path.symlink_to("/dev/zero"), "is a link to a device. Remove it"),
        (os.mkfifo, "is a pipe. Remove it"),
        (lambda path: path.symlink_to(path.parent), "is a link to a folder. Remove it"),
    ],
)
@pytest.mark.parametrize("function", [download.fetch_weights, download.verify_weights])
def test_cached_entry_that_is_no_file_is_refused(make, message, function, serve):
    server = serve(send_weights)
    path = download.weights_path()
    path.parent.mkdir(parents=True)
    make(path)
    with pytest.raises(WeightsError, match=message) as error:
        function()
    assert_clean(error.value)
    assert os.path.lexists(path)
    assert server.paths == []


@pytest.mark.parametrize("content", [b"precious", BODY + b"!", BODY[:-1]])
def test_cached_link_to_another_file_is_replaced_and_the_file_is_kept(content, serve, tmp_path):
    serve(send_weights)
    path, other = download.weights_path(), tmp_path / "other"
    other.write_bytes(content)
    path.parent.mkdir(parents=True)
    path.symlink_to(other)
    with pytest.warns(RuntimeWarning, match="has been removed, but not the file that it linked to"):
        assert download.fetch_weights(verbose=False).read_bytes() == BODY
    assert not path.is_symlink()
    assert other.read_bytes() == content


def test_cached_links_are_followed_or_replaced(serve, tmp_path):
    server = serve(send_weights)
    path, shared = download.weights_path(), tmp_path / "shared.pth"
    path.parent.mkdir(parents=True)
    path.symlink_to(shared)
    assert download.fetch_weights(verbose=False).read_bytes() == BODY  # a broken link is replaced
    assert not path.is_symlink()
    assert not shared.exists()
    path.rename(shared)
    path.symlink_to(shared)
    assert download.fetch_weights(verbose=False) == download.verify_weights() == path
    assert path.is_symlink()
    assert len(server.paths) == 1


def test_cached_file_that_is_far_too_large_is_not_hashed(serve):
    serve(send_weights)
    path = download.weights_path()
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(2**42)  # takes no space on the disk
    with pytest.raises(WeightsError, match=r"4,398,046,511,104 bytes, expected 11,000\) and"):
        download.verify_weights()
    assert not path.exists()


def test_interrupt_stops_the_download(serve, monkeypatch):
    server = serve(drip_body)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(download.Future, "result", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download.fetch_weights(verbose=False)
    assert not download.weights_path().exists()
    assert server.n_sent < len(BODY)
