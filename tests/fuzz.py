"""Fuzz the readers of untrusted files: python tests/fuzz.py TARGET CORPUS [OPTIONS].

Targets are edf, config, calibration and weights, and xml, table, json, wsc and annotations, which
are files of stages. Requires atheris (``pip install atheris``, Linux); options are those of
libFuzzer. To fuzz the reading of EDF files for ten minutes::

    python tests/fuzz.py edf /tmp/corpus -max_total_time=600

The corpus is initialized with valid files. An input must give a result or a clear error of one
sentence, within 2 GB of memory and 20 s; otherwise, the fuzzer stops and writes the input to a
``crash-*``, ``oom-*`` or ``timeout-*`` file. After the bug is fixed, move this file to
``tests/data/fuzz`` as ``TARGET-*``, where test_fuzz.py uses it.
"""

import signal
import sys
import tempfile
import warnings
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

DATA = Path(__file__).parent / "data" / "fuzz"
MEMORY_MB = 2048
"""Memory that an input may take."""
SECONDS = 20
"""Time that an input may take, which is measured by the fuzzer only."""


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


def _read_stages(suffixes, data, folder, weights):
    """Read a file of stages; the first byte selects its suffix if there are several."""
    from mne_wav2sleep import read_hypnogram

    suffix = suffixes[sum(data[:1]) % len(suffixes)]
    (folder / f"stages{suffix}").write_bytes(data[len(suffixes) > 1 :])
    hyp = read_hypnogram(folder / f"stages{suffix}", verbose="error")
    assert hyp.n_epochs > 0
    assert hyp.n_stages in (4, 5)


TARGETS = {
    "edf": read_edf,
    "config": partial(_read_folder, ("config.json", "config.yaml")),
    "calibration": partial(_read_folder, ("calibration.json",)),
    "weights": partial(_read_folder, ("model.safetensors", "state_dict.pth")),
    "xml": partial(_read_stages, (".xml",)),
    "table": partial(_read_stages, (".csv", ".txt", ".annot")),
    "json": partial(_read_stages, (".json",)),
    "wsc": partial(_read_stages, (".stg.txt", ".allscore.txt")),
    "annotations": partial(_read_stages, (".edf",)),
}


STAGES = ("xml", "table", "json", "wsc", "annotations")
"""Targets that are files of stages."""


@contextmanager
def limit_memory():
    """Limit the memory that can be taken in addition to what is in use."""
    if sys.platform != "linux":
        yield
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + MEMORY_MB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def assert_in_memory(error):
    """Check that an error does not come from a lack of memory, which readers also catch."""
    while error is not None:
        assert not isinstance(error, MemoryError), repr(error)
        error = error.__cause__ or error.__context__


def run_clean(target, data, folder, weights):
    """Check that a target gives a result or a clear error for these bytes."""
    from builders import assert_clean

    with warnings.catch_warnings(), limit_memory():
        warnings.simplefilter("ignore")
        try:
            TARGETS[target](data, folder, weights)
        except Exception as error:
            assert_clean(error)
            assert_in_memory(error)


