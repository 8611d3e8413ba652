"""A night staged with the bundled weights, written and drawn, to see what one gets."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import yasa

from ..hypnograms.probabilities import allow_absent_stages
from ..hypnograms.reading import align_stages, read_stages
from ..hypnograms.writing import write_hypnogram
from ..output import write_whole
from ..reports.html import write_report
from ..reports.night import plot_agreement
from ..simulation.night import simulate_night
from ..stager import SleepStagerW2S
from ..staging.provenance import provenance_path, write_provenance

_ALWAYS = ("hypnogram.json", provenance_path(Path("hypnogram.json")).name, "report.html")
"""What every demo writes."""


def stage_demo_night(
    folder: Path, *, recording: Path | None = None, seed: int = 0
) -> tuple[SleepStagerW2S, list[pd.DataFrame]]:
    """Stage a night with the weights ``"mini"`` and write all that comes of it.

    Parameters
    ----------
    folder : Path
        Where ``hypnogram.json`` with its provenance, ``hypnogram.tsv``, ``epochs.csv``
        (probabilities and stage of each epoch, with the clock if the recording has a date),
        ``night.png``, ``agreement.png`` (of a simulated night) and ``report.html`` go; made if it
        does not exist. What an earlier demo of a simulated night left there is replaced; a folder
        with anything else in it is refused.
    recording : Path, optional
        The recording; without it, a night is simulated.
    seed : int
        Which night is simulated.

    Returns
    -------
    stager : SleepStagerW2S
        What staged the night.
    agreement : list of pandas.DataFrame
        Agreement with the simulated stages, and the confusion matrix; nothing for a recording.

    Raises
    ------
    ValueError
        If the folder holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, and results need a folder. Give another name.")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not all((folder / name).exists() for name in _ALWAYS):
        raise ValueError(
            f"{folder} holds other files than those of an earlier demo, which alone are replaced. "
            "Give a new folder."
        )
    if any(folder.iterdir()):
        earlier = json.loads((folder / _ALWAYS[1]).read_text(encoding="utf-8"))
        if files := earlier["recording"]["files"]:
            raise ValueError(
                f"{folder} holds what became of {', '.join(files)}, which is not replaced. Give "
                "another folder."
            )
    raw = simulate_night(seed=seed) if recording is None else recording
    stager = SleepStagerW2S(raw, weights="mini")
    hyp = stager.predict()
    stager.statistics()  # before provenance, which has what is warned of
    truth = None
    if recording is None:
        scored, _ = read_stages(None, raw, scorer="simulated truth")
        truth = align_stages(scored, hyp)
    for name in ("hypnogram.json", "hypnogram.tsv"):
        write_hypnogram(hyp, folder / name, overwrite=True)
    write_provenance(stager.provenance, folder / "hypnogram.json", overwrite=True)
    epochs = hyp.proba.assign(stage=hyp.hypno.to_numpy())
    if hyp.start is not None:
        epochs.insert(0, "clock", hyp.hypno.index.tz_localize(None))
    with write_whole(folder / "epochs.csv", overwrite=True) as unfinished:
        epochs.to_csv(unfinished)
    figures = {"night.png": stager.plot()}
    if truth is not None:
        figures["agreement.png"] = plot_agreement(truth, hyp)
    else:
        # What an earlier demo left is of a simulated night.
        (folder / "agreement.png").unlink(missing_ok=True)
    for name, figure in figures.items():
        with write_whole(folder / name, overwrite=True) as unfinished:
            figure.savefig(unfinished, dpi=100)
        plt.close(figure)
    write_report(stager.report(), folder / "report.html", overwrite=True)
    return stager, [] if truth is None else _compare(truth, hyp)


def _compare(truth: yasa.Hypnogram, hyp: yasa.Hypnogram) -> list[pd.DataFrame]:
    """Tabulate the agreement with the truth, and the confusion matrix."""
    agreement = yasa.EpochByEpochAgreement([truth], [hyp])
    with allow_absent_stages():
        scores = agreement.get_agreement().round(2)
    title = "against the simulated truth (%, but kappa and mcc)"
    confusion = agreement.get_confusion_matrix().rename_axis(index="simulated truth")
    return [scores.to_frame(title), confusion]
