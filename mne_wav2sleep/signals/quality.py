"""Signal quality, measured by the plausibility of beats and breaths."""

import numpy as np
import pandas as pd

from .beats import WAVES

_ENOUGH = 20
"""Smallest number of measured epochs (10 min) for a judgment about a channel."""

_IRREGULAR = 0.2
"""Irregularity above which heart beats are called irregular; that of healthy subjects is lower: an
RMSSD of 0.1 s at 60 beats per minute corresponds to 0.1."""

_STEADY = (0.5, 0.02)
"""Deviation from the median heart rate, in beats per minute, and irregularity, below which a heart
seems to be paced at a fixed rate. In natural sleep, the heart rate varies by several beats per
minute from hour to hour."""


def summarize(beats: pd.DataFrame) -> dict[str, float | str]:
    """Summarize the beats or breaths of a channel.

    Parameters
    ----------
    beats : pandas.DataFrame
        From :func:`find_beats`, one row per epoch, NaN in epochs that were not measured, with one
        more column, ``measured``.

    Returns
    -------
    summary : dict
        ``valid``, the share of epochs that were measured; ``plausible``, the share of these with
        plausible beats or breaths; the median ``rate`` and ``noise`` of plausible epochs; the
        median ``irregularity`` of all measured epochs; and the ``polarity``: ``"upright"``,
        ``"inverted"`` or ``"unknown"``.
    """
    good = beats[beats["plausible"] > 0]
    upright = good["upright"].mean()
    # In between, epochs disagree.
    polarity = "upright" if upright > 0.8 else "inverted" if upright < 0.2 else "unknown"
    return {
        "valid": float(beats["measured"].mean()),
        # NaN for EOG.
        "plausible": float(beats["plausible"].mean()),
        "rate": float(good["rate"].median()),
        # Of all epochs, because the most irregular ones are not plausible.
        "irregularity": float(beats["irregularity"].dropna().median()),
        "noise": float(good["noise"].median()),
        "polarity": polarity,
    }


def find_doubts(beats: pd.DataFrame, modality: str, channel: str | tuple[str, str]) -> list[str]:
    """Find reasons to doubt a channel, or the staging of a subject with such a heart rhythm.

    Parameters
    ----------
    beats : pandas.DataFrame
        From :func:`find_beats`, for epochs from all parts of the recording.
    modality : str
        The modality that the channel is mapped to.
    channel : str or (str, str)
        The name of the channel, for the messages.

    Returns
    -------
    doubts : list of str
        Messages for warnings; empty if there is no doubt, or if too little was measured.
    """
    share = beats["plausible"].mean()
    if len(beats) < _ENOUGH or np.isnan(share):
        return []
    wave = WAVES[modality]
    if share < 0.5:
        return [
            f"{modality} (channel {channel!r}) shows {wave.name} in {100 * share:.0f} % of its "
            f"epochs ({wave.rates[0]:g} to {wave.rates[1]:g} per minute, of similar shape): it may "
            "be another kind of signal, or the sensor may have come off. Look at the signal, and "
            "name another channel, or None to leave it out."
        ]
    if modality in ("ABD", "THX"):
        return []
    doubts = []
    if (irregularity := beats["irregularity"].dropna().median()) > _IRREGULAR:
        doubts.append(
            f"The heart beats irregularly in {modality} (channel {channel!r}: successive intervals "
            f"differ by {100 * irregularity:.0f} % of their mean), as in atrial fibrillation or "
            "with frequent ectopic beats. Staging has not been validated in such subjects; check "
            "the stages against other evidence."
        )
    good = beats[beats["plausible"] > 0]
    width, regular = _STEADY
    steady = ((good["rate"] - good["rate"].median()).abs() < width) & (
        good["irregularity"] < regular
    )
    if steady.mean() > 0.5:
        doubts.append(
            f"The heart rate in {modality} (channel {channel!r}) stays at "
            f"{good['rate'].median():.1f} beats per minute in {100 * steady.mean():.0f} % of its "
            "epochs, as with a pacemaker. Such a heart rate contains little information about "
            "sleep; check the stages against other evidence."
        )
    return doubts
