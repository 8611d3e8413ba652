"""Report of a night: a self-contained HTML file, made with mne.Report."""

import html
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import mne
import pandas as pd
import yasa
from matplotlib.figure import Figure

from ..calibration import Calibration
from ..cautions import catch_warnings
from ..hypnograms.probabilities import compute_certainty
from ..hypnograms.statistics import N_DRAWS
from ..output import write_whole
from ..recordings import Channel
from ..recordings.channels import tabulate_channels
from ..showing import escape_hidden
from ..staging.audit import Audit
from ..staging.windows import LONGEST
from ..verbosity import pluralize
from .rendering import (
    CITATIONS,
    CSS,
    JS,
    escape_html,
    render_list,
    render_paragraphs,
    render_table,
)


def _find_used(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Find the channels with epochs that were used."""
    return {m: row for m, row in provenance["channels"].items() if "measured" in row["epochs"]}


def _format_start(start: str | None) -> str:
    """Format the start of a recording, without the time zone, which MNE always calls UTC."""
    if start is None:
        return "an unknown time"
    return f"{datetime.fromisoformat(start):%Y-%m-%d %H:%M:%S} by its clock"


def find_least_certain(hyp: yasa.Hypnogram) -> int:
    """Find the epoch whose most probable stage has the lowest probability.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram, with its probabilities.

    Returns
    -------
    epoch : int
        Its number, from 0; epochs that are ``UNS`` do not count.
    """
    return int(compute_certainty(hyp).idxmin())


def _summarize(hyp: yasa.Hypnogram, provenance: Mapping[str, Any]) -> list[str]:
    """Summarize what was staged, with which weights, and how certain it is."""
    recording = provenance["recording"]
    certainty = compute_certainty(hyp)
    unscored = provenance["unscored_epochs"]
    sentences = [
        f"{', '.join(recording['files']) or 'A Raw in memory'}: {recording['hours']:.2f} h, "
        f"{recording['epochs']} epochs of 30 s, from {_format_start(recording['start'])}.",
        f"Staged with the weights {provenance['weights']['name']!r} from "
        f"{', '.join(_find_used(provenance))}.",
        f"The most probable stage has a mean probability of {certainty.mean():.2f}; in "
        f"{100 * (certainty < 0.5).mean():.0f} % of the epochs, it is less than one half.",
    ]
    if unscored:
        sentences.append(f"{unscored} epochs are UNS, because nothing was measured in them.")
    return sentences


def _describe_weights(weights: Mapping[str, Any]) -> str:
    """Name the weights, and what they were fine-tuned from, with the beginning of each hash."""
    names = [f"{escape_html(weights['name'])} (SHA-256 {weights['sha256'][:12]})"]
    names += [f"{escape_html(b['name'])} (SHA-256 {b['sha256'][:12]})" for b in weights["bases"]]
    return ", fine-tuned from ".join(names)


def _describe_temperatures(calibration: Mapping[str, Any], used: Iterable[str]) -> str:
    """Say that probabilities are calibrated, and on how many nights."""
    if not calibration["temperatures"]:
        return ""
    source = Calibration(**calibration).source(used)
    nights = f"{source.n_nights} scored night{pluralize(source.n_nights)}"
    where = {
        "scored nights": f" (that of all signals was fitted to {nights})",
        "earlier calibration": " (that of all signals is from before the weights were fine-tuned "
        "or last calibrated)",
        "median of the others": " (that of all signals was not fitted: it is the median of others)",
    }
    return (
        " Probabilities were calibrated by a temperature for each combination of signals"
        f"{where.get(source.origin, '')}."
    )


def _describe_methods(provenance: Mapping[str, Any], n_stages: int) -> str:
    """Write the methods paragraph for a paper."""
    channels = ", ".join(
        f"{modality} ({escape_html(str(row['channel']))}, {row['sfreq']:g} Hz)"
        for modality, row in _find_used(provenance).items()
    )
    versions, weights = provenance["versions"], provenance["weights"]
    calibration = provenance["parameters"]["calibration"]
    over = "over the recording"
    windows = ""
    if provenance["recording"]["epochs"] > LONGEST:
        over = "over each window"
        windows = (
            f" The recording of {provenance['recording']['hours']:.1f} h was staged in overlapping "
            "windows of 10 h, whose probabilities were averaged, weighted by the distance from "
            "the window's edge."
        )
    hum = ", ".join(
        f"{modality} ({' and '.join(f'{f:g}' for f in found)} Hz)"
        for modality, found in provenance["parameters"]["hum_removed_hz"].items()
        if found
    )
    notch = f"Mains hum was removed from {hum} with a notch filter of 1 Hz width. " if hum else ""
    is_whole = provenance["time_in_bed"]["source"] == "whole recording"
    in_bed = "the recording" if is_whole else "the time in bed, from lights off to lights on"
    temperatures = _describe_temperatures(calibration, _find_used(provenance))
    correlation = (
        "The correlation of the errors of neighboring epochs was fitted to "
        f"{calibration['n_nights']} scored nights, and is part of the weights."
        if calibration["n_nights"]
        else "The correlation of the errors of neighboring epochs is not known for these weights, "
        "and was taken from other weights on simulated nights."
    )
    return (
        f"<p>Sleep was staged in 30-s epochs into {n_stages} stages with wav2sleep (Carter &amp; "
        f"Tarassenko 2024) from {channels}, using mne-wav2sleep {versions['mne-wav2sleep']} with "
        f"the weights {_describe_weights(weights)}, "
        f"MNE-Python {versions['mne']} (Gramfort et al. 2013) and YASA {versions['yasa']} (Vallat "
        f"&amp; Walker 2021). {notch}Signals were interpolated linearly to the network's rates and "
        f"z-scored {over}; epochs in which a signal was not measured were masked for that "
        f"signal, and epochs without any signal were left unscored.{windows}{temperatures} "
        f"Sleep statistics are over {in_bed}; their intervals come from {N_DRAWS} nights drawn "
        "from the stage probabilities. "
        f"{correlation}</p>" + CITATIONS
    )


def make_report(
    hyp: yasa.Hypnogram,
    *,
    channels: Sequence[Channel],
    night: Figure,
    epoch: Figure,
    quality: pd.DataFrame,
    statistics: pd.DataFrame,
    audit: Audit,
    provenance: Mapping[str, Any],
) -> mne.Report:
    """Make the report of a night.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.
    channels : sequence of Channel
        The mapping.
    night, epoch : matplotlib.figure.Figure
        The night, and its least certain epoch (see :func:`find_least_certain`).
    quality, statistics : pandas.DataFrame
        The stager's tables.
    audit : Audit
        The agreement between subsets of the sensors.
    provenance : mapping
        Where the stages come from, with the warnings (``cautions``).

    Returns
    -------
    report : mne.Report
        For ``report.save("night.html")``.
    """
    files = provenance["recording"]["files"]
    name = Path(files[0]).name if files else "a night"
    report = mne.Report(title=f"Sleep stages of {escape_hidden(name)}", verbose="error")
    report.add_custom_css(CSS)
    report.add_custom_js(JS)
    summary = render_paragraphs(*_summarize(hyp, provenance))
    if cautions := provenance["cautions"]:
        summary += "<p><strong>Warnings</strong></p>" + render_list(cautions)
    report.add_html(summary, "Summary", tags=("summary",))
    with catch_warnings():
        # Names of channels in other scripts can be read under "Channels".
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        for figure, title in ((night, "The night"), (epoch, "The least certain epoch")):
            report.add_figure(figure, title, tags=("figures",), image_format="png")
    note = render_paragraphs(
        f"Time in bed: {provenance['time_in_bed']['description']}. "
        "low and high: the 95% interval over nights drawn from the probabilities, with correlated "
        "errors of neighboring epochs. It does not cover other cohorts or sensors."
    )
    report.add_html(note + render_table(statistics), "Sleep statistics", tags=("statistics",))
    mapping = tabulate_channels(channels)
    mapping["channel"] = [escape_hidden(channel.label) for channel in channels]
    others = [", ".join(channel.alternatives) for channel in channels]
    mapping["alternatives"] = [escape_hidden(names) for names in others]
    report.add_html(render_table(mapping), "Channels", tags=("channels",))
    report.add_html(render_table(quality.round(2)), "Signal quality", tags=("channels",))
    agreement = audit.plot(show=False)
    report.add_figure(agreement, "Agreement of the sensors", tags=("audit",), image_format="png")
    stages = render_table(audit.stages.round(1))
    report.add_html(stages, "Stages by sensors (%)", tags=("audit",))
    report.add_html(
        _describe_methods(provenance, hyp.n_stages), "Methods, to paste", tags=("methods",)
    )
    text = html.escape(json.dumps(provenance, indent=2))
    report.add_html(f"<pre>{text}</pre>", "Provenance", tags=("provenance",))
    return report


def write_report(report: mne.Report, path: Path, *, overwrite: bool = False) -> None:
    """Write a report to a file.

    Parameters
    ----------
    report : mne.Report
        From :func:`make_report`.
    path : Path
        The HTML file.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        If the file exists, and may not be replaced.
    OSError
        If it cannot be written.
    """
    with write_whole(path, overwrite=overwrite) as unfinished:
        report.save(unfinished, open_browser=False, overwrite=True, verbose="error")
