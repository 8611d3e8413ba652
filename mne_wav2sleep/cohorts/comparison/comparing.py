"""Compare what was staged with scorers: two hypnograms, or thousands of nights."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yasa

from ...cautions import keep_cautions, warn
from ...errors import quote
from ...hypnograms.agreement import allow_absent_stages
from ...verbosity import Verbosity, check_option, check_type, pluralize, verbose
from ..nights import identify_person
from .agreement import compare_statistics, describe_pairs, tabulate_pooled
from .groups import (
    By,
    describe_nights,
    group_nights,
    list_columns,
    name_subject,
    open_participants,
    warn_of_unknown,
)
from .intervals import FEW_SUBJECTS
from .matching import Matched, match_nights
from .pairs import Pair, compare_nights, compute_sleep_stats, score_nights
from .result import Comparison
from .scorers import (
    CONSENSUS,
    Scorings,
    find_consensuses,
    make_pairs,
    name_scorers,
    rank_scorers,
    read_scorings,
    shown_name,
)

_SCORES = ("night", "subject", "n_scored", "in_bed", "epochs", "kappa", "accuracy")
"""Columns of ``by_night`` that columns of the cohort or the participants do not replace."""
_FILES = ("reference_file", "staged_file")


@verbose
def compare(
    reference: Any,
    staged: Any = None,
    *,
    n_stages: int | None = None,
    by: By = None,
    participants: pd.DataFrame | str | Path | None = None,
    subjects: Mapping[str, str] | Sequence[str] | None = None,
    meas_date_is_local: bool | None = None,
    verbose: Verbosity = None,
) -> Comparison:
    """Compare what was staged with one or several scorers.

    Parameters
    ----------
    reference : object
        The scorer's stages, or, if ``staged`` is None, a staged cohort (its folder, or from
        :func:`~mne_wav2sleep.cohorts.load_cohort`) whose table names the scorers' hypnograms.
        Stages are one of:

        - a :class:`yasa.Hypnogram`, or a file that :func:`~mne_wav2sleep.read_hypnogram` reads;
        - a list of them, or a mapping of the names of nights to them;
        - a folder of such files, whose nights are named as those of a cohort;
        - a staged cohort;
        - several scorers: a mapping of their names to mappings, lists or folders, or a list of
          folders (or of files, if a single night was staged).
    staged : object
        The stages to compare with the reference, as above, of one scorer.
    n_stages : int or None
        Number of stages to compare, 2 to 5; None for as many as all hypnograms have (4 if the
        scorer has 5 and 4 were staged). They are folded by the sums of their probabilities, if they
        have any (:func:`~mne_wav2sleep.fold_hypnogram`).
    by : str, sequence of str, mapping of str to sequence of float, or None
        Columns of ``participants``, or of the table of a cohort (such as ``"dataset"``), by which
        agreement is given as well. A mapping has the edges at which numbers are cut, or None; ages
        (``"age"``) are cut at 18, 40 and 60 by default, and the apnea-hypopnea index (``"ahi"``) at
        5, 15 and 30.
    participants : pandas.DataFrame, str, Path or None
        A table, or a CSV or TSV, with a row per ``participant_id`` (or ``subject``), or per
        ``night``, with the ``subject`` as well if some have several.
    subjects : mapping of str to str, sequence of str, or None
        The subject of each night, by its name or in the order of ``staged``. None for those of
        ``participants`` or of the cohort; else ``sub-<label>`` at the beginning of the name of a
        night, as in BIDS, and otherwise each night is one of another subject.
    meas_date_is_local : bool or None
        As in :func:`~mne_wav2sleep.align_hypnogram`.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    comparison : Comparison
        Tables, figures and a report.

    Raises
    ------
    TypeError
        If an argument has another type, or edges of ``by`` are not a list of numbers.
    ValueError
        If no night can be compared, nights cannot be matched or are matched twice, or
        ``n_stages``, ``by``, ``participants`` or ``subjects`` do not fit them.
    FileNotFoundError
        If there is no such file or folder.

    See Also
    --------
    mne_wav2sleep.cohorts.evaluate : Compare weights with a scorer, for every subset of the signals.
    mne_wav2sleep.plot_agreement : Plot two hypnograms of a night.

    Notes
    -----
    Hypnograms are matched by the names of the nights and their folders (of a cohort, those of its
    recordings, or the subjects): exact names first, then without regard to case. ``p1/night`` is
    ``p1_night``, and never ``p2/night``; ``night`` is either of them if it is the only one. A name
    may have an addition after a separator (``night1_scored.csv`` and ``night1.json``). Only a
    hypnogram or a file that is given by itself belongs to any night. They are placed by the clock
    (:func:`~mne_wav2sleep.align_hypnogram`). Epochs that have no stage in either hypnogram do not
    count, neither in the agreement nor in the sleep statistics, which are of the time from the
    first to the last epoch that has a stage in both. If a cohort was staged that knows lights off
    and on, sleep statistics are of the time in bed.

    The figures are those of :class:`yasa.EpochByEpochAgreement` and
    :class:`yasa.SleepStatsAgreement`. Intervals are 95% intervals (2.5th to 97.5th percentile) of a
    bootstrap with 2000 draws, in which the nights of a subject are drawn together, except those of
    the sleep statistics, which are YASA's.

    The consensus of several scorers is the stage that most of them gave. Of stages that equally
    many gave, it is the one by the scorer who agrees most with the others (mean kappa), much as in
    Stephansen et al. (2018) and Guillot et al. (2020); two scorers cannot be ranked, and the
    consensus is where they agree. Epochs that only one has scored have none. If no night has two
    scorers, there is no consensus, and the reference of a night is the scorer who has scored it.

    Examples
    --------
    >>> import yasa
    >>> stages = {f"night{i}": yasa.simulate_hypnogram(60, seed=i) for i in range(3)}
    >>> found = compare(stages, stages, verbose="error")
    >>> float(found.pooled.loc["kappa", "value"]), found.confusion.shape
    (1.0, (5, 5))
    """
    check_option("n_stages", n_stages, [None, 2, 3, 4, 5])
    check_type(meas_date_is_local, (bool, None), "meas_date_is_local")
    columns = list_columns(by)
    kept: list[str] = []
    with keep_cautions(kept):
        people = open_participants(participants)
        matched = match_nights(reference, staged)
        nights = describe_nights(_list_subjects(matched, subjects), people)
        groups = {name: group_nights(nights, name, edges) for name, edges in columns.items()}
        warn_of_unknown(groups, nights)
        scorings = read_scorings(matched, n_stages, meas_date_is_local)
        facts = _gather_facts(matched, nights, groups)
        with allow_absent_stages():
            return _compare(scorings, facts, groups, kept)


def _list_subjects(
    matched: Matched, subjects: Mapping[str, str] | Sequence[str] | None
) -> pd.DataFrame:
    """List the nights with their subjects, as far as they are known, and the cohort's columns."""
    names = list(matched.staged)
    check_type(subjects, (Mapping, list, tuple, np.ndarray, pd.Series, None), "subjects")
    table = pd.DataFrame(index=pd.Index(names, name="night"))
    if matched.table is not None:
        table = matched.table.loc[names].copy()
    if isinstance(subjects, pd.Series):
        subjects = subjects.to_dict()
    if isinstance(subjects, Mapping):
        if missing := [name for name in names if name not in subjects]:
            raise ValueError(f"subjects lacks the nights {quote(missing)}. Give one for each.")
        table["subject"] = [name_subject(subjects[name]) for name in names]
    elif subjects is not None:
        if len(subjects) != len(names):
            raise ValueError(
                f"subjects has {len(subjects)} values, and there are {len(names)} nights. Give one "
                "for each, or a mapping of nights to subjects."
            )
        table["subject"] = list(map(name_subject, subjects))
    elif "subject" in table:
        table["subject"] = _tell_apart(table)
    else:
        found = [re.match(r"sub-[A-Za-z0-9]+(?=_|$)", name) for name in names]
        table["subject"] = pd.Series([m and m[0] for m in found], index=table.index, dtype=object)
    return table