def make_stages(target, folder):
    """Make valid files of stages."""
    import edfio
    import pandas as pd
    import yasa

    from mne_wav2sleep import write_hypnogram

    stages = ["WAKE", "N1", "N2", "N3", "REM", "UNS"]
    hyp = yasa.Hypnogram(stages, start="2024-03-01 22:30:00", scorer="=me")
    if target == "xml":
        events = "".join(
            f"<ScoredEvent><EventConcept>{stage}|{i}</EventConcept><Start>{30 * i},0</Start>"
            "<Duration>30,0</Duration></ScoredEvent>"
            for i, stage in enumerate(stages)
        )
        codes = "".join(f"<SleepStage>{i}</SleepStage>" for i in range(6))
        changes = "".join(f'<Stage Type="{s}" Start="{30 * i}"/>' for i, s in enumerate(stages))
        texts = [
            f"<PSGAnnotation><ScoredEvents>{events}</ScoredEvents></PSGAnnotation>",
            f"<CMPStudyConfig><EpochLength>30</EpochLength><SleepStages>{codes}</SleepStages>"
            "</CMPStudyConfig>",
            "<PatientStudy><Acquisition><Sessions><Session><Duration>200</Duration>"
            "<RecordingStart>2024-03-01T22:30:00</RecordingStart></Session></Sessions>"
            "</Acquisition><ScoringData><StagingData><UserStaging><NeuroAdultAASMStaging>"
            f"{changes}</NeuroAdultAASMStaging></UserStaging></StagingData></ScoringData>"
            "</PatientStudy>",
        ]
        declaration = '<?xml version="1.0" encoding="UTF-16"?>'
        return [*map(str.encode, texts), (declaration + texts[1]).encode("utf-16")]
    if target == "table":
        write_hypnogram(hyp, folder / "stages.csv")
        write_hypnogram(hyp, folder / "stages.txt")
        head = b"# onset, duration, description\n"
        return [
            b"\0" + (folder / "stages.csv").read_bytes(),
            b"\1" + (folder / "stages.txt").read_bytes(),
            b"\0onset;duration;stage\n2024-03-01 22:30:00;30,0;W\n2024-03-01 22:30:30;;N2\n",
            b"\1# MNE-Annotations\n# orig_time : 2024-03-01 22:30:00\n" + head + b"0,30,W\n",
            b"\2# N2 | NREM\nclass\tinstance\tchannel\tstart\tstop\tmeta\n"
            b"W\t.\t.\t0\t+30\t.\nN2\t.\t.\te:2\te:4\t.\nR\t.\t.\t120\t150\t.\n",
            b"\0" + "stage\nW\nN2\n".encode("utf-16"),
        ]
    if target == "json":
        proba = pd.DataFrame(
            1 / 6, index=range(6), columns=["WAKE", "N1", "N2", "N3", "REM", "ART"]
        )
        whole = yasa.Hypnogram(stages, start="2024-03-01 22:30", tz="Europe/Paris", proba=proba)
        hyp.to_json(folder / "stages.json")
        whole.to_json(folder / "whole.json")
        return [(folder / name).read_bytes() for name in ("stages.json", "whole.json")]
    if target == "wsc":
        return [
            b"\0Epoch\tUser-Defined Stage\tCAST-Stage\n1\t7\t7\n2\t0\t7\n4\t5\t5\n",
            b"\0" + b"1\t2\t2\n2\t6\t7\n",
            b"\1" + b"23:59:10.00\tSTART RECORDING\r\n23:59:10.00\tSTAGE - W\r\n"
            b"00:00:10.00\tAROUSAL - DUR: 3.0 SEC. - LM\r\n00:00:40.00\tSTAGE - N2\r\n"
            b"00:01:40.00\tPAUSED\r\n00:03:10.00\tSTAGE - R\r\n11:59:10 PM\tLIGHTS ON\r\n",
        ]
    write_hypnogram(hyp, folder / "stages.edf")
    notes = [edfio.EdfAnnotation(30 * i, 30, f"Sleep stage {i}") for i in range(5)]
    edfio.Edf([], annotations=notes).write(folder / "undated.edf")
    return [(folder / name).read_bytes() for name in ("stages.edf", "undated.edf")]


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
    if target in STAGES:
        with tempfile.TemporaryDirectory() as folder:
            return make_stages(target, Path(folder))
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

    import mne_wav2sleep

    # Imported twice, so that the instrumented import does not include all of MNE, YASA and torch.
    for name in [name for name in sys.modules if name.split(".")[0] == mne_wav2sleep.__name__]:
        del sys.modules[name]
    with atheris.instrument_imports(include=["mne_wav2sleep", "mne.io.edf"]):
        import mne.io.edf.edf

        import mne_wav2sleep
        import mne_wav2sleep.stager
    assert mne.io.edf.edf
    target, corpus = sys.argv[1], Path(sys.argv[2])
    weights = make_folder(Path(tempfile.mkdtemp()))
    folder = Path(tempfile.mkdtemp())
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(make_seeds(target, weights)):
        (corpus / f"seed-{number}").write_bytes(seed)

    def check(data):
        try:
            run_clean(target, data, folder, weights)
        except BaseException:
            # libFuzzer's alarm could end the process before the input is written.
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise

    options = [f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SECONDS}", *sys.argv[2:]]
    atheris.Setup([sys.argv[0], *options], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
