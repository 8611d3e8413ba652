"""Weights and inputs for which the golden files hold the original network's numbers.

Every array comes from a PCG64 stream of a stated seed, so that nothing large has to be stored.
"""

import numpy as np

SAMPLES = {"ABD": 256, "ECG": 1024, "PPG": 1024, "THX": 256}

# case -> seed, modalities, epochs, recordings
LOGITS = {
    "all_20": (1, ("ABD", "ECG", "PPG", "THX"), 20, 1),
    "ecg_20": (2, ("ECG",), 20, 1),
    "ppg_thx_37": (3, ("PPG", "THX"), 37, 1),
    "abd_8": (4, ("ABD",), 8, 1),
    "batch2_ppg_missing_in_second_16": (5, ("ECG", "PPG"), 16, 2),
}

# case -> modality -> seed, rate in Hz, seconds
PREPROCESSING = {
    "eight_hours": {"ECG": (11, 256.0, 28800.0), "THX": (12, 32.0, 28800.0)},
    "ten_hours": {"PPG": (13, 100.0, 36000.0), "ABD": (14, 10.0, 36000.0)},
    "long_tail": {"ECG": (15, 125.0, 22517.3)},
}


def fill_weights(shapes):
    """Draw all tensors, in the order of their names, from one stream."""
    rng = np.random.default_rng(2411)
    filled = {}
    for name, shape in sorted(shapes.items()):
        draw = rng.standard_normal(shape)
        is_matrix = draw.ndim >= 2 and "norm" not in name and not name.endswith("register_tokens")
        if is_matrix:
            draw *= 1.5 / np.sqrt(np.prod(shape[1:], dtype=int))
        elif name.endswith(".weight"):
            draw = 1 + 0.1 * draw
        else:
            draw = 0.1 * draw
        filled[name] = draw.astype(np.float32)
    return filled


def make_inputs(seed, modalities, n_epochs, n_recordings):
    """Draw z-scored network inputs of shape (n_recordings, n_epochs * samples)."""
    rng = np.random.default_rng(seed)
    x = {}
    for name in modalities:
        n = SAMPLES[name] * n_epochs
        seconds = np.arange(n) * (30 / SAMPLES[name])
        noise = 0.5 * rng.standard_normal((n_recordings, n))
        rate = rng.uniform(0.1, 1.5, size=(n_recordings, 1))
        swell = 1 + 0.5 * np.sin(2 * np.pi * seconds / 300)
        wave = noise + np.sin(2 * np.pi * rate * seconds) * swell
        wave = (wave - wave.mean(1, keepdims=True)) / wave.std(1, ddof=1, keepdims=True)
        x[name] = wave.astype(np.float32)
    return x


def make_source(seed, sfreq, seconds):
    """Draw a recorded wave with a mean of zero, sample i taken at i / sfreq seconds."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(sfreq * seconds)) / sfreq
    wave = np.sin(2 * np.pi * 0.27 * t) + 0.4 * np.sin(2 * np.pi * 1.1 * t + 1.0)
    wave += 0.2 * rng.standard_normal(t.size)
    return wave - wave.mean()
