"""Commands that make tables of nights of public datasets."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..output import check_output
from .options import make_jobs_option
from .shared import (
    DebugOption,
    OverwriteOption,
    check_choice,
    check_suffix,
    clean_errors,
    show_table,
    show_text,
)

if TYPE_CHECKING:
    from ..cohorts import Night

commands = typer.Typer(
    help="Make tables of nights of public datasets. Example: mne-wav2sleep dataset nsrr --help",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@commands.callback()
def _group() -> None:
    """Keep the name of a command that is the only one of the group."""


def _show_counts(nights: Sequence["Night"], parts: dict[str, list["Night"]]) -> None:
    """Print the numbers of nights and subjects of each dataset, and of its parts."""
    import pandas as pd

    columns = {"nights": Counter(night.dataset for night in nights)}
    columns["subjects"] = Counter(dataset for dataset, _ in {night.person for night in nights})
    for part, some in parts.items():
        columns[part] = Counter(night.dataset for night in some)
    table = pd.DataFrame(columns).fillna(0).astype(int)
    show_table(table.rename_axis(index="dataset").sort_index())


@commands.command("nsrr")
def nsrr_command(
    folder: Annotated[
        Path, typer.Argument(help="Folder of downloads, or of a cohort.", show_default=False)
    ],
    cohort: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="shhs, mesa, wsc, cfs, ccshs, chat, mros; repeatable.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Table of nights to write.", show_default=False)],
    split: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Lists of ids: train.txt, val.txt, test.txt."),
    ] = None,
    sizes: Annotated[
        str, typer.Option(help="Of parts drawn without --split: shares or paper.")
    ] = "shares",
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of this draw.", min=0)] = 0,
    jobs: Annotated[int, make_jobs_option("Scorings read")] = 1,
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:
    """List the nights of NSRR's cohorts, and who is for training.

    Beside NAME.csv, --out, are NAME-split.csv, for train --split, and
    NAME-test.csv, for evaluate, if there are nights for it.

    Example: mne-wav2sleep dataset nsrr nsrr --cohort shhs --out shhs.csv
    """
    check_suffix(out, [".csv"], "--out")
    check_choice(sizes, ["shares", "paper"], "--sizes")
    with clean_errors(debug=debug):
        from ..cohorts import draw_parts, read_nsrr, read_parts, write_nights, write_parts
        from ..cohorts.nsrr.layout import check_cohort

        names = list(dict.fromkeys(check_cohort(name) for name in cohort))
        out = out.expanduser()
        beside = {part: out.with_stem(f"{out.stem}-{part}") for part in ("split", "test")}
        for path in (out, *beside.values()):  # before minutes of work
            check_output(path, overwrite=overwrite)
        found = [night for name in names for night in read_nsrr(folder, name, n_jobs=jobs)]
        parts = draw_parts(found, sizes, seed=seed) if split is None else read_parts(split, found)
        kept = {night.name for some in parts.values() for night in some}
        # The table of nights last, so that the others are there, and of the same draw.
        is_stale = not parts["test"] and overwrite and beside["test"].is_file()
        if parts["test"]:
            write_nights(parts["test"], beside["test"], overwrite=overwrite)
        elif is_stale:  # its nights may be for training now
            beside["test"].unlink()
        write_parts(parts, beside["split"], overwrite=overwrite)
        write_nights([one for one in found if one.name in kept], out, overwrite=overwrite)
    _show_counts(found, parts)
    shown = [out, beside["split"], *([beside["test"]] if parts["test"] else [])]
    show_text(f"{', '.join(map(str, shown))} written")
    if is_stale:
        show_text(f"{beside['test']} of an earlier run removed, as there are no test nights")
