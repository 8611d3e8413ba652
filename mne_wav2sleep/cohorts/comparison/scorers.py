"""Hypnograms of nights by one or several scorers, on the same epochs; and their consensus."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import yasa

from ...cautions import warn
from ...errors import put_on_line, quote
from ...formats.edf import SUFFIXES as EDF_SUFFIXES
from ...hypnograms.aligning import align_hypnogram, cut_hypnogram
from ...hypnograms.folding import fold_hypnogram
from ...hypnograms.json import read_json
from ...hypnograms.reading import locate_hypnogram, read_hypnogram
from ...modalities import EPOCH_S
from ...progress import track
from ...recordings import open_recording
from ...verbosity import logger, pluralize, use_log_level
from .listing import ScoredFile, Source, find_path
from .matching import Matched
from .pairs import UNKNOWN, Pair, find_known

CONSENSUS = "consensus"
"""Name of the consensus of several scorers."""


@dataclass(frozen=True)
class Scorings:
    """The hypnograms of all nights, on the epochs of what was staged, with as many stages.

    Attributes
    ----------
    references : dict of str to dict of str to yasa.Hypnogram
        Scorer -> night -> hypnogram.
    staged : dict of str to yasa.Hypnogram
        Night -> hypnogram to compare.
    failed : list of dict
        ``night``, ``reference`` and ``reason`` of what cannot be compared.
    in_bed : dict of str to slice
        Night -> its epochs from lights off to lights on, where they are known.
    """

    references: dict[str, dict[str, yasa.Hypnogram]]
    staged: dict[str, yasa.Hypnogram]
    failed: list[dict[str, str]] = field(default_factory=list)
    in_bed: dict[str, slice] = field(default_factory=dict)


def read_scorings(
    matched: Matched, n_stages: int | None, meas_date_is_local: bool | None
) -> Scorings:
    """Read all hypnograms, fold them to common stages, and put them in place by the clock.

    Stages are folded as :func:`fold_hypnogram` does; probabilities are not kept.

    Parameters
    ----------
    matched : Matched
        Where they are.
    n_stages : int or None
        Number of stages; None for as many as all of them have.
    meas_date_is_local : bool or None
        As in :func:`align_hypnogram`.

    Returns
    -------
    scorings : Scorings
        The hypnograms, and what cannot be read or placed.

    Raises
    ------
    ValueError
        If some have fewer than ``n_stages``.
    """
    failed: list[dict[str, str]] = []
    staged, read = _read_all(matched, meas_date_is_local, failed)
    scored = [hyp for found in read.values() for hyp in found.values()]
    common = _choose_stages([*staged.values(), *scored], n_stages)
    del scored  # so that probabilities are freed night by night
    _warn_of_mixed(list(staged.values()), common, "staged")
    placed: dict[str, dict[str, yasa.Hypnogram]] = {name: {} for name in read}
    for night, hyp in staged.items():
        staged[night] = _fold(hyp, common)
    for scorer, found in read.items():
        _warn_of_mixed(list(found.values()), common, "reference")
        for night, hyp in found.items():
            with _note(failed, night, scorer):
                aligned = align_hypnogram(
                    _fold(hyp, common), staged[night], meas_date_is_local=meas_date_is_local
                )
                if not find_known(aligned, staged[night]).any():
                    raise ValueError("No epoch has a stage in both hypnograms")
                placed[scorer][night] = aligned
    return Scorings(placed, staged, failed, matched.in_bed)


@contextmanager
def _note(failed: list[dict[str, str]], night: str, scorer: str) -> Iterator[None]:
    """Note why a hypnogram cannot be used, and go on."""
    try:
        yield
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        failed.append({"night": night, "reference": scorer, "reason": put_on_line(str(error))})


def _read_all(
    matched: Matched, meas_date_is_local: bool | None, failed: list[dict[str, str]]
) -> tuple[dict[str, yasa.Hypnogram], dict[str, dict[str, yasa.Hypnogram]]]:
    """Read what was staged, and each scorer's hypnograms, by night."""
    staged: dict[str, yasa.Hypnogram] = {}
    read: dict[str, dict[str, yasa.Hypnogram]] = {name: {} for name in matched.references}
    nights = track(matched.staged.items(), "Reading", "night", len(matched.staged))
    with use_log_level(max(logger.level, logging.WARNING)):  # MNE tells of every file that it opens
        for night, source in nights:
            with _note(failed, night, ""):
                staged[night] = _read(source, None, meas_date_is_local)
            for scorer, found in matched.references.items():
                if night in staged and night in found:
                    with _note(failed, night, scorer):
                        read[scorer][night] = _read(found[night], staged[night], meas_date_is_local)
    return staged, read


