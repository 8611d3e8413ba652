"""Fuzz the readers of untrusted files: python tests/fuzz.py TARGET CORPUS [OPTIONS].

Targets are edf, config, calibration and weights. Requires atheris (``pip install atheris``, Linux);
options are those of libFuzzer. To fuzz the reading of EDF files for ten minutes::

    python tests/fuzz.py edf /tmp/corpus -max_total_time=600 -rss_limit_mb=4096

The corpus is initialized with valid files. An input must give a result or a clear error of one
sentence; otherwise, the fuzzer stops and writes the input to a ``crash-*`` file. After the bug is
fixed, move this file to ``tests/data/fuzz`` as ``TARGET-*``, where test_fuzz.py uses it.
"""

import sys
import tempfile
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

DATA = Path(__file__).parent / "data" / "fuzz"


def make_folder(folder):
    """Write a valid model folder, for the files that are not fuzzed."""
    import torch

    from mne_wav2sleep import load_weights, save_weights
    from mne_wav2sleep.network import Preprocessing, Wav2Sleep, Wav2SleepConfig

    torch.manual_seed(0)
    config = Wav2SleepConfig(
        signals={"ECG": "ECG", "THX": "THX"},
        initial_channels=2,
        max_channels=4,
        feature_dim=4,
        mixer_heads=2,
        mixer_dim_ff=4,
        mixer_layers=1,
        sequence_blocks=1,
        sequence_dilations=1,
    )
    weights = load_weights(save_weights(Wav2Sleep(config), folder))
    return save_weights(replace(weights, preprocessing=Preprocessing(padded_epochs=0)), folder)


def read_edf(data, folder, weights):
    """Stage an EDF file of these bytes."""
    from mne_wav2sleep import SleepStagerW2S

    (folder / "night.edf").write_bytes(data)
    hyp = SleepStagerW2S(folder / "night.edf", weights=weights, verbose="error").predict()
    assert abs(hyp.proba.sum(axis=1) - 1).max() < 1e-9


def _read_folder(names, data, folder, weights):
    """Load a model folder in which the first byte selects a file, and the others replace it."""
    from mne_wav2sleep import load_weights

    for path in folder.iterdir():
        path.unlink()
    for path in weights.iterdir():
        if path.name not in names:
            (folder / path.name).write_bytes(path.read_bytes())
    (folder / names[sum(data[:1]) % len(names)]).write_bytes(data[1:])
    load_weights(folder)


TARGETS = {
    "edf": read_edf,
    "config": partial(_read_folder, ("config.json", "config.yaml")),
    "calibration": partial(_read_folder, ("calibration.json",)),
    "weights": partial(_read_folder, ("model.safetensors", "state_dict.pth")),
}


def run_clean(target, data, folder, weights):
    """Check that a target gives a result or a clear error for these bytes."""
    from builders import assert_clean

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            TARGETS[target](data, folder, weights)
        except Exception as error:
            assert_clean(error)


def make_seeds(target, weights):
    """Make valid files from which fuzzing starts."""
    import torch
    from builders import DATA as VALID
    from builders import write_edf

    from mne_wav2sleep import load_weights

    if target == "edf":
        with tempfile.TemporaryDirectory() as folder:
            path = write_edf(Path(folder) / "night.edf", {"ECG": 32.0, "Thor": 32.0}, 90)
            return [path.read_bytes()]
    if target == "calibration":
        return [b"\0" + (weights / "calibration.json").read_bytes()]
    if target == "config":
        return [
            b"\0" + (weights / "config.json").read_bytes(),
            b"\1" + (VALID / "released_config.yaml").read_bytes(),
        ]
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save(load_weights(weights).network.state_dict(), file.name)
        pickled = Path(file.name).read_bytes()
    return [b"\0" + (weights / "model.safetensors").read_bytes(), b"\1" + pickled]


def main():
    import atheris

    with atheris.instrument_imports(include=["mne_wav2sleep", "mne.io.edf"]):
        import mne.io.edf.edf

        import mne_wav2sleep
    assert mne_wav2sleep
    assert mne.io.edf.edf
    target, corpus = sys.argv[1], Path(sys.argv[2])
    weights = make_folder(Path(tempfile.mkdtemp()))
    folder = Path(tempfile.mkdtemp())
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(make_seeds(target, weights)):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup(
        [sys.argv[0], *sys.argv[2:]], lambda data: run_clean(target, data, folder, weights)
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
