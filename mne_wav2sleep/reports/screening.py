"""Which nights of a cohort to look at first, and which sentences about them say the same."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..errors import shorten
from ..hypnograms.statistics import LONGEST_NIGHT_H
from ..modalities import list_by_wave
from ..staging.domain import SHORT_S, is_by_day

LITTLE_UNSCORED, HALF_UNSCORED = 0.2, 0.5
"""Shares of epochs without a stage from which on a night is named."""
LITTLE_MEASURED = LITTLE_PLAUSIBLE = 0.5
"""Share measured, and share of epochs with plausible beats or breaths, below which it is."""
LITTLE_CERTAINTY = 0.6
"""Mean probability of the most probable stage below which it is."""
MANY_WARNINGS = 5
OUTLIER_Z = 3.5
"""Modified z-score of an outlier (Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers)."""
_FEWEST = 10
"""Number of nights from which on outliers are looked for."""
_LONGEST_TEXT = 400
_DOTS = "[…]"
"""What replaces names and numbers in a sentence."""

CRITERIA = (
    "Points: could not be staged, 100 (one night for each reason is listed, in half of the rows at "
    f"most); {HALF_UNSCORED:.0%} of the epochs or more without a stage, 4, {LITTLE_UNSCORED:.0%} "
    f"or more, 2; mean probability of the most probable stage below {LITTLE_CERTAINTY:g}, or an "
    f"outlier, 3; a signal measured in less than {LITTLE_MEASURED:.0%} of the night, 2; less than "
    f"{LITTLE_PLAUSIBLE:.0%} of its inspected epochs with plausible beats or breaths, 2; TST, SE "
    f"or the share of a stage that is an outlier among these nights, 2 each; shorter than "
    f"{SHORT_S / 3600:g} h, longer than {LONGEST_NIGHT_H} h, or with the contents of another "
    f"recording, 2 each; by day (the middle between 10:00 and 20:00), or without a clock, 1; "
    f"{MANY_WARNINGS} warnings or more, 1. Outliers have a modified z-score (by the median and the "
    f"median absolute deviation) beyond {OUTLIER_Z:g}, and are looked for among {_FEWEST} nights "
    "or more."
)


@dataclass(frozen=True)
class Finding:
    """A reason to look at a night.

    Attributes
    ----------
    points : int
        How much it counts.
    text : str
        The reason in words.
    """

    points: int
    text: str


@dataclass
class Kind:
    """Sentences about nights that differ only in names and numbers.

    Attributes
    ----------
    text : str
        The sentence; where several differ, with dots for names and numbers.
    example : str
        The first of the sentences.
    nights : dict of str to None
        The nights, in order.
    """

    text: str
    example: str
    nights: dict[str, None] = field(default_factory=dict)


def get_numbers(table: pd.DataFrame, column: str) -> pd.Series:
    """Get a column as numbers.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights.
    column : str
        Name of the column, which may be absent.

    Returns
    -------
    numbers : pandas.Series of float
        The numbers; NaN for what is not finite, no number, or not there.
    """
    if column not in table:
        return pd.Series(np.nan, index=table.index, dtype=float)
    numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
    return numbers.where(np.isfinite(numbers))


def find_modalities(table: pd.DataFrame) -> list[str]:
    """Find the modalities that a table has columns for, whether they are known here or not.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights.

    Returns
    -------
    names : list of str
        The modalities, in alphabetical order.
    """
    prefixes = ("measured_", "plausible_", "channel_")
    columns = [str(column) for column in table.columns]
    return sorted({c.partition("_")[2] for c in columns if c.startswith(prefixes)})


def get_texts(table: pd.DataFrame, column: str) -> pd.Series:
    """Get a column as texts.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights.
    column : str
        Name of the column, which may be absent.

    Returns
    -------
    texts : pandas.Series of str
        The texts, empty where there is none.
    """
    if column not in table:
        return pd.Series("", index=table.index, dtype=object)
    values = table[column]
    return values.astype(object).where(values.notna(), "").map(str)


def find_outliers(values: pd.Series) -> pd.Series:
    """Compute modified z-scores.

    Parameters
    ----------
    values : pandas.Series of float
        A value for each night, NaN where it is not known.

    Returns
    -------
    z : pandas.Series of float
        0.6745 (value - median) / median absolute deviation. If that deviation is 0, the mean
        absolute deviation and its factor. NaN for less than 10 values, and if all are equal.

    Examples
    --------
    >>> find_outliers(pd.Series([*range(9), 100.0])).round(1).iloc[[0, -1]].tolist()
    [-1.2, 25.8]
    """
    if not values.notna().any():  # of which older versions of pandas warn
        return values
    distance = values - values.median()
    scale = distance.abs().median() / 0.6745 or distance.abs().mean() * 1.253314
    if values.count() < _FEWEST or not scale > 0:
        return pd.Series(np.nan, index=values.index)
    return distance / scale


def find_stages(table: pd.DataFrame) -> list[str]:
    """Find the columns with shares of stages.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights.

    Returns
    -------
    columns : list of str
        ``%REM`` and the like, with light sleep first.
    """
    known = ("%N1", "%LIGHT", "%N2", "%DEEP", "%N3", "%REM")
    return [name for name in known if get_numbers(table, name).notna().any()]


def screen_nights(table: pd.DataFrame, unreadable: Mapping[str, str]) -> dict[str, list[Finding]]:
    """Find reasons to look at nights.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights.
    unreadable : mapping of str to str
        Nights whose hypnogram could not be read, and why.

    Returns
    -------
    findings : dict of str to list of Finding
        Reasons for each night that has some, those that count most first.
    """
    findings: dict[str, list[Finding]] = {}

    def note(nights: pd.Series, points: int, text: str, values: pd.Series | None = None) -> None:
        for night in nights.index[nights.fillna(False).astype(bool)]:
            value = None if values is None else values[night]
            findings.setdefault(night, []).append(Finding(points, text.format(value)))

    for night, reason in get_texts(table, "reason")[is_failed(table)].items():
        text = shorten(reason, _LONGEST_TEXT) or "no reason is known"
        findings.setdefault(night, []).append(Finding(100, f"Not staged: {text}"))
    for night, reason in unreadable.items():
        text = f"Its hypnogram cannot be read: {shorten(reason, _LONGEST_TEXT)}"
        findings.setdefault(night, []).append(Finding(100, text))
    unscored = get_numbers(table, "unscored")
    most = unscored >= HALF_UNSCORED
    note(most, 4, "{:.0%} of the epochs without a stage", unscored)
    note((unscored >= LITTLE_UNSCORED) & ~most, 2, "{:.0%} of the epochs without a stage", unscored)
    certainty = get_numbers(table, "certainty")
    is_low = (certainty < LITTLE_CERTAINTY) | (find_outliers(certainty) < -OUTLIER_Z)
    note(is_low, 3, "low certainty")
    for name in find_modalities(table):
        measured = get_numbers(table, f"measured_{name}")
        note(measured < LITTLE_MEASURED, 2, f"{name} measured in {{:.0%}} of the night", measured)
        good = get_numbers(table, f"plausible_{name}")
        kind = "breaths" if name in list_by_wave(["breaths"]) else "beats"
        text = f"plausible {kind} in {{:.0%}} of the inspected epochs of {name}"
        note(good < LITTLE_PLAUSIBLE, 2, text, good)
    for name in ("TST", "SE", *find_stages(table)):
        values = get_numbers(table, name)
        z = find_outliers(values)
        text = "TST of {:.0f} min" if name == "TST" else f"{name.strip('%')} of {{:.0f}} %"
        note(z < -OUTLIER_Z, 2, f"unusually low {text}", values)
        note(z > OUTLIER_Z, 2, f"unusually high {text}", values)
    for unusual in find_unusual(table):
        note(unusual.nights, unusual.points, unusual.text, unusual.values)
    n_warnings = get_numbers(table, "n_warnings")
    note((n_warnings >= MANY_WARNINGS) & ~is_failed(table), 1, "{:.0f} warnings", n_warnings)
    for found in findings.values():
        found.sort(key=lambda one: -one.points)
    return findings


@dataclass(frozen=True)
class Unusual:
    """Nights that sleep statistics of a cohort may not be meant to include.

    Attributes
    ----------
    what : str
        What they are, after their number.
    nights : pandas.Series of bool
        Which nights these are.
    points : int
        How much it counts as a reason to look at them.
    text : str
        The reason, with a place for the value.
    values : pandas.Series
        The value of each night.
    """

    what: str
    nights: pd.Series
    points: int
    text: str
    values: pd.Series


def find_unusual(table: pd.DataFrame) -> list[Unusual]:
    """Find nights that are short or long, by day, without a clock, or copies.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights.

    Returns
    -------
    kinds : list of Unusual
        The kinds; no night need be of them.
    """
    hours, starts = get_numbers(table, "hours"), get_texts(table, "start")
    staged = ~is_failed(table)
    # Clocks have no zone; tables that others have changed may have several.
    clocks = pd.to_datetime(starts, errors="coerce", format="mixed", utc=True)
    by_day = [
        pd.notna(clock) and pd.notna(n) and is_by_day(clock, 3600 * n)
        for clock, n in zip(clocks, hours, strict=True)
    ]
    copies = get_texts(table, "copies").map(lambda text: shorten(text, 60))
    shortest = SHORT_S / 3600
    length, same = "lasts {:.1f} h", "same contents as {}"
    return [
        Unusual(f"shorter than {shortest:g} h", staged & (hours < shortest), 2, length, hours),
        Unusual(f"longer than {LONGEST_NIGHT_H} h", hours > LONGEST_NIGHT_H, 2, length, hours),
        Unusual("by day", pd.Series(by_day, table.index), 1, "by day, from {:.16}", starts),
        Unusual("without a clock", _lack_clock(table) & staged, 1, "no clock", starts),
        Unusual("with the contents of another", copies != "", 2, same, copies),
    ]


def _lack_clock(table: pd.DataFrame) -> pd.Series:
    """Find the nights without a clock, if the table says when the others began."""
    return (get_texts(table, "start") == "") & ("start" in table)


def is_failed(table: pd.DataFrame) -> pd.Series:
    """Find the nights that could not be staged.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights.

    Returns
    -------
    failed : pandas.Series of bool
        Whether it could not be staged.
    """
    return get_texts(table, "status") == "failed"


def rank_nights(
    table: pd.DataFrame, findings: Mapping[str, list[Finding]], kinds: Iterable[Kind], n_most: int
) -> list[str]:
    """Choose the nights to look at first.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights.
    findings : mapping of str to list of Finding
        Reasons to look at nights.
    kinds : iterable of Kind
        Why nights failed; the first night of each kind stands for the others.
    n_most : int
        Number of nights at most.

    Returns
    -------
    nights : list of str
        Those with the most points first, and of these the least certain.
    """
    failed = [next(iter(kind.nights)) for kind in kinds][: n_most // 2]
    certainty = get_numbers(table, "certainty").fillna(1)
    is_other = ~is_failed(table)
    others = [night for night in findings if is_other[night]]
    others.sort(key=lambda n: (-sum(one.points for one in findings[n]), certainty[n], str(n)))
    return [*failed, *others][:n_most]


def group_sentences(sentences: Iterable[tuple[str, str]], table: pd.DataFrame) -> list[Kind]:
    """Group sentences about nights that differ only in names of files and in numbers.

    Parameters
    ----------
    sentences : iterable of (str, str)
        Nights, and a sentence about each; a night may come several times.
    table : pandas.DataFrame
        The table of nights, for the names of their recordings.

    Returns
    -------
    kinds : list of Kind
        The kinds, those with the most nights first.
    """
    recordings = get_texts(table, "recording")
    kinds: dict[str, Kind] = {}
    for night, sentence in sentences:
        text = shorten(" ".join(sentence.split()), _LONGEST_TEXT)
        recording = recordings.get(night, "")
        file = re.split(r"[\\/]", recording)[-1]
        pattern = _generalize(text, (recording, file, file.rpartition(".")[0], str(night)))
        kind = kinds.setdefault(pattern, Kind(text, text))
        kind.nights[night] = None
        if text != kind.example:
            kind.text = pattern
    return sorted(kinds.values(), key=lambda kind: -len(kind.nights))


def _generalize(text: str, names: Iterable[str]) -> str:
    """Replace names of files, what is quoted, and numbers."""
    for name in names:
        if len(name) > 2:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", _DOTS, text)
    text = re.sub(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"", _DOTS, text)
    text = re.sub(r"\S+", lambda match: _generalize_word(match[0]), text)
    dots = re.escape(_DOTS)
    return re.sub(rf"{dots}(?:[ ,]*{dots})+", _DOTS, text)


def _generalize_word(word: str) -> str:
    """Replace a word that looks like the name of a file, and the numbers of others."""
    bare = word.rstrip(".,:;)")
    if "/" in bare or "\\" in bare or re.search(r"\w\.[A-Za-z]\w{1,4}$", bare):
        return f"{_DOTS}{word[len(bare) :]}"
    return re.sub(r"\d+(?:[.,:]\d+)*", _DOTS, word)