def _read(
    source: Source, staged: yasa.Hypnogram | None, meas_date_is_local: bool | None
) -> yasa.Hypnogram:
    """Read a hypnogram, of any number of stages."""
    if isinstance(source, yasa.Hypnogram):
        return source
    if isinstance(source, ScoredFile):
        if staged is not None and source.recording.exists():
            return _read_beside(source, staged, meas_date_is_local)
        source = source.path
    if source.suffix.lower() == ".json" and source.is_file():
        return read_json(source)[0]
    return read_hypnogram(source, meas_date_is_local=meas_date_is_local)


def _read_beside(
    source: ScoredFile, staged: yasa.Hypnogram, meas_date_is_local: bool | None
) -> yasa.Hypnogram:
    """Read a hypnogram whose onsets may count from the start of its recording."""
    # EDF is read with the pauses of the recording, which MNE does not count.
    is_own = source.path == source.recording and source.path.suffix.lower() not in EDF_SUFFIXES
    hyp, onset = locate_hypnogram(
        None if is_own else source.path,
        open_recording(source.recording).raw,
        meas_date_is_local=meas_date_is_local,
        check_length=False,
    )
    if hyp.start is None and onset is not None and staged.start is None:
        if abs(onset / EPOCH_S - round(onset / EPOCH_S)) * EPOCH_S > 0.01:
            raise ValueError(
                f"The stages begin {onset:g} s after the recording, which is not a multiple of 30 s"
            )
        return cut_hypnogram(hyp, round(onset / EPOCH_S), staged.n_epochs)
    return hyp


def _choose_stages(hyps: Sequence[yasa.Hypnogram], n_stages: int | None) -> int:
    """Choose the number of stages that all hypnograms can be folded to."""
    common = min((hyp.n_stages for hyp in hyps), default=5)
    if n_stages is not None and n_stages > common:
        raise ValueError(
            f"n_stages is {n_stages}, but there are hypnograms of {common} stages, which cannot be "
            f"split. Give {common} or fewer."
        )
    return common if n_stages is None else n_stages


def _warn_of_mixed(hyps: Sequence[yasa.Hypnogram], common: int, what: str) -> None:
    """Warn of a few hypnograms because of which all are folded."""
    n_few = sum(hyp.n_stages == common for hyp in hyps)
    if 0 < n_few < len(hyps):
        warn(
            f"{n_few} of the {len(hyps)} {what} hypnograms have only {common} stages, to which all "
            "are folded. Leave them out to compare the others with more stages."
        )


def _fold(hyp: yasa.Hypnogram, n_stages: int) -> yasa.Hypnogram:
    """Fold a hypnogram to fewer stages by its probabilities, which are then left out."""
    folded = fold_hypnogram(hyp, n_stages)
    if folded.proba is None:
        return folded
    return yasa.Hypnogram(
        folded.hypno.to_numpy(dtype=object),
        n_stages=n_stages,
        freq=folded.freq,
        start=folded.start,
        scorer=folded.scorer,
    )


