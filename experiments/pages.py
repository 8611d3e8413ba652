"""Table, figure and page of a study, from its results alone: no number is typed by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from differences import compare_arms, describe_differences, find_seeds, format_difference
from figures import plot_subsets, plot_sweep
from gains import compare_gains, describe_gains, format_gains, name_random_encoders
from results import MINUTE, Result, check_comparable
from rhythm_pages import describe_left_out, describe_warnings
from same_loss import describe_times
from signs import describe_signs
from study import Study
from sweeps import describe_choice

from mne_wav2sleep.cohorts.comparison.intervals import FEW_SUBJECTS
from mne_wav2sleep.network import Wav2SleepConfig
from mne_wav2sleep.output import write_whole
from mne_wav2sleep.showing import flatten
from mne_wav2sleep.training import TrainingSettings
from mne_wav2sleep.training.card import format_number, format_table
from mne_wav2sleep.verbosity import pluralize

_FEW_SEEDS = 3
"""Number of seeds below which intervals are doubtful."""


def _format(share: float | None) -> str:
    """Format a number that may not be known, as the share explained of what did not vary."""
    return format_number(np.nan if share is None else share, 2)


def describe_claims(table: pd.DataFrame, study: Study) -> list[str]:
    """Say what the intervals of the differences show, arm by arm.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`~differences.compare_arms`.
    study : Study
        The study.

    Returns
    -------
    sentences : list of str
        A sentence for each arm, cohort and kind of claim.
    """
    reference = study.arms[study.reference].label
    sentences = []
    compared = table[table["arm"] != study.reference]
    for (arm, cohort), rows in compared.groupby(["arm", "cohort"], sort=False):
        where = f" on the test nights of {cohort}" if study.by_cohort else ""
        texts = describe_differences(rows, "subset", reference, f"{where}, when staged from")
        sentences += [f"**{study.arms[str(arm)].label}**: {text}" for text in texts]
    return sentences


def _format_results(table: pd.DataFrame, study: Study) -> str:
    """Format the table of the page."""
    rows = []
    for _, row in table.iterrows():
        has_difference = isinstance(row.get("claim"), str)
        rows.append(
            [
                *([row["cohort"]] if study.by_cohort else []),
                row["subset"],
                study.arms[row["arm"]].label,
                f"{row['kappa']:.3f} ({row['low']:.3f} to {row['high']:.3f})",
                f"{row['accuracy']:.1f}",
                format_difference(row) if has_difference else "",
                row["claim"] if has_difference else "reference" * (row["arm"] == study.reference),
                row["subjects"],
            ]
        )
    columns = ["staged from", "arm", "kappa (95% interval)", "accuracy (%)"]
    columns += ["difference of kappa (95% interval)", "which is", "subjects"]
    return format_table([*(["cohort"] if study.by_cohort else []), *columns], rows)


def _format_costs(results: Sequence[Result], study: Study) -> str:
    """Format what the arms cost."""
    rows = []
    validated = {n: _list_validated(next(r for r in results if r.arm == n)) for n in study.arms}
    differs = len(set(validated.values())) > 1
    for name, arm in study.arms.items():
        some = [one for one in results if one.arm == name]
        minutes = [one.cpu_s / MINUTE for one in some]
        passes = [sum(len(training.passes) for training in one.trainings) for one in some]
        is_complete = all(t.is_cpu_complete for one in some for t in one.trainings)
        rows.append(
            [
                arm.label,
                len(some),
                f"{np.mean(minutes):.1f}" + ("" if is_complete else " (at least)"),
                f"{np.mean(passes):.0f}",
                f"{some[0].n_parameters:,}",
                f"{some[0].n_bytes / 1e6:.2f}",
                _format(some[0].staging_s),
                _format_losses(some) + (f" on {validated[name]}" if differs else ""),
            ]
        )
    if study.sum_others:
        others = [one for one in results if one.arm != study.reference]
        n_seeds = len({one.seed for one in others})
        first = {one.arm: one for one in others}.values()
        rows.append(
            [
                "all but the first, together",
                n_seeds,
                f"{sum(one.cpu_s for one in others) / n_seeds / MINUTE:.1f}",
                "",
                f"{sum(one.n_parameters for one in first):,}",
                f"{sum(one.n_bytes for one in first) / 1e6:.2f}",
                "",
                "",
            ]
        )
    columns = ["arm", "seeds", "CPU time of a run (min)", "passes", "parameters", "weights (MB)"]
    columns.append("CPU time of staging a night (s)")
    table = format_table(
        [*columns, "validation loss of the last training, mean (range of seeds)"], rows
    )
    text = (
        f"{table}\n\nThe validation loss is the lowest one of the last training of a run, from all "
        "signals that a night has and the network reads."
    )
    if differs:
        text += (
            " Arms were validated on nights of other cohorts, or from other signals: their losses "
            "can be compared only where these are the same."
        )
    return text


def _list_validated(result: Result) -> str:
    """List the cohorts, and their signals, that the last training of a run was validated on."""
    read = result.described["start"]["config"].get("signals", Wav2SleepConfig().signals)
    cohorts = result.described["trainings"][-1]["cohorts"]
    return " and ".join(
        f"{name} ({'+'.join(sorted({*origin['modalities']} & {*read}))})"
        for name, origin in sorted(cohorts.items())
    )


def _format_losses(results: Sequence[Result]) -> str:
    """Format the lowest validation losses of runs."""
    losses = [
        min(float(p["validation_loss"] or np.nan) for p in r.trainings[-1].passes) for r in results
    ]
    return f"{np.mean(losses):.3f} ({min(losses):.3f} to {max(losses):.3f})"


def _format_cohorts(results: Sequence[Result]) -> str:
    """Format the cohorts of all arms."""
    cohorts: dict[str, Any] = {}
    for one in results:
        for training in one.described["trainings"]:
            cohorts |= training["cohorts"]
        cohorts |= one.described["evaluate"]
    rows = [
        [
            name,
            origin["kind"],
            ", ".join(origin["modalities"]),
            *(origin["subjects"][part] for part in ("training", "validation", "test")),
            origin.get("hours", ""),
        ]
        for name, origin in sorted(cohorts.items())
    ]
    columns = ["cohort", "nights", "signals", "training", "validation", "test", "hours"]
    return format_table(columns, rows)


def _join_cohorts(trainings: Sequence[Mapping[str, Any]]) -> str:
    """Say on which cohorts an arm was trained, one after the other."""
    names = [" and ".join(training["cohorts"]) for training in trainings]
    changes = [name for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    return ", then ".join(changes)


def _list_steps(trainings: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], dict[str, Any]]:
    """List the settings of the trainings of an arm by the numbers of their phase and training.

    A phase is of the same cohorts. What a phase repeats of the first one is left out.
    """
    defaults = asdict(TrainingSettings())
    steps: dict[tuple[int, int], dict[str, Any]] = {}
    phases = [list(some) for _, some in groupby(trainings, lambda one: sorted(one["cohorts"]))]
    for phase, some in enumerate(phases, start=1):
        for number, one in enumerate(some, start=1):
            # What an older result does not name had its default value.
            values = flatten(defaults | one["settings"] | {"trainable": one["trainable"]})
            values = {k: str(v) for k, v in values.items() if k != "seed"}
            first = steps.get((1, number), {})
            unset = dict.fromkeys(first, "not set") if phase > 1 else {}
            values = unset | values
            steps[phase, number] = {k: v for k, v in values.items() if first.get(k) != v}
    return {place: values for place, values in steps.items() if values}


def _name_step(place: tuple[int, int], *, is_same: bool) -> str:
    """Name a training of an arm, which has no number if all have the same settings."""
    phase, number = place
    name = "training" if is_same else f"training {number}"
    return name if phase == 1 else f"phase {phase}, {name}"


def _format_settings(results: Sequence[Result], study: Study) -> str:
    """Format the settings in which arms differ, and those that they share."""
    by_arm = {}
    first = {name: next(r for r in results if r.arm == name).described for name in study.arms}
    steps = {name: _list_steps(described["trainings"]) for name, described in first.items()}
    is_same = all([*some] == [(1, 1)] for some in steps.values())
    for name, described in first.items():
        # What an older result does not name had its default value.
        values = {"network": asdict(Wav2SleepConfig()) | described["start"]["config"]}
        values["training on"] = _join_cohorts(described["trainings"])
        values |= {_name_step(p, is_same=is_same): one for p, one in steps[name].items()}
        by_arm[name] = {k: str(v) for k, v in flatten(values).items()}
    table = pd.DataFrame(by_arm).fillna("")
    differs = table.nunique(axis=1) > 1
    labels = [study.arms[name].label for name in study.arms]
    different = format_table(["setting", *labels], [[i, *r] for i, r in table[differs].iterrows()])
    shared = format_table(["setting", "value"], table[~differs].iloc[:, 0].items())
    if any(phase > 1 for some in steps.values() for phase, _ in some):
        different += (
            "\n\nA phase is training on the same cohorts. Of those after the first one, only what "
            "changes is listed."
        )
    return (
        f"Arms differ in:\n\n{different}\n\n<details><summary>What they share</summary>\n\n"
        f"{shared}\n\n</details>"
    )


def _describe_pretraining(results: Sequence[Result]) -> str:
    """Say what the encoders knew before they saw stages."""
    known = results[0].pretraining
    if not known:
        return "Encoders began with random weights."
    rows = [
        [target, *(_format(shares[target]) for shares in known["explained"].values())]
        for target in next(iter(known["explained"].values()))
    ]
    return (
        "All arms and seeds began with the same encoders, which were pretrained on simulated "
        f"pieces without stages ({known['cpu_s'] / MINUTE:.1f} CPU min, once). Seeds vary the "
        "initial mixers, the order and crops of nights, masking and dropout."
        f"{name_random_encoders(results)} Share of the variance "
        "that the encoders explained on pieces that they were not trained on:\n\n"
        + format_table(["property of an epoch", *known["explained"]], rows)
    )


def write_page(
    name: str, results: Sequence[Result], study: Study, folder: Path, more: str = ""
) -> Path:
    """Write table, figure and page of a study.

    Parameters
    ----------
    name : str
        Name of the study.
    results : sequence of Result
        Its results.
    study : Study
        The study.
    folder : Path
        Where ``NAME.csv``, ``NAME.png`` and ``NAME.md`` are written.
    more : str
        Sections of the page about what else was measured.

    Returns
    -------
    page : Path
        The page.

    Raises
    ------
    ValueError
        If results cannot be compared, or there are none of an arm.
    """
    left_out = ""
    if study.recorded and not any(one.arm in study.recorded for one in results):
        left_out = f"{describe_left_out(study)}\n\n"
        study = study.leave_out_recorded()
    seeds = find_seeds(results, study)
    results = [one for one in results if one.seed in seeds and one.arm in study.arms]
    check_comparable(results)
    table = compare_arms(results, study)
    folder.mkdir(parents=True, exist_ok=True)
    with write_whole(folder / f"{name}.csv", overwrite=True) as unfinished:
        table.to_csv(unfinished, index=False, float_format="%.4f")
    figure = (plot_subsets if study.x_label is None else plot_sweep)(table, study)
    with write_whole(folder / f"{name}.png", overwrite=True) as unfinished:
        figure.savefig(unfinished, dpi=100, metadata={"Software": None})
    gains = compare_gains(results, study)
    sentences = describe_gains(gains, study) + describe_claims(table, study)
    claims = "\n".join(f"- {sentence}" for sentence in sentences)
    signs, of_signs = describe_signs(results, study)
    claims = signs or claims  # a study of signs does not ask for differences of kappa
    describe = _describe_training if study.weights is None else _describe_rhythms
    paper = ""
    if study.paper is not None:
        paper = f"## What the paper says\n\n{study.paper.says} ({study.paper.source}).\n\n"
    text = f"""# {study.title}

