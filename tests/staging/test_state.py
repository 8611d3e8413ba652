"""Results do not depend on what a user does to torch, to the network, or in other threads."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager

import numpy as np
import pandas as pd
import pytest
import torch
from builders import make_raw, toy_recordings

from mne_wav2sleep import SleepStagerW2S, WeightsError, load_weights, verbosity
from mne_wav2sleep.cautions import catch_warnings, warn
from mne_wav2sleep.network import Engine, Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.staging.steps import Steps
from mne_wav2sleep.verbosity import logger, use_log_level

pytestmark = toy_recordings


@pytest.fixture(scope="module")
def raw():
    return make_raw(("ECG", "Thor"), seconds=900)


@pytest.fixture(scope="module")
def expected(raw, small_folder):
    return stage(raw, small_folder)


def stage(raw, weights):
    return SleepStagerW2S(raw, weights, device="cpu", verbose="error").predict().proba


def halve(network):
    for parameter in network.parameters():
        parameter.data *= 0.5


def replace_classifier(network):
    network.classifier = torch.nn.Linear(16, 4)


@contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(
    "part", ["epoch_mixer", "sequence_mixer", "epoch_mixer.transformer_encoder.layers.0"]
)
def test_dropout_is_off_in_a_part_that_was_left_in_training_mode(part, raw, small_folder, expected):
    weights = load_weights(small_folder)
    weights.network.get_submodule(part).train()
    assert stage(raw, weights).equals(expected)
    assert weights.network.get_submodule(part).training  # the user's network is left as it was


@pytest.mark.parametrize(
    "change",
    [
        halve,
        replace_classifier,
        lambda network: network.to("meta"),
        lambda network: network.half(),
        lambda network: network.train(),
    ],
    ids=["halved", "other classifier", "moved", "half", "training"],
)
def test_a_network_changed_after_staging_does_not_change_the_night(
    change, raw, small_folder, expected
):
    weights = load_weights(small_folder)
    stager = SleepStagerW2S(raw, weights, device="cpu", verbose="error")
    stager.predict()
    change(weights.network)
    assert stager.audit().hypnograms["ECG+THX"].proba.equals(expected)
    assert stager.predict().proba.equals(expected)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda network: network.bfloat16(), "bfloat16 on the device 'cpu'"),
        (lambda network: network.classifier.double(), "float64 on the device 'cpu'"),
        (lambda network: network.sequence_mixer.to("meta"), "float32 on the device 'meta'"),
    ],
)
def test_a_network_that_was_converted_or_moved_is_refused(change, found, raw, small_folder):
    weights = load_weights(small_folder)
    change(weights.network)
    stager = SleepStagerW2S(raw, weights, device="cpu", verbose="error")
    with pytest.raises(WeightsError, match=f"{found}. Load the weights again"):
        stager.predict()


@pytest.mark.parametrize(
    "mode",
    [
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.autocast("cpu", torch.float16),
        torch.inference_mode,
        torch.enable_grad,
        torch.autograd.detect_anomaly,
        lambda: default_dtype(torch.float64),
        lambda: default_dtype(torch.bfloat16),
        lambda: np.errstate(all="raise"),
        lambda: pd.option_context("mode.sim_interactive", True, "display.precision", 1),
    ],
)
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_modes_that_a_user_has_set_change_no_bit(mode, raw, small_folder, expected):
    with mode():
        stager = SleepStagerW2S(raw, small_folder, device="cpu", verbose="error")
        assert stager.predict().proba.equals(expected)
        assert stager.audit().hypnograms["ECG+THX"].proba.equals(expected)


@pytest.mark.parametrize("device", ["meta", "cuda:63", "mps"])
def test_a_default_device_that_holds_nothing_is_not_used(device, raw, small_folder, expected):
    with default_device(device):
        found = stage(raw, small_folder)
    # torch computes the same in another order, since a default device is a mode of its own.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_lower_precision_of_matrix_products_is_in_the_provenance(raw, small_folder):
    torch.set_float32_matmul_precision("high")
    try:
        stager = SleepStagerW2S(raw, small_folder, device="cpu", verbose="error")
        found = stager.provenance()["parameters"]
    finally:
        torch.set_float32_matmul_precision("highest")
    assert (found["precision"], found["matmul_precision"]) == ("float32", "high")


def run_in_threads(work, n_threads=4):
    """Run a function of the number of the thread in several at once, and return what they give."""
    barrier, found = threading.Barrier(n_threads), [None] * n_threads

    def run(i):
        barrier.wait()
        found[i] = work(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_threads_on_one_stager_stage_once_and_see_all_of_it(
    raw, small_folder, expected, monkeypatch
):
    stager = SleepStagerW2S(raw, small_folder, device="cpu", verbose="error")
    encode, calls = Engine.encode, []
    monkeypatch.setattr(Engine, "encode", lambda self, x: calls.extend(x) or encode(self, x))
    methods = (stager.predict, stager.provenance, stager.audit, stager.availability)
    hyp, provenance, audit, availability = run_in_threads(lambda i: methods[i]())
    assert calls == ["ECG", "THX"]
    assert hyp.proba.equals(expected)
    assert audit.hypnograms["ECG+THX"].proba.equals(expected)
    assert provenance["channels"]["ECG"]["epochs"] == {"measured": 30}
    assert (availability == "measured").all(axis=None)
    assert len(set(stager.cautions)) == len(stager.cautions)


def test_stagers_in_threads_share_a_network_that_a_user_trains(raw, small_folder, expected):
    weights = load_weights(small_folder)
    weights.network.train()
    found = run_in_threads(lambda _: stage(raw, weights), 3)
    assert all(proba.equals(expected) for proba in found)


def test_threads_with_verbosities_of_their_own_leave_the_global_one():
    with use_log_level("warning"):
        barrier = threading.Barrier(3)

        def work(i):
            for _ in range(3):  # so that contexts begin and end in any order
                barrier.wait()
                with use_log_level(("error", "debug", "critical")[i]):
                    barrier.wait()

        run_in_threads(work, 3)
        assert logger.level == 30
        with use_log_level("error"), use_log_level("info"):
            assert logger.level == 20
        assert logger.level == 30
    with pytest.raises(ValueError, match="verbose"), use_log_level("loud"):
        pass


def test_copied_and_pickled_stagers_have_a_lock_of_their_own(raw, small_folder, expected):
    stager = SleepStagerW2S(raw, small_folder, device="cpu", verbose="error")
    unstaged = pickle.loads(pickle.dumps(stager))
    stager.predict()
    for other in (unstaged, copy.deepcopy(stager), pickle.loads(pickle.dumps(stager))):
        assert other._steps._lock is not stager._steps._lock
        assert other.predict().proba.equals(expected)
        assert other.audit().hypnograms["ECG+THX"].proba.equals(expected)
        assert other.cautions == stager.cautions
        assert other._steps._kept is other._cautions


FORK = """
import multiprocessing, sys
import mne, torch
from mne_wav2sleep import SleepStagerW2S, load_weights
raw = mne.io.read_raw_fif("night_raw.fif", preload=True, verbose="error")
stager = SleepStagerW2S(raw, sys.argv[1], device="cpu", verbose="error")
def audit(_):
    return sorted(stager.audit().hypnograms)