def make_pairs(
    references: Mapping[str, yasa.Hypnogram],
    staged: Mapping[str, yasa.Hypnogram],
    names: tuple[str, str],
    facts: Mapping[str, Mapping[str, Any]],
    in_bed: Mapping[str, slice] | None = None,
) -> list[Pair]:
    """Pair the hypnograms of two scorers, from the first to the last epoch that both have.

    Parameters
    ----------
    references, staged : mapping of str to yasa.Hypnogram
        Night -> hypnogram; nights that only one of them has are left out.
    names : tuple of (str, str)
        Names of the two scorers.
    facts : mapping of str to mapping
        Night -> what a table says of it.
    in_bed : mapping of str to slice or None
        Night -> its epochs from lights off to lights on, where they are known.

    Returns
    -------
    pairs : list of Pair
        The nights. ``n_scored`` among their facts is the number of epochs that the reference
        scored, of which those that are compared are a part. If any time in bed is known,
        ``in_bed`` is the number of epochs in bed that are compared, NA where it is not known.
    """
    pairs = []
    awake = []
    for night in (night for night in staged if night in references):
        hyps = references[night], staged[night]
        known = np.flatnonzero(find_known(*hyps))
        if not known.size:
            continue
        span = slice(known[0], known[-1] + 1)
        bed = (in_bed or {}).get(night, slice(None))
        inside = known[np.isin(known, np.arange(hyps[0].n_epochs)[bed])]
        n_in_bed = inside.size if night in (in_bed or {}) else pd.NA
        if not inside.size:
            awake.append(night)
            inside = known
        cut = [
            yasa.Hypnogram(hyp.hypno.to_numpy(dtype=object)[span], hyp.n_stages, scorer=name)
            for hyp, name in zip(hyps, names, strict=True)
        ]
        counts = {"n_scored": int((~hyps[0].hypno.isin(UNKNOWN)).sum())}
        counts |= {"in_bed": n_in_bed} if in_bed else {}
        slept = slice(inside[0] - known[0], inside[-1] + 1 - known[0])
        pairs.append(Pair(dict(facts[night]) | counts, cut[0], cut[1], slept))
    if awake:
        warn(
            f"No epoch in bed has a stage by both in {len(awake)} night{pluralize(len(awake))}, "
            f"such as {quote(awake[0])}. Sleep statistics there are of all epochs that are "
            "compared. Check lights off and on."
        )
    return pairs


def name_scorers(
    references: Mapping[str, Mapping[str, yasa.Hypnogram]], staged: Mapping[str, yasa.Hypnogram]
) -> tuple[list[str], str]:
    """Name the scorers, all differently.

    Parameters
    ----------
    references : mapping of str to mapping of str to yasa.Hypnogram
        Scorer -> night -> hypnogram. A scorer ``""`` is named as its hypnograms are, if they agree.
    staged : mapping of str to yasa.Hypnogram
        Night -> hypnogram.

    Returns
    -------
    references : list of str
        Names of the scorers. Of several, none is named as their consensus is.
    staged : str
        Name of what is compared with them.
    """
    names = [name or _find_scorer(hyps.values(), "reference") for name, hyps in references.items()]
    other = _find_scorer(staged.values(), "staged")
    if other in names:
        names = [f"{name} (reference)" if name == other else name for name in names]
        other = f"{other} (staged)"
    if len(names) > 1:
        names = [f"{name} (scorer)" if name == CONSENSUS else name for name in names]
        other = f"{other} (staged)" if other == CONSENSUS else other
    return names, other


def _find_scorer(hyps: Any, otherwise: str) -> str:
    """Find the scorer that all hypnograms have."""
    scorers = {hyp.scorer for hyp in hyps}
    found = scorers.pop() if len(scorers) == 1 else None
    return otherwise if found is None else str(found)


def rank_scorers(kappas: pd.DataFrame) -> list[str]:
    """Rank scorers by their mean agreement with the others.

    Parameters
    ----------
    kappas : pandas.DataFrame, shape (n_scorers, n_scorers)
        Kappa of each pair of scorers, NaN on the diagonal.

    Returns
    -------
    ranking : list of str
        The scorers, the one who agrees most with the others first; in the order given if two agree
        equally. Empty for two scorers, who cannot be ranked.
    """
    if len(kappas) < 3:
        return []
    return list(kappas.mean().sort_values(ascending=False, kind="stable").index)


