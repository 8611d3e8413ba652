"""What the columns of the table of a cohort mean."""

import re

_STATISTICS = {
    "TIB": ("Time in bed", "min"),
    "SPT": ("Sleep period time, from the first to the last epoch of sleep", "min"),
    "WASO": ("Wake after sleep onset", "min"),
    "TST": ("Total sleep time", "min"),
    "SE": ("Sleep efficiency, TST / TIB", "%"),
    "SME": ("Sleep maintenance efficiency, TST / SPT", "%"),
    "SFI": ("Sleep fragmentation index, transitions from sleep to wake per hour of sleep", "1/h"),
    "SOL": ("Sleep onset latency, to the first epoch of sleep", "min"),
    "SOL_5min": ("Latency to 5 min of continuous sleep", "min"),
    "Lat_REM": ("Latency of REM sleep", "min"),
}
"""Sleep statistics of YASA that are not of a stage."""
_OTHERS = {
    "filename": ("File with the stages", ""),
    "recording": ("Name of the file that was staged", ""),
    "start": ("Start of the recording, by its own clock", ""),
    "hours": ("Duration of the recording", "h"),
    "epochs": ("Number of complete 30-s epochs", ""),
    "unscored": ("Share of the epochs in which no signal was measured, from 0 to 1", ""),
    "certainty": ("Mean probability of the most probable stage", ""),
    "uncertain": ("Share of the epochs in which no stage has a probability of 0.5", ""),
    "time_in_bed": ("Where lights off and on come from", ""),
    "lights_off": ("Lights off, by the clock of the recording", ""),
    "lights_on": ("Lights on, by the clock of the recording", ""),
    "lights_off_s": ("Lights off, from the start of the recording", "s"),
    "lights_on_s": ("Lights on, from the start of the recording", "s"),
    "first_epoch": ("First epoch in bed, counted from 0", ""),
    "epochs_in_bed": ("Number of 30-s epochs in bed", ""),
    "n_warnings": ("Number of warnings about the recording", ""),
    "warnings": ("Warnings about the recording", ""),
}
_BY_MODALITY = {
    "channel": ("Channel", ""),
    "measured": ("Share of the epochs in which the signal was measured, from 0 to 1", ""),
    "plausible": ("Share of the epochs with plausible beats or breaths, from 0 to 1", ""),
    "rate": ("Median rate of beats or breaths", "1/min"),
    "noise": ("Share of noise in the signal", ""),
}


def describe_column(name: str) -> dict[str, str]:
    """Describe a column of the table of a cohort, as BIDS does.

    Parameters
    ----------
    name : str
        The column.

    Returns
    -------
    described : dict of str to str
        ``Description``, and ``Units`` if it has some.

    Examples
    --------
    >>> describe_column("TST_low")
    {'Description': 'Total sleep time, lower end of the interval', 'Units': 'min'}
    >>> describe_column("%REM")["Description"]
    'Share of REM in the total sleep time'
    """
    text, units = _look_up(name)
    return {"Description": text} | ({"Units": units} if units else {})


def _look_up(name: str) -> tuple[str, str]:
    """Get the meaning and the unit of a column."""
    for suffix, end in (("_low", "lower"), ("_high", "upper")):
        if name.endswith(suffix):
            text, units = _look_up(name.removesuffix(suffix))
            return f"{text}, {end} end of the interval", units
    if found := _STATISTICS.get(name) or _OTHERS.get(name):
        return found
    kind, _, modality = name.partition("_")
    if modality and kind in _BY_MODALITY:
        text, units = _BY_MODALITY[kind]
        return f"{text}: {modality}", units
    if share := re.fullmatch(r"%(N1|N2|N3|REM|LIGHT|DEEP|NREM)", name):
        return f"Share of {share[1]} in the total sleep time", "%"
    if re.fullmatch(r"WAKE|N1|N2|N3|REM|LIGHT|DEEP|NREM", name):
        return f"Time in {name}", "min"
    return name.replace("_", " "), ""
