import hashlib
import http.server
import json
import pickle
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pooch
import pytest
import torch
import yaml
from conftest import DATA

from mne_wav2sleep import (
    SleepStagerW2S,
    WeightsError,
    list_weights,
    load_model,
    model_folder,
    save_model,
    weights,
)
from mne_wav2sleep.model import Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.simulate import simulate_night

RELEASED = yaml.safe_load((DATA / "released_config.yaml").read_text())


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


def make_folder(folder, config=RELEASED, state=None):
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    if state is not None:
        torch.save(state, folder / "state_dict.pth")
    return folder


def test_the_released_layout_loads_and_round_trips_to_the_bit(golden_model, tmp_path):
    folder = make_folder(tmp_path / "released", state=golden_model.state_dict())
    model = load_model(folder)
    again = load_model(save_model(model, tmp_path / "ours"))
    assert not again.training
    state = again.state_dict()
    assert len(state) == 177
    assert all(torch.equal(state[k], v) for k, v in golden_model.state_dict().items())
    assert again.config == golden_model.config


def test_half_precision_is_half_the_size_and_loads_as_float32(golden_model, tmp_path):
    folder = save_model(golden_model, tmp_path, dtype=torch.float16)
    assert (folder / "model.safetensors").stat().st_size < 0.55 * 9_666_562
    state = load_model(folder).state_dict()
    for name, tensor in golden_model.state_dict().items():
        assert state[name].dtype == torch.float32
        torch.testing.assert_close(state[name], tensor, rtol=1e-3, atol=1e-6)


def test_the_config_as_released_is_the_registrys(tmp_path):
    (tmp_path / "config.yaml").write_bytes((DATA / "released_config.yaml").read_bytes())
    assert model_folder.read_config(tmp_path) == weights.REGISTRY["wav2sleep"].config


VARIANTS = {
    "5 classes, EOG": {
        "num_classes": 5,
        "signal_encoders.signal_map": {"EOG-L": "EOG-L", "EOG-R": "EOG-R"},
    },
    "shared encoder": {"signal_encoders.signal_map": {"ABD": "RESP", "THX": "RESP"}},
    "causal": {"signal_encoders.causal": True, "sequence_mixer.causal": True},
    "chunk-causal": {
        "signal_encoders.causal": True,
        "signal_encoders.chunk_causal": True,
        "sequence_mixer.causal": True,
    },
    "widths": {
        "signal_encoders.feature_dim": 32,
        "epoch_mixer.feature_dim": 32,
        "sequence_mixer.feature_dim": 32,
        "signal_encoders.initial_channels": 8,
        "signal_encoders.max_channels": 20,
        "epoch_mixer.dim_ff": 64,
    },
    "depths": {
        "epoch_mixer.layers": 1,
        "epoch_mixer.nhead": 4,
        "sequence_mixer.num_layers": 3,
        "sequence_mixer.num_dilations": 6,
        "sequence_mixer.kernel_size": 7,
    },
}