def find_consensus(
    hypnograms: Mapping[str, yasa.Hypnogram], ranking: Sequence[str]
) -> tuple[yasa.Hypnogram, int]:
    """Find the consensus of several scorers of a night.

    Parameters
    ----------
    hypnograms : mapping of str to yasa.Hypnogram
        Scorer -> hypnogram, with the same epochs.
    ranking : sequence of str
        From :func:`rank_scorers`.

    Returns
    -------
    consensus : yasa.Hypnogram
        The stage that most scorers gave. Of stages that equally many gave, it is the one by the
        first scorer in the ranking. Epochs that fewer than two scored, and ties without a ranking,
        are ``UNS``.
    n_ties : int
        Number of epochs in which equally many gave several stages.

    Examples
    --------
    >>> stages = {"A": "WAKE N1 N2 UNS", "B": "WAKE N2 N2 N3", "C": "N1 N3 REM UNS"}
    >>> hyps = {name: yasa.Hypnogram(text.split()) for name, text in stages.items()}
    >>> consensus, n_ties = find_consensus(hyps, ["B", "A", "C"])
    >>> list(consensus.hypno), n_ties
    (['WAKE', 'N2', 'N2', 'UNS'], 1)
    """
    first = next(iter(hypnograms.values()))
    stages = [stage for stage in first.labels if stage not in UNKNOWN]
    scored = {name: hyp.hypno.to_numpy(dtype=object) for name, hyp in hypnograms.items()}
    votes = np.array([sum(one == stage for one in scored.values()) for stage in stages])
    n_most = votes.max(axis=0)
    is_top = (votes == n_most) & (votes.sum(axis=0) >= 2)
    chosen = np.full(first.n_epochs, "UNS", dtype=object)
    is_clear = is_top.sum(axis=0) == 1
    chosen[is_clear] = np.array(stages, dtype=object)[is_top.argmax(axis=0)[is_clear]]
    is_open = is_top.sum(axis=0) > 1
    n_ties = int(is_open.sum())
    for name in (name for name in ranking if name in scored):
        for stage, top in zip(stages, is_top, strict=True):
            decides = is_open & top & (scored[name] == stage)
            chosen[decides] = stage
            is_open &= ~decides
    consensus = yasa.Hypnogram(chosen, first.n_stages, start=first.start, scorer=CONSENSUS)
    return consensus, n_ties


def find_consensuses(
    references: Mapping[str, Mapping[str, yasa.Hypnogram]], ranking: Sequence[str]
) -> dict[str, yasa.Hypnogram]:
    """Find the consensus of each night that two or more scored.

    Parameters
    ----------
    references : mapping of str to mapping of str to yasa.Hypnogram
        Scorer -> night -> hypnogram.
    ranking : sequence of str
        From :func:`rank_scorers`.

    Returns
    -------
    consensuses : dict of str to yasa.Hypnogram
        Night -> consensus. Ties of two scorers are warned of.
    """
    nights = dict.fromkeys(night for found in references.values() for night in found)
    consensuses, n_ties, n_scored = {}, 0, 0
    for night in nights:
        hyps = {name: found[night] for name, found in references.items() if night in found}
        if len(hyps) > 1:
            consensuses[night], ties = find_consensus(hyps, ranking)
            n_ties += ties
            n_scored += int((consensuses[night].hypno != "UNS").sum()) + (0 if ranking else ties)
    if n_ties and not ranking:
        warn(
            f"The two scorers differ in {n_ties} of {n_scored} epochs, which the consensus leaves "
            "out, so that agreement with it is higher than with either. Read by_scorer, or add a "
            "third scorer."
        )
    return consensuses


def shown_name(source: Source) -> str:
    """Give the name of a file, for a table; empty for a hypnogram in memory."""
    return "" if isinstance(source, yasa.Hypnogram) else find_path(source).name
