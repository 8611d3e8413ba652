"""The command ``demo``: a night staged with the bundled weights, with all kinds of output."""

import json
from pathlib import Path

import pandas as pd
import yasa
from matplotlib.figure import Figure

from ..hypnograms import align_hypnogram, read_hypnogram, write_hypnogram
from ..hypnograms.agreement import allow_absent_stages
from ..output import write_whole
from ..reports import plot_agreement
from ..reports.html import write_report
from ..simulation import simulate_night
from ..stager import SleepStagerW2S
from ..staging.provenance import provenance_path, write_provenance

_ALWAYS = ("hypnogram.json", provenance_path(Path("hypnogram.json")).name, "report.html")
"""Files that every demo writes."""


def stage_demo_night(
    folder: Path, *, recording: Path | None = None, seed: int = 0
) -> tuple[SleepStagerW2S, list[pd.DataFrame]]:
    """Stage a night with the weights ``"mini"``, and write the results.

    Parameters
    ----------
    folder : Path
        Folder for ``hypnogram.json`` with its provenance, ``hypnogram.tsv``, ``epochs.csv``
        (probabilities and stage of each epoch, with the time if the recording has a date),
        ``night.png``, ``agreement.png`` (of a simulated night) and ``report.html``; created if it
        does not exist. The results of an earlier demo on a simulated night are replaced; a folder
        that contains anything else is refused.
    recording : Path, optional
        The recording; by default, a night is simulated.
    seed : int
        Seed of the simulated night.

    Returns
    -------
    stager : SleepStagerW2S
        The stager.
    agreement : list of pandas.DataFrame
        Agreement with the simulated stages, and the confusion matrix; empty for a recording.

    Raises
    ------
    ValueError
        If the folder is a file, or contains anything but a demo on a simulated night.
    """
    _check_folder(folder)
    raw = simulate_night(seed=seed) if recording is None else recording
    stager = SleepStagerW2S(raw, weights="mini")
    hyp = stager.predict()
    stager.statistics()  # before provenance, which includes its warnings
    for name in ("hypnogram.json", "hypnogram.tsv"):
        write_hypnogram(hyp, folder / name, overwrite=True)
    write_provenance(stager.provenance(), folder / "hypnogram.json", overwrite=True)
    _write_epochs(hyp, folder / "epochs.csv")
    _write_figure(stager.plot(show=False), folder / "night.png")
    agreement = []
    if recording is None:
        truth = align_hypnogram(read_hypnogram(None, raw, scorer="simulated truth"), hyp)
        agreement = _compare(truth, hyp)
        _write_figure(plot_agreement(truth, hyp, show=False), folder / "agreement.png")
    else:
        # It is from an earlier demo on a simulated night.
        (folder / "agreement.png").unlink(missing_ok=True)
    write_report(stager.report(), folder / "report.html", overwrite=True)
    return stager, agreement


def _check_folder(folder: Path) -> None:
    """Create the folder, or check that it contains only a demo on a simulated night."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, and results need a folder. Give another name.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"The folder {folder} cannot be made ({error.strerror}). Give another one."
        ) from error
    if not any(folder.iterdir()):
        return
    try:
        earlier = json.loads((folder / _ALWAYS[1]).read_text(encoding="utf-8"))
        files = list(map(str, earlier["recording"]["files"]))
    except (OSError, KeyError, TypeError, ValueError):
        files = None
    if files is None or not all((folder / name).exists() for name in _ALWAYS):
        raise ValueError(
            f"{folder} contains files that are not from an earlier demo, and only those are "
            "replaced. Give a new folder."
        )
    if files:
        raise ValueError(
            f"{folder} contains the results of {', '.join(files)}, which are not replaced. Give "
            "another folder."
        )


def _write_epochs(hyp: yasa.Hypnogram, path: Path) -> None:
    """Write the probabilities and the stage of each epoch."""
    epochs = hyp.proba.assign(stage=hyp.hypno.to_numpy())
    if hyp.start is not None:
        epochs.insert(0, "clock", hyp.hypno.index.tz_localize(None))
    with write_whole(path, overwrite=True) as unfinished:
        epochs.to_csv(unfinished)


def _write_figure(figure: Figure, path: Path) -> None:
    """Write a figure."""
    with write_whole(path, overwrite=True) as unfinished:
        figure.savefig(unfinished, dpi=100)


def _compare(truth: yasa.Hypnogram, hyp: yasa.Hypnogram) -> list[pd.DataFrame]:
    """Tabulate the agreement with the truth, and the confusion matrix."""
    agreement = yasa.EpochByEpochAgreement([truth], [hyp])
    with allow_absent_stages():
        scores = agreement.get_agreement().round(2)
    title = "against the simulated truth (in %, except kappa and mcc)"
    confusion = agreement.get_confusion_matrix().rename_axis(index="simulated truth")
    return [scores.to_frame(title), confusion]