def vary(changes):
    config = json.loads(json.dumps(RELEASED))
    for key, value in changes.items():
        *section, last = key.split(".")
        (config[section[0]] if section else config)[last] = value
    return config


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_the_released_config_loads_and_runs(variant, tmp_path):
    config = vary(VARIANTS[variant])
    folder = make_folder(tmp_path / "m", config)
    built = Wav2Sleep(model_folder.read_config(folder))
    torch.save(built.state_dict(), folder / "state_dict.pth")
    model = load_model(folder)
    x = {
        name: torch.randn(
            2, 6 * {"EOG-L": 4096, "EOG-R": 4096, "ECG": 1024, "PPG": 1024}.get(name, 256)
        )
        for name in config["signal_encoders"]["signal_map"]
    }
    logits = model(x)
    assert logits.shape == (2, 6, config["num_classes"])
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": "four"}, "n_classes should be int"),
        ({"num_classes": 3}, "4 or 5"),
        ({"signal_encoders.norm": "batch"}, "only 'instance'"),
        ({"signal_encoders.surprise": 1}, "not a known setting"),
        ({"signal_encoders.signal_map": ["ECG"]}, "signals should be dict"),
        ({"signal_encoders.signal_map": {"EEG": "EEG"}}, "EEG"),
        ({"epoch_mixer.feature_dim": 64}, "feature_dim is 64"),
        ({"epoch_mixer": None}, "does not describe"),
        ({"epoch_mixer.nhead": 0}, "mixer_heads = 0"),
        ({"signal_encoders.signal_map": {"ECG": "keys"}}, "encoder 'keys'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        load_model(make_folder(tmp_path / "m", vary(changes)))


def test_a_config_whose_network_cannot_be_built_is_refused(tmp_path, golden_model):
    huge = dict.fromkeys(
        ("signal_encoders.feature_dim", "epoch_mixer.feature_dim", "sequence_mixer.feature_dim"),
        2**62,
    )
    with pytest.raises(WeightsError, match=r"state_dict\.pth makes no network"):
        load_model(make_folder(tmp_path / "m", vary(huge), golden_model.state_dict()))


def test_yaml_and_pickle_never_run_code(tmp_path, golden_model):
    mark = tmp_path / "executed"
    folder = make_folder(tmp_path / "m", state=golden_model.state_dict())
    (folder / "config.yaml").write_text(f"!!python/object/apply:pathlib.Path.touch ['{mark}']")
    with pytest.raises(WeightsError, match="does not describe"):
        load_model(folder)

    class Evil:
        def __reduce__(self):
            return Path.touch, (mark,)

    make_folder(folder)
    torch.save({"x": Evil()}, folder / "state_dict.pth")
    with pytest.raises(WeightsError, match="never run"):
        load_model(folder)
    (folder / "state_dict.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError, match=r"no zip archive.*never run"):
        load_model(folder)
    torch.save({"x": Evil()}, folder / "state_dict.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match=r"no zip archive.*never run"):
        load_model(folder)
    assert not mark.exists()


@pytest.mark.parametrize("kind", [AssertionError, OSError, TypeError, IndexError])
def test_whatever_a_parser_raises_is_a_damaged_file(kind, tmp_path, monkeypatch, golden_model):
    folder = make_folder(tmp_path / "m", state=golden_model.state_dict())

    def fail(*_, **__):
        raise kind("a byte was flipped")

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(WeightsError, match=f"damaged.*{kind.__name__}"):
        load_model(folder)


def test_a_file_that_cannot_be_opened_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        model_folder.read_state_dict(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("classifier.bias"), "1 tensors are missing.*classifier.bias"),
        (lambda s: s.update(more=torch.zeros(1)), "1 are not expected.*more"),
        (lambda s: s.update({"classifier.bias": torch.zeros(5)}), r"shape \(5,\)"),
        (
            lambda s: s.update({"classifier.bias": torch.full((4,), torch.nan)}),
            "not finite.*Get it again",
        ),
        (lambda s: s.update(note="text"), "does not hold a state dict.*Save it with"),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(change, message, golden_model, tmp_path):
    state = dict(golden_model.state_dict())
    change(state)
    with pytest.raises(WeightsError, match=message):
        load_model(make_folder(tmp_path / "m", state=state))


def test_broken_files_and_folders(tmp_path, small_folder, golden_model):
    with pytest.raises(ValueError, match="no weights called 'nothing'"):
        load_model("nothing")
    with pytest.raises(TypeError, match="got NoneType"):
        load_model(None)
    with pytest.raises(WeightsError, match="neither"):
        load_model(tmp_path)
    folder = make_folder(tmp_path / "m")
    with pytest.raises(WeightsError, match=r"no state_dict\.pth"):
        load_model(folder)
    torch.save(golden_model.state_dict(), folder / "state_dict.pth")
    whole = (folder / "state_dict.pth").read_bytes()
    for size in (0, 100, len(whole) // 2):
        (folder / "state_dict.pth").write_bytes(whole[:size])
        with pytest.raises(WeightsError, match="damaged"):
            load_model(folder)
    ours = save_model(Wav2Sleep(Wav2SleepConfig()), tmp_path / "ours")
    (ours / "model.safetensors").write_bytes(b"\x10" * 100)
    with pytest.raises(WeightsError, match="damaged"):
        load_model(ours)
    (ours / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="does not describe"):
        load_model(ours)