def _tell_apart(table: pd.DataFrame) -> pd.Series:
    """Name subjects, with the dataset if those of several datasets have one name."""
    if "dataset" not in table:
        return table["subject"]
    datasets, subjects = table["dataset"].fillna("").astype(str), table["subject"]
    people = pd.Series(
        [identify_person(d, str(s)) for d, s in zip(datasets, subjects, strict=True)],
        index=table.index,
    )
    names = people.map(lambda person: person[1])
    is_shared = people.groupby(names).transform("nunique") > 1
    return subjects.where(~is_shared, datasets + "/" + subjects)


def _gather_facts(
    matched: Matched, nights: pd.DataFrame, groups: Mapping[str, pd.Series]
) -> dict[str, dict[str, Any]]:
    """Gather what the table by night says of each night."""
    facts = {}
    for night, source in matched.staged.items():
        found = [one[night] for one in matched.references.values() if night in one]
        facts[night] = {
            "night": night,
            "subject": nights.at[night, "subject"],
            "reference_file": " + ".join(filter(None, map(shown_name, found))),
            "staged_file": shown_name(source),
            **{name: group[night] for name, group in groups.items() if name not in _SCORES},
        }
    return facts


def _compare(
    scorings: Scorings,
    facts: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, pd.Series],
    kept: list[str],
) -> Comparison:
    """Compare hypnograms that are in place."""
    names, other = name_scorers(scorings.references, scorings.staged)
    references = dict(zip(names, scorings.references.values(), strict=True))
    failed = pd.DataFrame(scorings.failed, columns=["night", "reference", "reason"])
    if not any(references.values()):
        found = f"None of the {len(facts)} nights can be compared. The first one"
        raise ValueError(
            f"{'The night cannot be compared' if len(facts) == 1 else found}: "
            f"{failed['reason'].iloc[0]}."
        )
    if len(failed):
        warn(
            f"{len(failed)} hypnogram{pluralize(len(failed))} cannot be compared; the first one is "
            f"of {failed['night'].iloc[0]}: {failed['reason'].iloc[0]}. See failed."
        )
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    kappas = pd.DataFrame(np.nan, index=names, columns=names)
    for one, another in combinations(names, 2):
        if pairs := make_pairs(references[one], references[another], (one, another), facts):
            rows[one, another] = describe_pairs(pairs)
            kappas.loc[one, another] = kappas.loc[another, one] = rows[one, another]["kappa"]
    if consensuses := find_consensuses(references, rank_scorers(kappas)):
        references[CONSENSUS] = consensuses
    pairs = []
    for name, hyps in references.items():  # the last one is the consensus, if there is one
        if pairs := make_pairs(hyps, scorings.staged, (name, other), facts, scorings.in_bed):
            rows[name, other] = describe_pairs(pairs)
    if len(names) > 1 and not consensuses:
        pairs = _pair_apart(references, scorings, other, facts)
    if not pairs:
        raise ValueError(
            "No epoch was scored alike by two scorers, so that there is no consensus. Compare with "
            "each of them alone."
        )
    by_scorer = pd.DataFrame.from_dict(rows, orient="index")
    by_scorer = by_scorer.rename_axis(["reference", "other"]).reset_index()
    return _tabulate(pairs, groups, {"by_scorer": by_scorer, "failed": failed}, kept)