def stage(_):
    torch.isfinite(load_weights(sys.argv[1]).network.classifier.weight)
    again = SleepStagerW2S(raw, sys.argv[1], device="cpu", verbose="error")
    return again.predict().proba.equals(stager.predict().proba), torch.get_num_threads()
def choose(_):
    torch.set_num_threads(3)  # a number of the process's own is left
    SleepStagerW2S(raw, sys.argv[1], device="cpu", verbose="error")
    return torch.get_num_threads()
torch.set_num_threads(2)
stager.predict()
assert torch.isfinite(torch.ones(10**6)).all()  # with both threads
for work in (audit, stage, choose):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.apply_async(work, (0,)).get(100))
print(torch.get_num_threads())
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_processes_forked_after_staging_do_not_wait_for_lost_threads(raw, small_folder, tmp_path):
    raw.save(tmp_path / "night_raw.fif", verbose="error")
    result = subprocess.run(
        [sys.executable, "-c", FORK, str(small_folder)],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split("\n")[:4] == ["['ECG', 'ECG+THX', 'THX']", "(True, 1)", "3", "2"]


STEPS = Steps("error", [])
COPY = copy.deepcopy(STEPS)


@contextmanager
def verbosity_lock():
    with verbosity._lock:
        yield


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    "contexts",
    [
        [catch_warnings],
        [lambda: catch_warnings(record=True)],
        [verbosity_lock],
        [STEPS.run],
        [COPY.run],
        [lambda: use_log_level("critical")],
        [catch_warnings, STEPS.run, COPY.run, verbosity_lock],
    ],
)
@pytest.mark.parametrize("is_inside", [False, True])
def test_a_process_forked_while_another_thread_works_does_not_wait_for_it(is_inside, contexts):
    is_held, is_over = threading.Event(), threading.Event()

    def hold():
        with ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context())
            is_held.set()
            is_over.wait()

    def work():
        with pytest.warns(RuntimeWarning, match="from the fork"):
            warn("from the fork")
        with STEPS.run(), COPY.run(), use_log_level("info"):
            assert logger.level == 20
        assert logger.level == (10 if is_inside else 30)

    thread = threading.Thread(target=hold)
    process = multiprocessing.get_context("fork").Process(target=work)
    with use_log_level("warning"), ExitStack() as stack:
        if is_inside:  # the forking thread has a context of its own, which it keeps
            stack.enter_context(use_log_level("debug"))
        thread.start()
        is_held.wait()
        process.start()
        is_over.set()
        thread.join()
        process.join(60)
        process.kill()
        assert process.exitcode == 0


def test_a_flat_lead_is_no_error_where_numpy_raises_errors(small_folder):
    raw = make_raw(("ECG", "Thor"), seconds=900)
    raw._data[0, : raw.n_times // 3] = 0.0
    raw._data[1] *= 1e-310  # denormal numbers
    with np.errstate(all="raise"):
        stager = SleepStagerW2S(raw, small_folder, device="cpu", verbose="error")
        found = stager.predict().proba, stager.quality(), stager.statistics()
    again = SleepStagerW2S(raw, small_folder, device="cpu", verbose="error")
    for one, other in zip(
        found, (again.predict().proba, again.quality(), again.statistics()), strict=True
    ):
        pd.testing.assert_frame_equal(one, other)


def test_an_engine_runs_a_copy_in_evaluation_mode():
    network = Wav2Sleep(Wav2SleepConfig({"THX": "THX"}, feature_dim=8)).train()
    engine = Engine(network, "cpu")
    x = {"THX": np.random.default_rng(0).standard_normal((1, 20 * 256), np.float32)}
    first, second = (engine.mix(engine.encode(x), {}, [("THX",)])[("THX",)] for _ in range(2))
    assert torch.equal(first, second)
    assert network.training
