"""One night as one HTML file, through mne.Report, with nothing fetched from elsewhere."""

import html
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import mne
import pandas as pd
import yasa
from matplotlib.figure import Figure

from ..output import write_whole
from ..staging.audit import Audit
from ..staging.windows import LONGEST

_CITATIONS = """<ul>
<li>Carter &amp; Tarassenko (2024). wav2sleep: A Unified Multi-Modal Approach to Sleep Stage
Classification from Physiological Signals. Machine Learning for Health. arXiv:2411.04644</li>
<li>Vallat &amp; Walker (2021). An open-source, high-performance tool for automated sleep staging.
eLife 10:e70092</li>
<li>Gramfort et al. (2013). MEG and EEG data analysis with MNE-Python. Frontiers in Neuroscience
7:267</li>
</ul>"""


# On a phone, the contents would take half of the width, beside the rest: there they come first.
_CSS = """
@media (max-width: 700px) {
  #toc { position: static !important; height: auto !important; width: 100%; }
  #toc, #toc-navbar { padding-bottom: 0 !important; }
  #toc-navbar { flex-direction: row !important; }
  #toc-navbar > a { width: auto; padding: 0.3rem 0.6rem; }
  #content { margin: 1rem 0 0 !important; width: 100%; }
}
"""


def _table(frame: pd.DataFrame) -> str:
    """Write a table in Bootstrap's look, which mne.Report carries; it scrolls where it is wide."""
    frame = frame.rename_axis(index=None)
    classes = "table table-sm table-striped"
    body = frame.to_html(border=0, classes=classes, na_rep="", justify="left")
    return f'<div style="overflow-x: auto">{body}</div>'


def _say(*paragraphs: str) -> str:
    """Write text from anywhere as paragraphs."""
    return "".join(f"<p>{html.escape(text)}</p>" for text in paragraphs)


def _list(texts: Sequence[str]) -> str:
    """Write texts from anywhere as a list."""
    return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>"


