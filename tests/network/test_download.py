"""Download, cache and verify weights, with a real HTTP server on the loopback interface."""

import socket

import pooch
import pytest
import torch
from builders import toy_recordings

from mne_wav2sleep import (
    SleepStagerW2S,
    WeightsError,
    list_weights,
    load_weights,
    simulate_night,
)
from mne_wav2sleep.network import download, registry
from mne_wav2sleep.network.info import read_info

pytestmark = toy_recordings


def test_valid_weights_are_downloaded_once_and_loaded(publish, server, golden_model):
    publish()
    for _ in range(2):
        state = load_weights("wav2sleep", verbose=False).network.state_dict()
    assert len(server.requests) == 1
    assert all(torch.equal(state[k], v) for k, v in golden_model.state_dict().items())
    assert download.verify_weights("wav2sleep") == download.weights_path("wav2sleep")


def test_full_disk_is_reported_and_leaves_no_file(publish, tmp_path):
    resource = pytest.importorskip("resource")
    publish()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # To the writer, a limit on the size of files has the same effect as a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        with pytest.raises(WeightsError, match=r"could not be written to .*MNE_WAV2SLEEP_DATA"):
            load_weights("wav2sleep", verbose=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def find_closed_port():
    """Find a port on which nothing listens, because it was free a moment ago."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.mark.parametrize(
    ("settings", "message", "tries"),
    [
        ({"sha256": "0" * 64}, "its SHA-256 is not 0000.*Nothing was kept", 3),
        ({"route": "/cut"}, r"interrupted after {half} of {size} bytes\. Nothing was kept", 3),
        ({"route": "/404"}, r"does not have the weights 'wav2sleep' \(HTTP status 404\)", 3),
        ({"route": "/503"}, r"refused the weights 'wav2sleep' \(HTTP status 503\)", 3),
        ({"port": find_closed_port()}, r"127\.0\.0\.1 cannot be reached \(Connection refused\)", 0),
    ],
)
def test_failed_download_is_reported_and_leaves_no_file(
    publish, settings, message, tries, server, tmp_path, capfd
):
    publish(**settings)
    size = len(server.body)
    with pytest.raises(WeightsError, match=message.format(size=size, half=size // 2)):
        download.fetch_weights(verbose=False)
    assert len(server.requests) == tries
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert capfd.readouterr() == ("", "")


def test_progress_bar_is_shown_unless_verbose_is_false(publish, capfd):
    publish()
    download.fetch_weights(verbose=True)
    assert "100%" in capfd.readouterr().err
    download.weights_path().unlink()
    download.fetch_weights(verbose=False)
    assert capfd.readouterr() == ("", "")


def test_damaged_file_in_the_cache_is_removed_or_downloaded_again(publish, server):
    publish()
    path = download.fetch_weights(verbose=False)
    path.write_bytes(server.body[:1000])
    with pytest.raises(WeightsError, match="has been removed"):
        download.verify_weights()
    assert not path.exists()
    with pytest.raises(WeightsError, match="weights fetch"):
        download.verify_weights()
    path.write_bytes(b"half a file")
    with pytest.warns(
        RuntimeWarning, match=r"damaged .* has been removed\. It is downloaded again"
    ):
        assert download.fetch_weights(verbose=False).read_bytes() == server.body


def test_damaged_file_is_removed_even_without_a_network(publish):
    publish(port=find_closed_port())
    path = download.weights_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    with (
        pytest.warns(RuntimeWarning, match="has been removed"),
        pytest.raises(WeightsError, match="cannot be reached"),
    ):
        download.fetch_weights(verbose=False)
    assert not path.exists()


def test_cache_that_is_not_writable_is_reported(publish, monkeypatch, tmp_path):
    publish()
    (tmp_path / "file").touch()
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="MNE_WAV2SLEEP_DATA"):
        download.fetch_weights(verbose=False)


@pytest.mark.parametrize("function", [download.fetch_weights, download.verify_weights])
@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("wav2sleep-eog", "https://huggingface.co/joncarter/wav2sleep-eog"),
        (
            "wav2sleep-paper",
            "https://drive.google.com/file/d/1Zc_Em459By5xQp11vaergok-LT85YFoM",
        ),
    ],
)
def test_weights_without_a_hash_are_neither_downloaded_nor_removed(
    name, page, function, monkeypatch, tmp_path
):
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", str(tmp_path))
    with pytest.raises(WeightsError, match="not known") as caught:
        function(name)
    advice = f"config.yaml and state_dict.pth yourself from {page}, put both into a folder, and "
    assert advice in str(caught.value)
    path = download.weights_path(name)
    path.parent.mkdir()
    path.write_bytes(b"the user's own copy")
    with pytest.raises(WeightsError, match="not known"):
        function(name)
    assert path.exists()


def test_folder_of_the_cache_can_be_set(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", "~/cache")
    assert download.weights_path() == tmp_path / "cache" / "wav2sleep" / "state_dict.pth"
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", "")
    assert download.weights_path().parents[1] == pooch.os_cache("mne-wav2sleep")


@pytest.fixture
def bundled(small_folder, monkeypatch):
    """Use the small network in place of the bundled weights."""
    for module in (download, registry):
        monkeypatch.setattr(module, "locate_bundled", lambda _: small_folder)
    return small_folder


def test_bundled_weights_warn_whenever_they_are_loaded(bundled):
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="'mini' were trained on .* never for results"):
            loaded = load_weights("mini")
    assert loaded.network.config == read_info(bundled).config
    assert list_weights().loc["mini", ["modalities", "source"]].tolist() == [
        "ABD, ECG, PPG, THX",
        "bundled",
    ]
    assert download.fetch_weights("mini") == download.verify_weights("mini") == bundled


def test_bundled_weights_have_their_own_scorer(bundled):
    raw = simulate_night(duration=3600, modalities=["THX"], seed=0)
    with pytest.warns(RuntimeWarning, match="never for results"):
        stager = SleepStagerW2S(raw, weights="mini")
    assert stager.predict().scorer == "wav2sleep-mini"


def test_missing_bundled_weights_are_reported(monkeypatch, tmp_path):
    for module in (download, registry):
        monkeypatch.setattr(module, "locate_bundled", lambda _: tmp_path / "data" / "mini")
    assert download.weights_path("mini") == tmp_path / "data" / "mini"
    for function in (load_weights, download.fetch_weights, download.verify_weights):
        with pytest.raises(WeightsError, match="installation lacks them"):
            function("mini")
    assert "missing" in list_weights().loc["mini", "modalities"]


def test_registry_pins_a_revision_and_a_hash():
    entry = registry.REGISTRY["wav2sleep"]
    assert "8b6e46ab3ef6e3945282b81f631933c59db0b205" in entry.url
    assert len(entry.sha256) == 64
    assert list_weights()["source"].to_dict() == {
        "wav2sleep": "download",
        "wav2sleep-eog": "your own copy",
        "wav2sleep-paper": "your own copy",
        "mini": "bundled",
    }
