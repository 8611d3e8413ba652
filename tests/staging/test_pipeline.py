"""Staging a recording: encoders run once, whatever is asked for and however often."""

import threading

import numpy as np
import pytest
import torch
from builders import HOUR, START, fail, make_raw, make_signal, make_wave, toy_recordings
from mne.utils import use_log_level

from mne_wav2sleep import SleepStagerW2S, load_weights
from mne_wav2sleep.network import Engine, Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.network.fast import FastWav2Sleep
from mne_wav2sleep.signals import Reason
from mne_wav2sleep.signals.batch import make_batch
from mne_wav2sleep.staging.windows import plan_windows

pytestmark = toy_recordings


@pytest.fixture
def encoded(monkeypatch):
    """Calls of ``encode``: which class was called, and for which modalities."""
    calls = []

    def watch(owner):
        encode = owner.encode

        def wrapped(self, x):
            calls.append((owner.__name__, sorted(x)))
            return encode(self, x)

        monkeypatch.setattr(owner, "encode", wrapped)

    for owner in (Engine, FastWav2Sleep, Wav2Sleep):
        watch(owner)
    return calls


def list_calls(*modalities):
    """List the calls that encode each modality once."""
    return [(name, [one]) for one in modalities for name in ("Engine", "FastWav2Sleep")]


def test_only_the_encoders_that_are_needed_run(small_folder, encoded):
    stager = SleepStagerW2S(make_raw(["Thor"]), weights=small_folder)
    stager.predict()
    stager.predict()
    assert encoded == list_calls("THX")


@pytest.mark.parametrize(
    "methods", [("predict", "audit", "report"), ("audit", "report"), ("report",)]
)
def test_encoders_run_once(methods, small_folder, encoded):
    stager = SleepStagerW2S(make_raw(), weights=small_folder, verbose="error")
    for method in (*methods, "statistics", "availability", "provenance", "audit", "plot"):
        getattr(stager, method)()
    assert encoded == list_calls("ABD", "ECG", "PPG", "THX")


def test_encoders_run_once_per_window(small_folder, encoded):
    raw = make_raw(["Thor", "Abdo"], 8.0, 13 * HOUR)
    stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    stager.predict()
    stager.audit()
    n_windows = len(plan_windows(13 * 120))
    assert n_windows == 2
    assert encoded == list_calls("ABD", "THX") * n_windows


def test_a_window_without_any_signal_is_not_encoded(small_folder, encoded):
    raw = fail(make_raw(["Thor"], 8.0, 13 * HOUR), ["Thor"], 0, 1250)
    hyp = SleepStagerW2S(raw, weights=small_folder, verbose="error").predict()
    assert encoded == list_calls("THX")  # of the second window
    assert np.flatnonzero(hyp.hypno == "UNS").tolist() == list(range(1250))


@pytest.mark.parametrize("n_before", [0, 1])
def test_an_interrupted_stager_can_be_used_again(n_before, small_folder, monkeypatch):
    """Ctrl-C in the first of two windows, or in the second, each of which has two signals."""
    raw = make_raw(["Thor", "Abdo"], 8.0, 13 * HOUR)
    expected = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    proba, cautions = expected.predict().proba, expected.cautions
    stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    encode, calls = Engine.encode, []

    def interrupt(self, x):
        calls.append(1)
        if len(calls) == 2 * n_before + 1:
            raise KeyboardInterrupt
        return encode(self, x)

    monkeypatch.setattr(Engine, "encode", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stager.predict()
    assert stager._result is None
    assert stager.predict().proba.equals(proba)
    assert len(calls) == 2 * n_before + 1 + 4  # both windows are encoded anew
    assert stager.cautions == cautions
    assert (stager.availability() == "measured").all(axis=None)


def test_threads_that_share_a_stager_get_equal_stages(small_folder):
    raw = fail(make_raw(start=START), ["ECG"], 40, 60, np.nan)
    expected = SleepStagerW2S(raw, weights=small_folder, verbose="error").predict()
    stager = SleepStagerW2S(raw, weights=small_folder)
    barrier, found = threading.Barrier(2), []

    def work():
        barrier.wait()
        found.append(stager.predict())

    threads = [threading.Thread(target=work) for _ in range(2)]
    with use_log_level("error"):  # the level is that of all threads
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 2
    for hyp in found:
        assert (hyp.hypno == expected.hypno).all()
        assert hyp.proba.equals(expected.proba)
    assert found[0].proba is not found[1].proba
    assert stager.predict().proba.equals(expected.proba)


@pytest.mark.parametrize("room", ["none", "weights"])
def test_a_device_without_memory_falls_back_to_the_cpu(room, small_folder, monkeypatch):
    """As CUDA does if its memory is full; torch's meta device stands in for it."""
    raw = make_raw()
    expected = SleepStagerW2S(raw, weights=small_folder).predict().proba
    weights = load_weights(small_folder)
    network, state = weights.network, weights.network.state_dict()
    stager = SleepStagerW2S(raw, weights=weights)
    engine = stager._load()[1]
    engine._network = network
    encode, seen = FastWav2Sleep.encode, []

    def find_device(x):
        (device,) = {one.device.type for one in x.values()}
        seen.append(device)

    def run_out(x):
        find_device(x)
        raise torch.OutOfMemoryError("CUDA out of memory.")

    def run(self, x):
        find_device(x)
        return encode(self, x)

    def move(device):
        if device.type == "meta":
            moved = type(network).to(network, device)
            if room == "none":
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return moved
        network.load_state_dict(state, assign=True)  # which the meta device has forgotten
        return network

    monkeypatch.setattr(network, "encode", run_out)
    monkeypatch.setattr(FastWav2Sleep, "encode", run)
    monkeypatch.setattr(network, "to", move)
    engine.device = torch.device("meta")
    assert "device: meta" in repr(stager)
    with pytest.warns(RuntimeWarning, match="'meta' has too little free memory.*on the CPU"):
        proba = stager.predict().proba
    np.testing.assert_array_equal(proba, expected)
    rest = ["cpu"] * (len(raw.ch_names) - 1)
    assert seen == ([] if room == "none" else ["meta"]) + ["cpu", *rest]
    assert "device: cpu" in repr(stager)


def test_no_tensor_is_made_on_the_wrong_device():
    """On torch's meta device, a tensor on the CPU raises."""
    signals = {
        name: make_signal(make_wave(64.0, 300), 64.0, 10) for name in ("ABD", "ECG", "PPG", "THX")
    }
    signals["PPG"].epochs[3] = Reason.FLAT
    x, available = make_batch(signals, padded_epochs=1200)
    x, available = (
        {name: torch.as_tensor(one).to("meta") for name, one in arrays.items()}
        for arrays in (x, available)
    )
    with torch.device("meta"):
        model = Wav2Sleep(Wav2SleepConfig()).eval()
    logits = model(x, available)
    assert {t.device.type for t in (*x.values(), *available.values(), logits)} == {"meta"}
    assert logits.shape == (1, 1200, 4)
