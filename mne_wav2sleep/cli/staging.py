"""Commands for one recording: channels, stage, demo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..modalities import PRECISIONS
from ..output import HYPNOGRAM_SUFFIXES, TABLE_SUFFIXES, check_output
from .ch_names import read_ch_names
from .shared import (
    ChannelOption,
    DebugOption,
    DeviceOption,
    LightsOffOption,
    LightsOnOption,
    OverwriteOption,
    RecordingArgument,
    VerboseOption,
    WeightsOption,
    check_choice,
    check_n_stages,
    check_suffix,
    clean_errors,
    show_mapping,
    show_table,
    show_text,
)

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def channels(
    recording: RecordingArgument,
    ch_name: ChannelOption = None,
    weights: WeightsOption = "wav2sleep",
    debug: DebugOption = False,
) -> None:
    """Show which channel feeds which modality, without staging.

    Example: mne-wav2sleep channels night.edf
    """
    ch_names = read_ch_names(ch_name, weights)
    with clean_errors("warning", debug=debug):
        from ..network.registry import describe_weights
        from ..recordings.channels import map_channels, tabulate_channels
        from ..recordings.opening import open_recording, set_rates

        modalities = describe_weights(weights).modalities
        opened = open_recording(recording)
        found = set_rates(opened, map_channels(opened.raw, ch_names, modalities))
    show_mapping(tabulate_channels(found), modalities)


@commands.command()
def stage(
    recording: RecordingArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Hypnogram to write, with its provenance: .json (YASA), .csv or .tsv (events as "
            "in BIDS), .edf (EDF+ annotations), .txt (one stage per line)."
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Report to write, .html.")] = None,
    epochs: Annotated[
        Path | None, typer.Option(help="Table of the epochs, .csv, .tsv or .parquet.")
    ] = None,
    n_stages: Annotated[
        int | None,
        typer.Option(metavar="N", help="Fold the stages of --out, --epochs to 2, 3 or 4."),
    ] = None,
    ch_name: ChannelOption = None,
    weights: WeightsOption = "wav2sleep",
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option(help=f"{', '.join(PRECISIONS)}.")] = "float32",
    checks: Annotated[bool, typer.Option(help="Exclude flat and saturated spans.")] = True,
    lights_off: LightsOffOption = None,
    lights_on: LightsOnOption = None,
    overwrite: OverwriteOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Stage a recording and print its sleep statistics.

    Example: mne-wav2sleep stage night.edf --out hyp.json
    """
    out = check_suffix(out, HYPNOGRAM_SUFFIXES, "--out")
    report = check_suffix(report, [".html"], "--report")
    epochs = check_suffix(epochs, TABLE_SUFFIXES, "--epochs")
    if n_stages is not None and out is None and epochs is None:
        raise typer.BadParameter(
            "folds the stages that --out or --epochs writes. Give one of them as well.",
            param_hint="--n-stages",
        )
    if n_stages in (2, 3) and out is not None and out.suffix.lower() != ".json":
        raise typer.BadParameter(
            f"must end in .json, which alone can have {n_stages} stages (--n-stages), got {out}.",
            param_hint="--out",
        )
    check_n_stages(n_stages, 5)
    check_choice(precision, PRECISIONS, "--precision")
    ch_names = read_ch_names(ch_name, weights)
    with clean_errors("info" if verbose else "warning", debug=debug):
        from ..cohorts.table import read_lights
        from ..hypnograms import write_hypnogram
        from ..network.registry import describe_weights
        from ..reports.html import write_report
        from ..signals import Validity
        from ..stager import SleepStagerW2S
        from ..staging.epochs import check_table_path, write_table
        from ..staging.provenance import write_provenance

        check_n_stages(n_stages, len(describe_weights(weights).stage_names))
        _check_outputs(recording, (out, report, epochs), overwrite=overwrite)
        if epochs is not None:
            check_table_path(epochs)
        stager = SleepStagerW2S(
            recording,
            weights,
            ch_names=ch_names,
            validity=None if checks else Validity.off(),
            device=device,
            precision=precision,
            lights=read_lights(lights_off or "", lights_on or ""),
        )
        hyp = stager.predict(n_stages)
        statistics = stager.statistics()  # before provenance, which includes its warnings
        if out is not None:
            write_hypnogram(hyp, out, overwrite=overwrite)
            write_provenance(stager.provenance(), out, overwrite=overwrite)
        if report is not None:
            write_report(stager.report(), report, overwrite=overwrite)
        if epochs is not None:
            write_table(stager.epoch_table(n_stages), epochs, overwrite=overwrite)
        modalities = describe_weights(weights).modalities
        time_in_bed = stager.time_in_bed()
    show_mapping(stager.channels, modalities)
    show_text(f"Time in bed: {time_in_bed}.")
    show_table(statistics)


def _check_outputs(recording: Path, paths: Sequence[Path | None], *, overwrite: bool) -> None:
    """Check that the outputs can be written, before staging, which takes minutes."""
    from ..staging.provenance import provenance_path

    out = paths[0]
    targets: dict[Path, Path] = {}
    for path in paths:
        if path is not None and path.exists() and recording.exists() and path.samefile(recording):
            raise ValueError(f"{path} is the recording, which would be lost. Choose another.")
    for path in (*paths, out and provenance_path(out)):
        if path is None:
            continue
        target = check_output(path, overwrite=overwrite).resolve()
        if (other := targets.setdefault(target, path)) is not path and not _is_device(target):
            raise ValueError(f"{path} and {other} are the same file. Choose another name.")


def _is_device(path: Path) -> bool:
    """Check whether a path is a pipe or a device."""
    return path.exists() and not path.is_file()


@commands.command()
def demo(
    recording: Annotated[
        Path | None,
        typer.Argument(help="Recording to stage instead of a simulated night."),
    ] = None,
    folder: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("wav2sleep-demo"),
    seed: Annotated[int, typer.Option(help="Seed of the simulated night.")] = 0,
    debug: DebugOption = False,
) -> None:
    """Stage a simulated night and compare with its true stages.

    The weights are "mini", which are bundled, for trying out only, never for results.

    Example: mne-wav2sleep demo
    """
    folder = folder.expanduser()
    with clean_errors("warning", debug=debug):
        from .demo import stage_demo_night

        stager, agreement = stage_demo_night(folder, recording=recording, seed=seed)
        statistics, time_in_bed = stager.statistics(), stager.time_in_bed()
    show_table(stager.channels)
    show_text(f"Time in bed: {time_in_bed}.")
    for table in (statistics, *agreement):
        show_table(table)
    show_text(f"Hypnogram, provenance, epochs, figures and report.html are in {folder}")
