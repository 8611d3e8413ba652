"""A staged cohort as derivatives in BIDS."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import yasa

from ...errors import FileWriteError, put_on_line
from ...modalities import EPOCH_S
from ...verbosity import check_type, pluralize
from ..notes import FAILED
from ..results import Cohort
from .columns import describe_column
from .names import BidsName, name_in_bids
from .reading import DESCRIPTION, check_root, read_description

BIDS_VERSION = "1.10.0"
_NAME = "mne-wav2sleep"
_OURS = re.compile(
    rf"{re.escape(DESCRIPTION)}|README\.md|participants\.(tsv|json)|scans\.json"
    r"|sub-\w+/(.*_desc-wav2sleep_events\.(tsv|json)|(ses-\w+/)?sub-[\w-]+_scans\.tsv)"
)
"""Files that are written, and may be replaced."""
_PATH = re.compile(r"(?<![\w:/.\\])(?:[A-Za-z]:)?[\\/](?:[^\\/\s'\"`]+[\\/])+")
"""An absolute path but for its last part."""
_LEFT_OUT = ("status", "reason", "subject", "dataset", "hypnogram", "copies")
"""Columns of the table of nights that are not statistics."""
_LEVELS = {
    "WAKE": "Wake",
    "N1": "N1",
    "N2": "N2",
    "N3": "N3",
    "LIGHT": "Light sleep: N1 or N2",
    "DEEP": "Deep sleep: N3",
    "REM": "REM sleep",
    "UNS": "Unscored: no signal was measured",
}


def write_bids_derivatives(
    cohort: Cohort,
    out_dir: str | Path,
    *,
    source: str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a staged cohort as a derivative dataset in BIDS.

    Parameters
    ----------
    cohort : Cohort
        The cohort, from :func:`load_cohort`.
    out_dir : str or Path
        The folder to write, such as ``derivatives/wav2sleep`` in the source.
    source : str, Path or None
        The BIDS dataset with the recordings, which the derivatives then refer to; None for none.
    overwrite : bool
        Whether to replace a folder that this function wrote before.

    Returns
    -------
    out_dir : Path
        The folder: ``dataset_description.json``, ``README.md`` (which names the nights that
        failed), ``participants.tsv``; for each night ``*_desc-wav2sleep_events.tsv`` with the
        stage and the probabilities of each 30-s epoch, from the start of the recording, and a
        ``.json`` with the provenance; and for each session ``*_scans.tsv`` with the sleep
        statistics of its nights. Paths of files are left out, as they may tell names.

    Raises
    ------
    TypeError
        If ``cohort`` is not a Cohort.
    FileExistsError
        If the folder exists and is not empty, and ``overwrite`` is False.
    ValueError
        If no night was staged, two nights would have the same name, or the folder contains files
        that this function did not write.
    FileNotFoundError
        If the source is not a BIDS dataset, or a hypnogram or its provenance is missing.
    OSError
        If the folder cannot be written. What it contained is kept then.

    See Also
    --------
    read_bids : Read the nights of a dataset.

    Notes
    -----
    Recordings with names of BIDS keep their entities. Otherwise, a subject keeps the letters and
    digits of its name, and ``participants.tsv`` has the name as it was; if two people would have
    one label, the name of the dataset comes before it, or a number after it.
    """
    check_type(cohort, Cohort, "cohort")
    check_type(out_dir, "path-like", "out_dir")
    check_type(source, ("path-like", None), "source")
    out = Path(out_dir).expanduser().absolute()
    root = None if source is None else check_root(source).absolute()
    if not len(cohort.hypnograms):
        raise ValueError(
            f"No night of the cohort in {cohort.folder} was staged, so that there is nothing to "
            "write. See the reasons in its table."
        )
    _check_folder(out, overwrite)
    names = name_in_bids(cohort.table)
    with _write_folder(out) as unfinished:
        for night, hyp in cohort.hypnograms.items():
            path = unfinished / names[night].path
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_night(path, cohort, night, hyp, root)
        _write_participants(unfinished, cohort, names)
        _write_statistics(unfinished, cohort, names)
        _write_description(unfinished, out, root)
        text = _write_readme(cohort, names)
        (unfinished / "README.md").write_text(text, encoding="utf-8")
    return out


