"""The command that stages many nights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..modalities import PRECISIONS
from ..output import TABLE_SUFFIXES
from .ch_names import read_ch_names
from .options import make_jobs_option
from .shared import (
    ChannelOption,
    DebugOption,
    DeviceOption,
    WeightsOption,
    check_choice,
    clean_errors,
    show_table,
    show_text,
)

if TYPE_CHECKING:
    import pandas as pd

    from ..cohorts import Cohort

commands = typer.Typer(rich_markup_mode=None)

_SHOWN = ("TST", "SE", "WASO", "SOL", "%REM", "%DEEP", "%N3")
"""Statistics that are summarized on the terminal."""
_MOST_NAMES = 5
"""Number of nights that a warning names."""


def _show_preview(preview: "pd.DataFrame") -> None:
    """Print what would be staged; exit with 1 if that is nothing."""
    from ..verbosity import pluralize

    n, problems = len(preview), preview["problem"].dropna()
    empty = [name for name in ("lights_off", "lights_on") if preview[name].isna().all()]
    shown = preview.drop(columns=["problem", "warnings", *empty])
    show_table(shown.mask(shown.isna(), ""))
    for name, problem in problems.items():
        show_text(f"{name}: {problem}")
    n_warned = _show_warnings(preview)
    warned = f", {n_warned} with warnings" if n_warned else ""
    show_text(
        f"{n} night{pluralize(n)}, {len(problems)} with a problem{warned}; nothing was staged"
    )
    if len(problems) == n:
        raise typer.Exit(1)


def _show_warnings(preview: "pd.DataFrame") -> int:
    """Print each kind of warning with its nights, and count these."""
    from ..cohorts.notes import SEPARATOR
    from ..reports.screening import group_sentences

    warned = preview["warnings"].dropna()
    pairs = [(night, one) for night, text in warned.items() for one in text.split(SEPARATOR)]
    for kind in group_sentences(pairs, preview):
        nights = list(kind.nights)
        more = f" and {len(nights) - _MOST_NAMES} more" if len(nights) > _MOST_NAMES else ""
        such = "" if kind.text == kind.example else "such as: "
        show_text(f"Warning about {', '.join(nights[:_MOST_NAMES])}{more}: {such}{kind.example}")
    return len(warned)


def _show_cohort(cohort: "Cohort") -> None:
    """Print what was staged; exit with 1 if that is nothing."""
    columns = [name for name in _SHOWN if name in cohort.table and len(cohort.hypnograms)]
    if columns:
        show_table(cohort.table[columns].describe().round(1))
    n = len(cohort.hypnograms)
    text = "report.html and the hypnograms" if n else "report.html; no night could be staged"
    show_text(f"{cohort.folder} contains nights.csv, {text}")
    if not n:
        raise typer.Exit(1)


@commands.command("cohort")
def cohort_command(
    nights: Annotated[
        Path,
        typer.Argument(
            help="Folder, table of nights, BIDS dataset, or a recording.", show_default=False
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to write.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be staged, and stop.")
    ] = False,
    weights: WeightsOption = "wav2sleep",
    ch_name: ChannelOption = None,
    diary: Annotated[Path | None, typer.Option(help="Table of lights_off and lights_on.")] = None,
    jobs: Annotated[int, make_jobs_option("Nights staged")] = 1,
    epochs: Annotated[
        str | None, typer.Option(metavar="KIND", help="Tables of epochs: csv, tsv, parquet.")
    ] = None,
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option(help=f"{', '.join(PRECISIONS)}.")] = "float32",
    checks: Annotated[bool, typer.Option(help="Exclude flat and saturated spans.")] = True,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed nights again.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Stage a folder of nights. Run the same command again to resume.

    Example: mne-wav2sleep cohort recordings --out staged --jobs -1
    """
    check_choice(precision, PRECISIONS, "--precision")
    if epochs is not None:
        check_choice(epochs, [suffix[1:] for suffix in TABLE_SUFFIXES], "--epochs")
    if out is None and not dry_run:
        raise typer.BadParameter(
            "is needed: the folder for the results. Or use --dry-run.", param_hint="--out"
        )
    ch_names = read_ch_names(ch_name, weights)
    with clean_errors("info", debug=debug, resumes=not dry_run):
        from ..cohorts import add_diary, find_nights, preview_nights, stage_cohort
        from ..network.registry import describe_weights
        from ..signals import Validity

        describe_weights(weights)  # before a table, as they may define modalities
        found = find_nights(nights, ch_names=ch_names)
        if diary is not None:
            found = add_diary(found, diary)
        if out is None or dry_run:
            preview = preview_nights(found, weights, n_jobs=jobs)
        else:
            cohort = stage_cohort(
                found,
                out,
                weights=weights,
                validity=None if checks else Validity.off(),
                epochs=epochs,
                n_jobs=jobs,
                device=device,
                precision=precision,
                retry_failed=retry_failed,
            )
    if out is None or dry_run:
        _show_preview(preview)
    else:
        _show_cohort(cohort)
