"""The command that compares hypnograms with scorers."""

from pathlib import Path
from typing import Annotated

import typer

from .shared import (
    DebugOption,
    OverwriteOption,
    check_n_stages,
    clean_errors,
    show_table,
    show_text,
)

commands = typer.Typer(rich_markup_mode=None)

_SHOWN = 10
"""Number of hypnograms that cannot be compared that are printed."""


def _split_columns(given: list[str] | None) -> "dict[str, list[float] | None]":
    """Split COLUMN or COLUMN=EDGE,EDGE."""
    columns: dict[str, list[float] | None] = {}
    for one in given or []:
        name, has_edges, text = one.partition("=")
        try:
            columns[name.strip()] = [float(n) for n in text.split(",")] if has_edges else None
        except ValueError as error:
            raise typer.BadParameter(
                f"takes COLUMN, or COLUMN=EDGE,EDGE with numbers, got {one!r}.", param_hint="--by"
            ) from error
    return columns


@commands.command("compare")
def compare_command(
    reference: Annotated[
        Path, typer.Argument(help="Folder or file by a scorer, or a cohort.", show_default=False)
    ],
    staged: Annotated[
        Path | None, typer.Argument(help="Folder, file or cohort.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for tables, figures and report.html."),
    ] = None,
    others: Annotated[
        list[Path] | None,
        typer.Option("--reference", metavar="PATH", help="Another scorer; repeatable."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN[=EDGES]", help="Such as sex or age=18,65; repeatable."),
    ] = None,
    participants: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="CSV or TSV of subjects or nights.")
    ] = None,
    n_stages: Annotated[
        int | None, typer.Option(metavar="N", help="Stages, 2 to 5; default: those of all.")
    ] = None,
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare hypnograms with one or several scorers, by YASA.

    Example: mne-wav2sleep compare scored staged --out agreement
    """
    columns = _split_columns(by)
    check_n_stages(n_stages, 5)
    if others and staged is None:
        raise typer.BadParameter("needs STAGED as well.", param_hint="--reference")
    with clean_errors(debug=debug):
        from ..cohorts import compare
        from ..cohorts.comparison.result import REPORT, check_folder
        from ..verbosity import pluralize

        if out is not None:  # before the work
            out = check_folder(out, overwrite=overwrite)
        found = compare(
            [reference, *others] if others else reference,
            staged,
            n_stages=n_stages,
            by=columns or None,
            participants=participants,
        )
    n, people = len(found.by_night), len(found.by_subject)
    show_text(
        f"{found.staged} with {found.reference}: {n} night{pluralize(n)}, "
        f"{people} subject{pluralize(people)}"
    )
    show_table(found.pooled.round(3))
    if len(found.by_group):
        show_table(found.by_group.set_index(["column", "group"]).round(3))
    if len(found.by_scorer) > 1:
        show_table(found.by_scorer.set_index(["reference", "other"]).round(3))
    if n_failed := len(found.failed):
        more = f"; the first {_SHOWN}" if n_failed > _SHOWN else ""
        show_text(f"{n_failed} hypnogram{pluralize(n_failed)} cannot be compared{more}:")
        show_table(found.failed[["night", "reason"]].head(_SHOWN).set_index("night"))
    if out is not None:  # after the tables, which are not lost if the disk is full
        with clean_errors(debug=debug):
            found.save(out, overwrite=overwrite)
        show_text(f"{out / REPORT} shows all of it; tables and figures are beside it")
