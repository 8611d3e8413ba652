"""CPU time until a network for all signals, and one for some of them, reach the same loss."""

from collections.abc import Sequence

import numpy as np
from results import MINUTE, Result
from study import Study

from mne_wav2sleep.training.card import format_table

_LOSS = "validation_loss"


def find_column(unified: Sequence[str], special: Sequence[str]) -> str | None:
    """Find the loss that compares a network for all signals with a specialized one.

    Parameters
    ----------
    unified, special : sequence of str
        The signals that they read.

    Returns
    -------
    column : str or None
        The column in the passes of both: the loss from all signals, or from one alone; None for
        other subsets, whose loss is not measured in training.

    Examples
    --------
    >>> find_column(["ABD", "ECG", "THX"], ["ECG"]), find_column(["ECG", "THX"], ["ECG", "THX"])
    ('validation_loss_ECG', 'validation_loss')
    >>> find_column(["ABD", "ECG", "THX"], ["ABD", "THX"])
    """
    if sorted(unified) == sorted(special):
        return _LOSS
    return f"{_LOSS}_{special[0]}" if len(special) == 1 else None


def list_losses(result: Result, column: str) -> tuple[list[float], list[float]]:
    """List the losses of all passes of a run, and the CPU time at the end of each.

    Parameters
    ----------
    result : Result
        The run.
    column : str
        The column of the passes.

    Returns
    -------
    losses : list of float
        NaN where it is not known.
    times_s : list of float
        CPU time in s from the beginning of the first training run, each pass at the mean of its
        training run.
    """
    losses: list[float] = []
    times: list[float] = []
    before = 0.0
    for training in result.trainings:
        n_passes = len(training.passes)
        for number, one in enumerate(training.passes, start=1):
            value = one.get(column)
            losses.append(np.nan if value is None else value)
            times.append(before + training.cpu_s * number / n_passes)
        before += training.cpu_s
    return losses, times


def find_times(unified: Result, special: Result) -> tuple[float, float, float] | None:
    """Find when two runs first reached the loss that both reach.

    Parameters
    ----------
    unified, special : Result
        The runs, of the same seed.

    Returns
    -------
    found : tuple of (float, float, float), or None
        The loss, which is the higher one of their two lowest, and the CPU times of both in s; None
        if it is not known.
    """
    column = find_column(_list_signals(unified), _list_signals(special))
    if column is None:
        return None
    runs = [list_losses(one, column) for one in (unified, special)]
    if any(np.isnan(losses).all() for losses, _ in runs):
        return None
    level = max(float(np.nanmin(losses)) for losses, _ in runs)
    first = [times[int(np.argmax(np.array(losses) <= level))] for losses, times in runs]
    return level, first[0], first[1]


def _format(values: Sequence[float], digits: int, unit: float = 1.0) -> str:
    """Format a mean with its range; nothing if it is not known."""
    if not values:
        return ""
    shown = (np.mean(values), min(values), max(values))
    mean, low, high = (f"{one / unit:.{digits}f}" for one in shown)
    return f"{mean} ({low} to {high})"


def describe_times(results: Sequence[Result], study: Study) -> str:
    """Describe the CPU time to the same validation loss.

    Parameters
    ----------
    results : sequence of Result
        The results of a study, whose reference is the network for all signals.
    study : Study
        The study.

    Returns
    -------
    text : str
        A table, and what it has.
    """
    runs = {(one.arm, one.seed): one for one in results}
    seeds = sorted({one.seed for one in results})
    others = [name for name in study.arms if name != study.reference]
    found: dict[str, list[tuple[float, float, float]]] = {}
    rows, without, unknown = [], [], []
    for arm in others:
        label = study.arms[arm].label
        pairs = [(runs[study.reference, seed], runs[arm, seed]) for seed in seeds]
        if find_column(*(_list_signals(one) for one in pairs[0])) is None:
            without.append(label)
            continue
        times = [find_times(*pair) for pair in pairs]
        found[arm] = [one for one in times if one is not None]
        if len(found[arm]) < len(seeds):
            unknown.append(f"{label} ({len(seeds) - len(found[arm])} of {len(seeds)} seeds)")
        losses, *spent = zip(*found[arm], strict=True) if found[arm] else ((), (), ())
        rows.append([label, _format(losses, 3), *(_format(s, 1, MINUTE) for s in spent)])
    if found and not unknown:
        # The one network has to reach the losses of all, which are trained one after the other.
        each = list(zip(*found.values(), strict=True))  # by seed
        first = _format([max(one[1] for one in some) for some in each], 1, MINUTE)
        total = _format([sum(one[2] for one in some) for some in each], 1, MINUTE)
        rows.append(["these together", "", first, total])
    columns = ["specialized network", "validation loss that both reach"]
    columns += [f"{study.arms[study.reference].label} (CPU min)", "specialized network (CPU min)"]
    notes = ""
    if without:
        notes += (
            f" Left out, since training does not measure the loss from these signals of the one "
            f"network: {', '.join(without)}."
        )
    if unknown:
        notes += (
            f" Earlier runs did not keep the loss from each signal, so that it is not known for "
            f"{', '.join(unknown)}: cells are of the other seeds, or empty."
        )
    return f"""CPU time of training until the same validation loss was first reached, from the \
same signals of the same nights: the mean over seeds, and the range. Both networks of a seed reach \
the higher one of their two lowest losses.

{format_table(columns, rows)}

A pass counts as the mean of its training run, with validation; pretraining is left out.{notes}

"""


def _list_signals(result: Result) -> list[str]:
    """List the signals that the network of a run reads."""
    return list(result.described["start"]["config"]["signals"])