def _find_used(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Find the channels of which anything was used."""
    return {m: row for m, row in provenance["channels"].items() if "measured" in row["epochs"]}


def _say_time(start: str | None) -> str:
    """Say when a recording began, without the time zone that MNE labels its clock with."""
    if start is None:
        return "an unknown time"
    return f"{datetime.fromisoformat(start):%Y-%m-%d %H:%M:%S} by its clock"


def _summarise(hyp: yasa.Hypnogram, provenance: Mapping[str, Any]) -> list[str]:
    """Say what was staged, by what, and how sure it is."""
    recording = provenance["recording"]
    stages = hyp.proba.columns.difference(["UNS"])
    known = (hyp.hypno != "UNS").to_numpy()
    sure = hyp.proba.loc[known, stages].max(axis=1)
    unscored = provenance["unscored_epochs"]
    sentences = [
        f"{', '.join(recording['files']) or 'A Raw in memory'}: {recording['hours']:.2f} h, "
        f"{recording['epochs']} epochs of 30 s, from {_say_time(recording['start'])}.",
        f"Staged by the weights {provenance['weights']['name']!r} from "
        f"{', '.join(_find_used(provenance))}.",
        f"The most probable stage has a mean probability of {sure.mean():.2f}; in "
        f"{100 * (sure < 0.5).mean():.0f} % of the epochs it is less than one half.",
    ]
    if unscored:
        sentences.append(f"{unscored} epochs are UNS, since nothing was measured in them.")
    return sentences


def _describe_methods(provenance: Mapping[str, Any], n_stages: int) -> str:
    """Write a paragraph for a paper."""
    channels = ", ".join(
        f"{modality} ({html.escape(str(row['channel']))}, {row['sfreq']:g} Hz)"
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
    temperatures = ""
    if calibration["temperatures"]:
        temperatures = (
            " Probabilities were calibrated by a temperature for each combination of signals."
        )
    together = (
        "How errors of neighbouring epochs go together was fitted to "
        f"{calibration['n_nights']} scored nights that came with the weights."
        if calibration["n_nights"]
        else "How errors of neighbouring epochs go together is not known of these weights, and was "
        "taken from other weights on simulated nights."
    )
    return (
        f"<p>Sleep was staged in 30-s epochs into {n_stages} stages with wav2sleep (Carter &amp; "
        f"Tarassenko 2024) from {channels}, using mne-wav2sleep {versions['mne-wav2sleep']} with "
        f"the weights {html.escape(weights['name'])} (SHA-256 {weights['sha256'][:12]}), "
        f"MNE-Python {versions['mne']} (Gramfort et al. 2013) and YASA {versions['yasa']} (Vallat "
        "&amp; Walker 2021). Signals were interpolated linearly to the network's rates and "
        f"z-scored {over}; epochs in which a signal was not measured were masked for that "
        f"signal, and epochs without any signal were left unscored.{windows}{temperatures} "
        "Intervals of sleep statistics come from 500 nights drawn from the stage probabilities. "
        f"{together}</p>" + _CITATIONS
    )


def make_report(
    hyp: yasa.Hypnogram,
    *,
    channels: pd.DataFrame,
    quality: pd.DataFrame,
    statistics: pd.DataFrame,
    audit: Audit,
    provenance: Mapping[str, Any],
    figures: Mapping[str, Figure],
) -> mne.Report:
    """Make the report of a night.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.
    channels, quality, statistics : pandas.DataFrame
        The stager's tables.
    audit : Audit
        What every subset of the sensors says.
    provenance : mapping
        Where the stages come from, and the ``cautions``, what was warned of.
    figures : mapping of str to Figure
        Title -> picture; they are closed.

    Returns
    -------
    report : mne.Report
        For ``report.save("night.html")``.
    """
    files = provenance["recording"]["files"]
    name = Path(files[0]).name if files else "a night"
    report = mne.Report(title=f"Sleep stages of {name}", verbose="error")
    report.add_custom_css(_CSS)
    summary = _say(*_summarise(hyp, provenance))
    if cautions := provenance["cautions"]:
        summary += "<p><strong>What was warned of</strong></p>" + _list(cautions)
    report.add_html(summary, "Summary", tags=("summary",))
    for title, figure in figures.items():
        report.add_figure(figure, title, tags=("figures",), image_format="png")
        plt.close(figure)
    note = _say(
        "low and high: the 95 % interval over nights drawn from the probabilities, in which the "
        "errors of neighbouring epochs go together. It knows nothing of other cohorts or sensors."
    )
    report.add_html(note + _table(statistics), "Sleep statistics", tags=("statistics",))
    mapping = channels.copy()
    mapping["channel"] = mapping["channel"].map(
        lambda channel: channel if isinstance(channel, str) else " - ".join(channel)
    )
    mapping["alternatives"] = mapping["alternatives"].map(lambda names: ", ".join(map(str, names)))
    report.add_html(_table(mapping), "Channels", tags=("channels",))
    report.add_html(_table(quality.round(2)), "Quality of the signals", tags=("channels",))
    agreement = audit.plot()
    report.add_figure(agreement, "Agreement of the sensors", tags=("audit",), image_format="png")
    plt.close(agreement)
    report.add_html(_table(audit.stages.round(1)), "Stages by sensors (%)", tags=("audit",))
    report.add_html(
        _describe_methods(provenance, hyp.n_stages), "Methods, to paste", tags=("methods",)
    )
    text = html.escape(json.dumps(provenance, indent=2))
    report.add_html(f"<pre>{text}</pre>", "Provenance", tags=("provenance",))
    return report


def write_report(report: mne.Report, path: Path, *, overwrite: bool = False) -> None:
    """Write a report.

    Parameters
    ----------
    report : mne.Report
        From :func:`make_report`.
    path : Path
        The HTML file.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    FileExistsError
        If there is such a file, and it may not be replaced.
    OSError
        If it cannot be written.
    """
    with write_whole(path, overwrite=overwrite) as unfinished:
        report.save(unfinished, open_browser=False, overwrite=True, verbose="error")
