"""The fast implementation for CPUs gives the same features as the plain network."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig, fast, layers, loops
from mne_wav2sleep.network.backends import choose_backend


@pytest.mark.parametrize(
    ("values_per_tile", "values_per_chunk"), [(3 * 256, 2**15), (3 * 256, 300), (2**17, 2**12)]
)
@pytest.mark.parametrize(
    "options",
    [{}, {"encoder_causal": True}, {"encoder_causal": True, "chunk_causal": True}],
    ids=["centered", "causal", "chunked"],
)
def test_tiles_give_the_same_features_as_the_plain_network(
    options, values_per_tile, values_per_chunk, monkeypatch
):
    torch.manual_seed(0)
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"}, **options)).eval()
    x = {"ABD": torch.randn(2, 20 * 256).cumsum(1)}
    monkeypatch.setattr(fast, "_VALUES_PER_TILE", values_per_tile)
    monkeypatch.setattr(layers, "_VALUES_PER_CHUNK", values_per_chunk)
    with torch.inference_mode():
        expected = network.encode(x)["ABD"]
        found = fast.FastWav2Sleep(network).encode(x)["ABD"]
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("n_recorded", [0, 1, 2, 7, 20])
@pytest.mark.parametrize("causal", [False, True])
def test_padding_that_is_encoded_once_has_the_features_of_all_of_it(causal, n_recorded):
    torch.manual_seed(0)
    config = Wav2SleepConfig({"ABD": "ABD", "ECG": "ECG"}, encoder_causal=causal)
    network = Wav2Sleep(config).eval()
    x = {"ABD": torch.randn(1, 20 * 256), "ECG": torch.randn(1, 20 * 1024)}
    for one in x.values():
        one[:, one.shape[1] * n_recorded // 20 + 3 :] = -0.3  # padding begins within an epoch
    with torch.inference_mode():
        found = fast.FastWav2Sleep(network).encode(x)
        exact = network.double().encode({name: one.double() for name, one in x.items()})
    for name in x:
        torch.testing.assert_close(found[name].double(), exact[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_channels", [1, 8, 20])
def test_any_number_of_channels(n_channels):
    torch.manual_seed(0)
    config = Wav2SleepConfig({"ABD": "ABD"}, initial_channels=n_channels, max_channels=40)
    network = Wav2Sleep(config).eval()
    x = {"ABD": torch.randn(1, 20 * 256)}
    with torch.inference_mode():
        expected = network.encode(x)["ABD"]
        found = fast.FastWav2Sleep(network).encode(x)["ABD"]
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_samples_need_not_be_contiguous():
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"})).eval()
    x = torch.randn(2, 8 * 256, 2)[..., 1]
    with torch.inference_mode():
        encode = fast.FastWav2Sleep(network).encode
        assert torch.equal(encode({"ABD": x})["ABD"], encode({"ABD": x.contiguous()})["ABD"])


def test_padding_is_not_encoded_again_and_again(monkeypatch):
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"})).eval()
    encoded = []
    monkeypatch.setattr(
        fast, "_Cnn", lambda *args, make=fast._Cnn: encoded.append(args[:2]) or make(*args)
    )
    x = torch.randn(1, 1200 * 256)
    x[:, 30 * 256 :] = 0.0
    with torch.inference_mode():
        fast.FastWav2Sleep(network).encode({"ABD": x})
    assert encoded == [(34, 1166)]


@pytest.mark.usefixtures("threads")
def test_any_number_of_threads_gives_the_same_bits():
    torch.manual_seed(0)
    network = Wav2Sleep(Wav2SleepConfig({"ECG": "ECG"})).eval().requires_grad_(False)
    x = {"ECG": torch.randn(1, 200 * 1024)}
    found = []
    for n_threads in (1, 2, 3, 2):
        torch.set_num_threads(n_threads)
        found.append(fast.FastWav2Sleep(network).encode(x)["ECG"])
    with ThreadPoolExecutor(3) as threads:  # each of which starts two
        encode = fast.FastWav2Sleep(network).encode
        found += [one["ECG"] for one in threads.map(encode, [x] * 3)]
    assert all(torch.equal(one, found[0]) for one in found)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_error_in_a_thread_is_raised(n_threads, monkeypatch):
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"})).eval()

    def fail(*args):
        raise RuntimeError("a tile failed")

    monkeypatch.setattr(fast.Convolution, "run", fail)
    torch.set_num_threads(n_threads)
    with pytest.raises(RuntimeError, match="a tile failed"):
        fast.FastWav2Sleep(network).encode({"ABD": torch.randn(1, 2 * 256)})


@pytest.mark.usefixtures("threads")
def test_loops_are_compiled_before_there_are_threads(monkeypatch):
    network, compiled = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"})).eval(), []
    monkeypatch.setattr(loops, "Loops", lambda make=loops.Loops: compiled.append(1) or make())
    loops.load_loops.cache_clear()
    torch.set_num_threads(3)
    fast.FastWav2Sleep(network).encode({"ABD": torch.randn(1, 40 * 256)})
    assert compiled == [1]


@pytest.mark.parametrize("n_epochs", [1, 2, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_recordings_may_be_short(causal, n_epochs):
    torch.manual_seed(0)
    config = Wav2SleepConfig({"ABD": "ABD", "ECG": "ECG"}, encoder_causal=causal)
    network = Wav2Sleep(config).eval()
    x = {"ABD": torch.randn(1, n_epochs * 256), "ECG": torch.randn(1, n_epochs * 1024)}
    with torch.inference_mode():
        expected, found = network.encode(x), fast.FastWav2Sleep(network).encode(x)
    for name in x:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=2e-5)


@pytest.mark.parametrize("n_samples", [2, 4, 8, 30, 64, 78])
@pytest.mark.parametrize("tile", [2, 6, 8, 16, 58])
@pytest.mark.parametrize("size", [8, 10])
def test_chunks_cover_a_span_and_are_only_repeated_far_from_the_ends(n_samples, tile, size):
    covered = []
    for start in range(0, n_samples, tile):
        end = min(start + tile, n_samples)
        for first, last, n_times in layers._split(start, end, size, n_samples):
            starts = [first + i * (last - first) for i in range(n_times)]
            covered += [sample for one in starts for sample in range(one, one + last - first)]
            if n_times > 1:
                assert first >= 4
                assert starts[-1] + last - first + 2 <= n_samples
    assert covered == list(range(n_samples))


def test_weights_of_another_type_are_refused():
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"})).eval()
    network.signal_encoders.encoders["ABD"].cnn.half()
    with pytest.raises(ValueError, match="contiguous float32, not float16"):
        fast.FastWav2Sleep(network).encode({"ABD": torch.randn(1, 2 * 256)})


def test_values_that_are_not_finite_are_not_hidden():
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"})).eval()
    for value in (torch.nan, torch.inf):
        x = torch.randn(1, 8 * 256)
        x[0, 77] = value
        with torch.inference_mode():
            assert fast.FastWav2Sleep(network).encode({"ABD": x})["ABD"].isnan().any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_convolutions_are_in_float32_within_autocast(dtype):
    torch.manual_seed(0)
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"})).eval()
    x, seen = {"ABD": torch.randn(1, 20 * 256)}, []
    network.signal_encoders.encoders["ABD"].linear.register_forward_pre_hook(
        lambda _, args: seen.append(args[0])
    )
    with torch.inference_mode():
        fast.FastWav2Sleep(network).encode(x)
        with torch.autocast("cpu", dtype):
            assert fast.FastWav2Sleep(network).encode(x)["ABD"].dtype == dtype
    assert torch.equal(*seen)


def test_small_deviations_from_a_large_mean_are_kept():
    """Statistics of float32 squares would lose them."""
    torch.manual_seed(0)
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"})).eval().requires_grad_(False)
    x = {"ABD": 50.0 + torch.randn(1, 20 * 256)}
    with torch.inference_mode():
        expected = copy.deepcopy(network).double().encode({"ABD": x["ABD"].double()})["ABD"]
        plain = network.encode(x)["ABD"]
        found = fast.FastWav2Sleep(network).encode(x)["ABD"]
    limit = max(2e-5, 3 * float((plain - expected).abs().max()))
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=limit)


def test_a_network_in_float64_is_run_as_it_is():
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"})).eval().double()
    x = {"ABD": torch.randn(1, 8 * 256, dtype=torch.float64)}
    with torch.inference_mode():
        assert torch.equal(fast.FastWav2Sleep(network).encode(x)["ABD"], network.encode(x)["ABD"])


def test_weights_are_shared_with_the_network():
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"})).eval().requires_grad_(False)
    x = {"ABD": torch.randn(1, 2 * 256)}
    before = fast.FastWav2Sleep(network).encode(x)["ABD"]
    network.signal_encoders.encoders["ABD"].linear.bias += 1.0
    after = fast.FastWav2Sleep(network).encode(x)["ABD"]
    assert (after > before).all()


def test_two_modalities_may_share_an_encoder():
    torch.manual_seed(0)
    config = Wav2SleepConfig({"ABD": "RESP", "THX": "RESP"})
    network = Wav2Sleep(config).eval().requires_grad_(False)
    belt = torch.randn(1, 2 * 256)
    z = fast.FastWav2Sleep(network).encode({"ABD": belt, "THX": belt})
    assert torch.equal(z["ABD"], z["THX"])


def test_only_a_cpu_uses_the_fast_implementation():
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"}))
    assert isinstance(choose_backend(network, torch.device("cpu")), fast.FastWav2Sleep)
    assert choose_backend(network, torch.device("cuda")) is network