{study.question}

## Answer

{claims or "No difference has an interval."}

{_warn_of_scale(results, study)}

{left_out}![Kappa of the arms]({name}.png)

## Results

{_format_results(table, study)}

Kappa is the mean over {len(seeds)} seed{pluralize(seeds)} and all test subjects, none of whom was \
trained on. Differences are paired: the same nights and seeds. Intervals are by a percentile \
bootstrap that draws subjects and seeds. A difference is "higher" or "lower" if its interval does \
not include 0; the intervals are not corrected for the number of comparisons.{_warn_of_few(table)}

{describe_choice(table, results, study)}{format_gains(gains, results, study)}\
{of_signs}{more}{paper}{describe(results, study)}

---

Written by `python experiments/run.py {name} --report` from the results of \
{len(results)} run{pluralize(results)}, with {_list_versions(results)}.
"""
    path = folder / f"{name}.md"
    with write_whole(path, overwrite=True) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return path


def _list_versions(results: Sequence[Result]) -> str:
    """List the versions of packages, all of those that differ between runs."""
    found: dict[str, set[str]] = {}
    for package, version in (pair for one in results for pair in one.versions.items()):
        found.setdefault(package, set()).add(version)
    return ", ".join(f"{package} {' and '.join(sorted(some))}" for package, some in found.items())


def _warn_of_few(table: pd.DataFrame) -> str:
    """Warn of intervals from few subjects or seeds."""
    few = []
    if (n_subjects := int(table["subjects"].min())) < FEW_SUBJECTS:
        few.append(f"{n_subjects} subject{pluralize(range(n_subjects))}")
    if (n_seeds := int(table["seeds"].min())) < _FEW_SEEDS:
        few.append(f"{n_seeds} seed{pluralize(range(n_seeds))}")
    text = f" **With {' and '.join(few)}, they are doubtful.**" if few else ""
    return text + " They do not stand for other seeds." * (n_seeds < _FEW_SEEDS)


def _warn_of_scale(results: Sequence[Result], study: Study) -> str:
    """Say what networks and nights the answer is about."""
    origins = [origin for one in results for origin in one.described["evaluate"].values()]
    kinds = " and ".join(sorted({origin["kind"].split(",")[0] for origin in origins}))
    if study.weights is not None:
        return f"This is about the weights {study.weights} on {kinds} nights."
    n_parameters = max(one.n_parameters for one in results)
    return (
        f"These are networks of at most {n_parameters:,} parameters, tested on {kinds} nights: the "
        "answer may be another one for larger networks and other nights, for which the same "
        "command is meant."
    )


def _describe_training(results: Sequence[Result], study: Study) -> str:
    """Describe what was trained, on what, and what it cost."""
    total = sum(one.cpu_s for one in results) / MINUTE
    return f"""## Cost

{len(results)} runs took {total:.0f} CPU min. A run that studies share counts in each.

{_format_costs(results, study)}

{describe_times(results, study) if study.sum_others else ""}## Cohorts

{_format_cohorts(results)}

Numbers of training, validation and test are subjects.

## Settings

{_format_settings(results, study)}

## Encoders

{_describe_pretraining(results)}"""


def _describe_rhythms(results: Sequence[Result], study: Study) -> str:
    """Describe nights and rhythms, and in how many of them staging warned of the rhythm."""
    return f"""## Warnings

{describe_warnings(results, study)}

## Nights

{_format_cohorts(results)}

A person has the same stages, breathing and movements in each rhythm, which comes in episodes of \
half an hour."""
