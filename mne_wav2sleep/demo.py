"""A night staged with the bundled weights, written and drawn, to see what one gets."""

from pathlib import Path

import matplotlib.pyplot as plt
import yasa

from .hypnogram import write_hypnogram
from .simulate import simulate_night
from .stages import read_stages
from .staging import SleepStagerW2S


def stage_demo_night(
    folder: Path, *, recording: Path | None = None, seed: int = 0
) -> tuple[SleepStagerW2S, yasa.Hypnogram | None]:
    """Stage a night with the weights ``"mini"`` and write all that comes of it.

    Parameters
    ----------
    folder : Path
        Where ``hypnogram.json``, ``hypnogram.tsv``, ``epochs.csv`` (probabilities and stage of
        each epoch, with the clock if the recording has a date) and ``hypnogram.png`` go; made if
        it does not exist.
    recording : Path, optional
        The recording; without it, a night is simulated.
    seed : int
        Which night is simulated.

    Returns
    -------
    stager : SleepStagerW2S
        What staged the night.
    truth : yasa.Hypnogram or None
        The simulated stages; None for a recording.
    """
    folder.mkdir(parents=True, exist_ok=True)
    raw = simulate_night(seed=seed) if recording is None else recording
    stager = SleepStagerW2S(raw, weights="mini")
    hyp = stager.predict()
    truth = None
    if recording is None:
        truth = read_stages(None, raw, hyp.start)[0].consolidate_stages(4)
    for name in ("hypnogram.json", "hypnogram.tsv"):
        write_hypnogram(hyp, folder / name)
    epochs = hyp.proba.assign(stage=hyp.hypno.to_numpy())
    if hyp.start is not None:
        epochs.insert(0, "clock", hyp.hypno.index.tz_localize(None))
    epochs.to_csv(folder / "epochs.csv")
    _draw(hyp, truth, folder / "hypnogram.png")
    return stager, truth


def _draw(hyp: yasa.Hypnogram, truth: yasa.Hypnogram | None, path: Path) -> None:
    """Draw the stages, the true ones above where they are known, and the probabilities below."""
    rows = {f"Staged by {hyp.scorer}": hyp.plot_hypnogram}
    if truth is not None:
        rows = {"Simulated truth": truth.plot_hypnogram, **rows}
    rows[f"Probability of each stage by {hyp.scorer}"] = hyp.plot_hypnodensity
    figure, axes = plt.subplots(
        len(rows), figsize=(12, 3.5 * len(rows)), layout="constrained", sharex=True
    )
    for axis, (title, plot) in zip(axes, rows.items(), strict=True):
        plot(ax=axis)
        axis.set_title(title, loc="left")
    figure.savefig(path)
    plt.close(figure)
