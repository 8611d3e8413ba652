"""The part of a page that is about heart rhythms: what staging and `quality()` noticed of them."""

from collections.abc import Sequence

import numpy as np
from results import Result
from study import Study

from mne_wav2sleep.training.card import format_number, format_table


def describe_left_out(study: Study) -> str:
    """Say which arms are left out without a recorded ECG.

    Parameters
    ----------
    study : Study
        The study.

    Returns
    -------
    text : str
        A sentence.
    """
    labels = "; ".join(arm.label for arm in study.recorded.values())
    return f"Left out, since no recorded ECG was given (--ectopic-ecg FILE.npz): {labels}."


def describe_warnings(results: Sequence[Result], study: Study) -> str:
    """Describe in how many nights staging warned of the rhythm, and how plausible beats were.

    Parameters
    ----------
    results : sequence of Result
        The results of a study.
    study : Study
        The study, with the arms that have results.

    Returns
    -------
    text : str
        A table, and what it has.
    """
    rows = []
    for name, arm in study.arms.items():
        some = [one for one in results if one.arm == name]
        n_nights = sum(len({night.subject for night in one.nights}) for one in some)
        n_noticed = sum(len(one.noticed or ()) for one in some)
        shares = [share for one in some for share in (one.implausible or {}).values()]
        implausible = ""
        if shares:
            implausible = f"{100 * np.mean(shares):.1f} (at most {100 * max(shares):.1f})"
        spent = float(np.mean([one.staging_s or np.nan for one in some]))
        cells = [n_nights, n_noticed, implausible, format_number(spent, 1)]
        rows.append([arm.label, *cells])
    columns = ["rhythm", "nights", "with a warning of the rhythm"]
    columns += ["implausible epochs of the ECG (%)", "CPU time of a night (s)"]
    recorded = ""
    if study.recorded:
        recorded = (
            "\n\nThe real ectopic ECG is a recording of another person, pieces of which replace "
            "the simulated ECG in the episodes, with its amplitude. When its heart beats says "
            "nothing of the stages, and the PPG and belts stay in sinus rhythm."
        )
    return f"""{format_table(columns, rows)}

Warnings are those of staging a night (`SleepStagerW2S.cautions`), that the heart beats \
irregularly, or at a fixed rate. An epoch is implausible if `SleepStagerW2S.quality()` finds no \
heart beats at a possible rate and of similar shape: the mean over nights, and the highest one; \
empty where that was not asked. The time includes simulating a night.{recorded}"""