def _check_folder(out: Path, overwrite: bool) -> None:
    """Check that a folder can be written, and that nothing else would be lost."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file. Choose another folder.")
    files = [path for path in out.rglob("*") if not path.is_dir() or path.is_symlink()]
    if files and not overwrite:
        raise FileExistsError(
            f"{out} already exists. Choose another folder, or overwrite it with overwrite=True "
            "(--overwrite on the command line)."
        )
    names = sorted(path.relative_to(out).as_posix() for path in files)
    if others := [name for name in names if not _OURS.fullmatch(name)]:
        raise ValueError(
            f"{out} contains {others[0]}, which is not of these derivatives and would be lost. "
            "Choose another folder."
        )


@contextmanager
def _write_folder(out: Path) -> Iterator[Path]:
    """Write a folder as a whole: it replaces the one before when it is complete."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=".unfinished-") as folder:
            unfinished = Path(folder) / "new"
            unfinished.mkdir()
            yield unfinished
            if out.exists():
                out.replace(Path(folder) / "old")
            unfinished.replace(out)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and error.errno is None:  # of the cohort
            raise
        raise FileWriteError(
            error.errno,
            f"{out} could not be written ({error}). Free some space, or choose another folder.",
        ) from error


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def _write_tsv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as BIDS has it: separated by tabs, never quoted, with n/a."""
    table = table.astype(object).where(table.notna(), "n/a")
    rows = [list(table.columns), *table.to_numpy().tolist()]
    lines = ["\t".join(re.sub(r"\s+", " ", str(cell)).strip() or "n/a" for cell in r) for r in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_night(
    path: Path, cohort: Cohort, night: str, hyp: yasa.Hypnogram, root: Path | None
) -> None:
    """Write the stages of a night, and where they come from."""
    try:
        provenance = cohort.provenance(night)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"The provenance of the night {night!r} cannot be read ({error}). Stage the cohort in "
            f"{cohort.folder} again."
        ) from error
    stages = hyp.hypno.astype(str).tolist()
    events = pd.DataFrame({"onset": (np.arange(len(stages)) * EPOCH_S).astype(int)})
    events["duration"], events["trial_type"] = round(EPOCH_S), stages
    used = [stage for stage in _LEVELS if stage in hyp.labels]
    columns = {
        "onset": {"Description": "Start of the epoch after that of the recording", "Units": "s"},
        "duration": {"Description": "Duration of the epoch", "Units": "s"},
        "trial_type": {
            "Description": "Sleep stage",
            "Levels": {stage: _LEVELS[stage] for stage in used},
        },
    }
    for stage in [] if hyp.proba is None else used:
        if stage in hyp.proba and stage != "UNS":
            name = f"probability_{stage.lower()}"
            events[name] = hyp.proba[stage].round(4).to_numpy()
            columns[name] = {"Description": f"Probability of {_LEVELS[stage]}, from 0 to 1"}
    _write_tsv(path.with_name(f"{path.name}_events.tsv"), events)
    weights = provenance["weights"]
    recording = Path(str(cohort.table.loc[night, "recording"]))
    sidecar: dict[str, Any] = {
        "Description": f"Sleep stages of each 30-s epoch, staged by {_NAME} with the weights "
        f"{weights['name']!r}.",
    }
    if root is not None and recording.is_relative_to(root):
        sidecar["Sources"] = [f"bids:source:{recording.relative_to(root).as_posix()}"]
    sidecar |= columns
    sidecar["Provenance"] = _hide_paths(provenance)
    _write_json(path.with_name(f"{path.name}_events.json"), sidecar)


def _hide_paths(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Keep only the names of files, whose folders may tell who was recorded, and by whom."""
    weights, recording = dict(provenance["weights"]), dict(provenance["recording"])
    weights["name"] = Path(str(weights["name"])).name
    weights["file"] = weights.get("file") and Path(str(weights["file"])).name
    recording["files"] = [Path(str(file)).name for file in recording["files"]]
    return {**provenance, "weights": weights, "recording": recording}


def _hide_folders(text: object, row: pd.Series) -> str | None:
    """Leave out of a text on a night where its files are."""
    if not isinstance(text, str):
        return None
    for source in (row.get("recording"), row.get("hypnogram")):
        if isinstance(source, str) and Path(source).is_absolute():
            for path in (Path(source), Path(source).resolve()):
                text = text.replace(str(path), path.name)
                if path.parent != path.parent.parent:
                    folder = re.escape(str(path.parent))
                    text = re.sub(rf"{folder}[\\/]", "", text)
                    text = re.sub(rf"{folder}(?!\w)", "its folder", text)
    return _PATH.sub("", text)