def _pair_apart(
    references: Mapping[str, Mapping[str, yasa.Hypnogram]],
    scorings: Scorings,
    other: str,
    facts: Mapping[str, Mapping[str, Any]],
) -> list[Pair]:
    """Pair nights of which none has two scorers, each with its own."""
    warn(
        "No night has two scorers, so that there is no consensus, and each night is compared with "
        "its own scorer. See by_scorer for each of them; check the names of the nights if some "
        "were scored twice."
    )
    present = {name: hyps for name, hyps in references.items() if hyps}
    together = {night: hyp for hyps in present.values() for night, hyp in hyps.items()}
    names = " and ".join(present), other
    return make_pairs(together, scorings.staged, names, facts, scorings.in_bed)


def _tabulate(
    pairs: Sequence[Pair],
    groups: Mapping[str, pd.Series],
    tables: Mapping[str, pd.DataFrame],
    kept: list[str],
) -> Comparison:
    """Tabulate the agreement of two scorers."""
    names = pairs[0].reference.scorer, pairs[0].staged.scorer
    people = [one.facts["subject"] for one in pairs]
    n_people = len(set(people))
    agreement = compare_nights(pairs, people if n_people < len(people) else None)
    by_night = score_nights(pairs, agreement)[0]
    by_night = by_night.drop(columns=[c for c in _FILES if not by_night[c].any()])
    if "in_bed" in by_night:  # unknown of some nights
        by_night["in_bed"] = by_night["in_bed"].astype("Int64")
    if n_people < FEW_SUBJECTS:
        warn(
            "There are no intervals by subject, because there is only one subject."
            if n_people == 1
            else f"The intervals come from {n_people} subjects; from fewer than {FEW_SUBJECTS}, "
            "they tend to be too narrow."
        )
    pooled, by_stage, confusion = tabulate_pooled(pairs, agreement)
    statistics = compute_sleep_stats(pairs, names)
    found = compare_statistics(
        statistics, {one.facts["night"]: one.facts["subject"] for one in pairs}
    )
    scores = by_night.columns[by_night.columns.get_loc("epochs") + 1 :]
    by_subject = by_night.groupby("subject", sort=False).agg(
        nights=("night", "size"),
        epochs=("epochs", "sum"),
        **{score: (score, "mean") for score in scores},
    )
    return Comparison(
        *names,
        pooled=pooled,
        by_stage=by_stage,
        by_night=by_night,
        by_subject=by_subject.reset_index(),
        by_group=_group(pairs, groups),
        confusion=confusion,
        sleep_stats=found.summarize(),
        sleep_stats_by_night=statistics,
        cautions=tuple(kept),
        _statistics=found,
        **tables,
    )


def _group(pairs: Sequence[Pair], groups: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Tabulate the agreement of groups of nights."""
    rows = []
    for column, labels in groups.items():
        for label in labels.cat.categories:
            chosen = [one for one in pairs if labels[one.facts["night"]] == label]
            if chosen:
                rows.append({"column": column, "group": label} | describe_pairs(chosen))
    return pd.DataFrame(rows, columns=None if rows else ["column", "group"])
