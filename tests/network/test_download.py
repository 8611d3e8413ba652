import hashlib
import http.server
import socket
import threading
from dataclasses import replace

import pooch
import pytest
import torch
from builders import toy_recordings

from mne_wav2sleep import (
    SleepStagerW2S,
    WeightsError,
    list_weights,
    load_model,
)
from mne_wav2sleep.network import folder as model_folder
from mne_wav2sleep.network import registry as weights
from mne_wav2sleep.simulation.night import simulate_night

pytestmark = toy_recordings


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
        self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(golden_model, tmp_path):
    """A real HTTP server on the loopback, which serves a state dict of the released shape."""
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
    """Point the registry's entry at the server, and the cache at an empty folder."""
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr("time.sleep", lambda _: None)  # pooch waits between its tries

    def publish(route="/state_dict.pth", sha256=None, port=None):
        entry = replace(
            weights.REGISTRY["wav2sleep"],
            url=f"http://127.0.0.1:{port or server.server_address[1]}{route}",
            sha256=sha256 or hashlib.sha256(server.body).hexdigest(),
            size=len(server.body),
        )
        monkeypatch.setitem(weights.REGISTRY, "wav2sleep", entry)

    return publish


def test_a_right_download_loads_and_is_fetched_once(publish, server, golden_model):
    publish()
    for _ in range(2):
        state = load_model("wav2sleep", verbose=False).state_dict()
    assert len(server.requests) == 1
    assert all(torch.equal(state[k], v) for k, v in golden_model.state_dict().items())
    assert weights.verify_weights("wav2sleep") == weights.weights_path("wav2sleep")


def test_a_full_disk_is_said_and_leaves_nothing(publish, tmp_path):
    resource = pytest.importorskip("resource")
    publish()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # To a writer, a limit on the size of files is what a full disk is.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        with pytest.raises(WeightsError, match=r"could not be written to .*MNE_WAV2SLEEP_DATA"):
            load_model("wav2sleep", verbose=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def closed_port():
    """A port that was free a moment ago, so that nothing listens there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.mark.parametrize(
    ("settings", "message", "tries"),
    [
        ({"sha256": "0" * 64}, "its SHA-256 is not 0000.*Nothing was kept", 3),
        ({"route": "/cut"}, r"broke off; {half} of {size} bytes had come\. Nothing was kept", 3),
        ({"route": "/404"}, r"does not have the weights 'wav2sleep' \(HTTP status 404\)", 3),
        ({"route": "/503"}, r"refused the weights 'wav2sleep' \(HTTP status 503\)", 3),
        ({"port": closed_port()}, "there seems to be no network", 0),
    ],
)
def test_a_failed_download_says_so_and_leaves_nothing(
    publish, settings, message, tries, server, tmp_path, capfd
):
    publish(**settings)
    size = len(server.body)
    with pytest.raises(WeightsError, match=message.format(size=size, half=size // 2)):
        weights.fetch_weights(verbose=False)
    assert len(server.requests) == tries
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert capfd.readouterr() == ("", "")


def test_progress_is_shown_unless_verbose_is_false(publish, capfd):
    publish()
    weights.fetch_weights(verbose=True)
    assert "100%" in capfd.readouterr().err
    weights.weights_path().unlink()
    weights.fetch_weights(verbose=False)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_file_in_the_cache_is_removed_or_fetched_anew(publish, server):
    publish()
    path = weights.fetch_weights(verbose=False)
    path.write_bytes(server.body[:1000])
    with pytest.raises(WeightsError, match="has been removed"):
        weights.verify_weights()
    assert not path.exists()
    with pytest.raises(WeightsError, match="weights fetch"):
        weights.verify_weights()
    path.write_bytes(b"half a file")
    with pytest.warns(
        RuntimeWarning, match=r"damaged .* has been removed\. It is downloaded again"
    ):
        assert weights.fetch_weights(verbose=False).read_bytes() == server.body


def test_a_damaged_file_does_not_survive_a_fetch_without_network(publish):
    publish(port=closed_port())
    path = weights.weights_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    with (
        pytest.warns(RuntimeWarning, match="has been removed"),
        pytest.raises(WeightsError, match="no network"),
    ):
        weights.fetch_weights(verbose=False)
    assert not path.exists()


def test_a_cache_that_cannot_be_written(publish, monkeypatch, tmp_path):
    publish()
    (tmp_path / "file").touch()
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="MNE_WAV2SLEEP_DATA"):
        weights.fetch_weights(verbose=False)


@pytest.mark.parametrize("ask", [weights.fetch_weights, weights.verify_weights])
def test_without_a_hash_nothing_is_downloaded_and_nothing_removed(ask, monkeypatch, tmp_path):
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", str(tmp_path))
    with pytest.raises(WeightsError, match="not known"):
        ask("wav2sleep-eog")
    path = weights.weights_path("wav2sleep-eog")
    path.parent.mkdir()
    path.write_bytes(b"a copy of the user's")
    with pytest.raises(WeightsError, match="not known"):
        ask("wav2sleep-eog")
    assert path.exists()


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", "~/cache")
    assert weights.weights_path() == tmp_path / "cache" / "wav2sleep" / "state_dict.pth"
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", "")
    assert weights.weights_path().parents[1] == pooch.os_cache("mne-wav2sleep")


@pytest.fixture
def bundled(small_folder, monkeypatch):
    """Bundled weights, as if the small network were them."""
    path = weights.weights_path
    monkeypatch.setattr(
        weights, "weights_path", lambda name="wav2sleep": small_folder if name == "mini" else path()
    )
    return small_folder


def test_bundled_weights_load_with_a_caution_each_time(bundled):
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="'mini' were trained on .* never for results"):
            model = load_model("mini")
    assert model.config == model_folder.read_config(bundled)
    assert list_weights().loc["mini", ["modalities", "source"]].tolist() == [
        "ABD, ECG, PPG, THX",
        "bundled",
    ]
    assert weights.fetch_weights("mini") == weights.verify_weights("mini") == bundled


def test_bundled_weights_name_themselves_as_scorer(bundled):
    with pytest.warns(RuntimeWarning, match="never for results"):
        stager = SleepStagerW2S(simulate_night(duration=3600, modalities=["THX"]), weights="mini")
    assert stager.predict().scorer == "wav2sleep-mini"


def test_bundled_weights_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "__file__", str(tmp_path / "weights.py"))
    assert weights.weights_path("mini") == tmp_path / "data" / "mini"
    for ask in (load_model, weights.fetch_weights, weights.verify_weights):
        with pytest.raises(WeightsError, match="installation lacks them"):
            ask("mini")
    assert "missing" in list_weights().loc["mini", "modalities"]


def test_the_registry():
    entry = weights.REGISTRY["wav2sleep"]
    assert "8b6e46ab3ef6e3945282b81f631933c59db0b205" in entry.url
    assert len(entry.sha256) == 64
    assert list_weights()["source"].to_dict() == {
        "wav2sleep": "download",
        "wav2sleep-eog": "your own copy",
        "mini": "bundled",
    }