def _write_participants(folder: Path, cohort: Cohort, names: Mapping[str, BidsName]) -> None:
    """Write who was staged, with the names that were given."""
    table = cohort.table.assign(participant_id=[names[n].participant for n in cohort.table.index])
    table["is_staged"] = table["status"] != FAILED
    people = table.groupby("participant_id", sort=True).agg(
        source_subject=("subject", "first"),
        source_dataset=("dataset", "first"),
        nights=("is_staged", "size"),
        nights_staged=("is_staged", "sum"),
    )
    people = people[people["nights_staged"] > 0].reset_index()
    _write_tsv(folder / "participants.tsv", people)
    meanings = {
        "participant_id": "Participant",
        "source_subject": "Name of the subject in the cohort that was staged",
        "source_dataset": "Dataset that the subject belongs to",
        "nights": "Number of recordings",
        "nights_staged": "Number of recordings that were staged",
    }
    _write_json(
        folder / "participants.json",
        {name: {"Description": text} for name, text in meanings.items()},
    )


def _write_statistics(folder: Path, cohort: Cohort, names: Mapping[str, BidsName]) -> None:
    """Write the sleep statistics and the quality of each night that was staged, by session."""
    table = cohort.table.drop(columns=list(_LEFT_OUT), errors="ignore")
    table = table.loc[list(cohort.hypnograms)].dropna(axis="columns", how="all")
    if "warnings" in table:
        table["warnings"] = [_hide_folders(row["warnings"], row) for _, row in table.iterrows()]
    if "recording" in table:  # else all of them were in memory
        table["recording"] = [
            Path(one).name if isinstance(one, str) else None for one in table["recording"]
        ]
    paths = [names[night].path for night in table.index]
    table.insert(0, "filename", [f"{path.parent.name}/{path.name}_events.tsv" for path in paths])
    # A Series, as pandas takes a list of one night for a list of keys.
    homes = pd.Series([path.parent.parent.as_posix() for path in paths], table.index)
    for home, rows in table.groupby(homes):
        _write_tsv(folder / home / f"{home.replace('/', '_')}_scans.tsv", rows)
    meanings = {name: describe_column(name) for name in table.columns}
    _write_json(folder / "scans.json", meanings)


def _write_description(folder: Path, out: Path, root: Path | None) -> None:
    """Write the description of the dataset."""
    description: dict[str, Any] = {
        "Name": "Sleep stages by mne-wav2sleep",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": _NAME, "Version": metadata.version(_NAME)}],
    }
    if root is not None:
        link = Path(os.path.relpath(root, out)).as_posix()
        described = {"URL": link}
        if isinstance(doi := read_description(root).get("DatasetDOI"), str):
            described["DOI"] = doi
        description["SourceDatasets"] = [described]
        description["DatasetLinks"] = {"source": link}
    _write_json(folder / DESCRIPTION, description)


def _write_readme(cohort: Cohort, names: Mapping[str, BidsName]) -> str:
    """Write what the dataset contains, and which nights failed."""
    staged = list(cohort.hypnograms)
    provenance = [cohort.provenance(night)["weights"] for night in staged]
    used = sorted({f"{Path(str(w['name'])).name} (SHA-256 {w['sha256']})" for w in provenance})
    failed = cohort.table.loc[cohort.table["status"] == FAILED]
    lines = [
        "# Sleep stages by mne-wav2sleep",
        "",
        f"{len(staged)} of {len(cohort.table)} recording{pluralize(cohort.table)} "
        f"{'was' if len(staged) == 1 else 'were'} staged from ECG, PPG and respiratory belts, by "
        f"mne-wav2sleep {metadata.version(_NAME)} with the weights {', '.join(used)}. This is the "
        "output of research software, not of a scorer.",
        "",
        "- `sub-*/**/*_desc-wav2sleep_events.tsv`: the stage and the probabilities of each 30-s "
        "epoch. Onsets count from the start of the recording. Its `.json` has the provenance: "
        "weights, channels, parameters and versions.",
        "- `sub-*/**/*_scans.tsv`: sleep statistics of each recording, and the quality of its "
        "signals; `scans.json` describes the columns.",
        "- `participants.tsv`: who was staged, and the names of the subjects as they were given.",
        "",
        "## Recordings that were not staged",
        "",
    ]
    lines += [
        f"- {names[night].path.name.removesuffix('_desc-wav2sleep')} (`{night}`): "
        f"{put_on_line(_hide_folders(row['reason'], row) or 'unknown')}."
        for night, row in failed.iterrows()
    ] or ["None."]
    return "\n".join(lines) + "\n"
