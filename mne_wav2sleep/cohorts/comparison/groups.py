"""Groups of nights, by what a table of participants says of their subjects."""

import io
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ...cautions import warn
from ...errors import quote, shorten, summarize_error
from ...hypnograms.files import MISSING
from ...verbosity import check_type, pluralize
from ..nights import identify_person
from ..table import TableKind, read_text

Edges: TypeAlias = Sequence[float] | None
By: TypeAlias = str | Sequence[str] | Mapping[str, Edges] | None

UNKNOWN_GROUP = "unknown"
"""Name of the group of subjects without a value."""
_AGES = (18.0, 40.0, 60.0)
_AHIS = (5.0, 15.0, 30.0)
"""Edges of apnea severity in events per hour of sleep: none, mild, moderate and severe (AASM)."""
_OLDEST = re.compile(r"(?:[>≥]|>=)\s*(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)\s*\+")
"""Ages of the oldest, as tables write them that hide ages above it: ``89+``, ``>89``."""
_UNITS = {"years", "year", "yrs", "y", "nsrr", "index", "total", "per", "hour", "h"}
"""Words that may follow ``age`` and ``ahi`` in the names of columns of ages and indices."""
_SEVERITIES = ("none", "mild", "moderate", "severe")
_DEFAULTS = {"age": _AGES, "ahi": _AHIS}
"""Column, or the first word of its name -> edges by default."""
_MOST_NUMBERS = 10
"""Most different numbers that are groups as they are; more need edges."""
_KIND = TableKind("a table of participants", ("participant_id",), ())
_NAMED = 5
"""Number of subjects that a message names."""


def name_subject(subject: object) -> str:
    """Name a subject, whose number pandas may have read as 1.0.

    Parameters
    ----------
    subject : object
        The subject, as a table or a list has it.

    Returns
    -------
    name : str
        Its name.

    Examples
    --------
    >>> name_subject(1.0), name_subject("01")
    ('1', '01')
    """
    is_whole = isinstance(subject, float) and subject.is_integer()
    return f"{subject:.0f}" if is_whole else str(subject)


def _to_key(subject: object) -> str:
    """Give a subject as it is compared: without case, and without "sub-" of BIDS."""
    return identify_person("", name_subject(subject))[1].removeprefix("sub-")


def open_participants(participants: pd.DataFrame | str | Path | None) -> pd.DataFrame | None:
    """Read a table of participants.

    Parameters
    ----------
    participants : pandas.DataFrame, str, Path or None
        The table, or a CSV or TSV: a row per subject, named in ``participant_id`` or ``subject``
        (or in the index of a DataFrame, by one of these names), or a row per night, named in
        ``night``.

    Returns
    -------
    table : pandas.DataFrame or None
        The table, with the columns ``subject`` and ``night``, as far as it has them, without rows
        that name neither.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If it is not such a table, or has a subject or a night twice.
    """
    check_type(participants, (pd.DataFrame, "path-like", None), "participants")
    if participants is None:
        return None
    if isinstance(participants, pd.DataFrame):
        table, name = participants, "participants"
        if table.index.name is not None:
            table = table.reset_index()
    else:
        name = str(participants)
        table = _read_file(Path(participants).expanduser())
    table = table.rename(columns=str)
    if "subject" not in table and "participant_id" in table:
        table = table.rename(columns={"participant_id": "subject"})
    key = "night" if "night" in table else "subject"
    if key not in table:
        raise ValueError(
            f"{name} has the columns {quote(list(table.columns))}. It needs participant_id or "
            "subject, or night."
        )
    table = table[table[key].notna()]
    keys = table[key].map(_to_key)
    if (twice := table[key][keys.duplicated()]).size:
        raise ValueError(
            f"{name} has two rows for the {key} {quote(twice.iloc[0])}. Keep one"
            + (", or name the nights in a column night." if key == "subject" else ".")
        )
    return table


def _read_file(path: Path) -> pd.DataFrame:
    """Read a CSV or TSV as text, without the values that are missing."""
    text = read_text(path, _KIND)
    separator = max(",;\t", key=text.partition("\n")[0].count)
    try:
        table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(
            f"{path} is not a table ({summarize_error(error)}). Save it as CSV or TSV."
        ) from error
    table.columns = [str(column).strip() for column in table.columns]
    keys = {"participant_id", "subject", "night"}
    for column in table.columns.difference(list(keys), sort=False):
        values = table[column].str.strip()
        table[column] = values.mask(values.str.lower().isin(MISSING))
    return table


def describe_nights(nights: pd.DataFrame, participants: pd.DataFrame | None) -> pd.DataFrame:
    """Add what is known of the participants to a table of nights.

    Parameters
    ----------
    nights : pandas.DataFrame
        One row per night, by its name, with ``subject`` where it is known.
    participants : pandas.DataFrame or None
        From :func:`open_participants`.

    Returns
    -------
    nights : pandas.DataFrame
        The table with the columns of the participants, which come before others of their name. A
        night whose subject is not known is one of a subject of its name.

    Raises
    ------
    ValueError
        If none of the nights is in the table of participants.
    """
    nights = nights.copy()
    given = participants
    names = pd.Series(nights.index, index=nights.index)
    if given is not None and "night" in given:
        rows = given.set_index(given["night"].map(_to_key)).drop(columns="night")
        rows = rows.reindex(names.map(_to_key)).set_axis(nights.index)
        if "subject" in rows:
            people = rows.pop("subject").astype(object).map(name_subject, na_action="ignore")
            nights["subject"] = people.combine_first(nights["subject"])
    elif given is not None:
        rows = given.set_index(given["subject"].map(_to_key)).drop(columns="subject")
        subjects = nights["subject"].fillna(names)
        rows = rows.reindex(subjects.map(_to_key)).set_axis(nights.index)
    if given is not None:
        key = "night" if "night" in given else "subject"
        there = names if key == "night" else nights["subject"].fillna(names)
        if not there.map(_to_key).isin(given[key].map(_to_key)).any():
            raise ValueError(
                f"None of the {key}s is in the table of participants: it has "
                f"{quote(list(given[key].head(3)))}, and there are {quote(list(there.head(3)))}. "
                "Name them alike."
            )
        nights[rows.columns] = rows
    nights["subject"] = nights["subject"].fillna(names)
    return nights


def list_columns(by: By) -> dict[str, Edges]:
    """List the columns that nights are grouped by, and their edges.

    Parameters
    ----------
    by : str, sequence of str, mapping of str to sequence of float, or None
        Columns, or columns and edges.

    Returns
    -------
    columns : dict of str to sequence of float or None
        Column -> edges; None for those of :func:`group_nights`.

    Raises
    ------
    TypeError
        If it is something else, or edges are not a list of numbers.
    ValueError
        If edges are not ascending, or not finite.
    """
    if by is None:
        return {}
    columns = {by: None} if isinstance(by, str) else by
    if not isinstance(columns, Mapping):
        check_type(columns, (list, tuple), "by")
        columns = dict.fromkeys(columns)
    for name, edges in columns.items():
        check_type(name, str, "each column of by")
        if edges is not None:
            _check_edges(name, edges)
    return dict(columns)


def _check_edges(column: str, edges: Any) -> None:
    """Check that edges are finite numbers in ascending order."""
    is_list = isinstance(edges, list | tuple | range | np.ndarray | pd.Series)
    if not is_list or not all(isinstance(one, Real) for one in edges):
        raise TypeError(
            f"by has the edges {quote(edges)} for {column!r}, which are not a list of numbers. "
            f"Give one, such as by={{{column!r}: [18, 40]}}, or None."
        )
    numbers = np.asarray(edges, dtype=float)
    if not numbers.size or not np.isfinite(numbers).all() or not (np.diff(numbers) > 0).all():
        raise ValueError(
            f"by has the edges {quote(edges)} for {column!r}. Give finite numbers in ascending "
            "order."
        )


def _suggest(column: str, nights: pd.DataFrame) -> str:
    """Name the columns that may be meant; a table of a cohort has more than can be listed."""
    names = [str(name) for name in nights]
    close = get_close_matches(column, names) or names[:_NAMED]
    more = f" (of {len(names)} columns)" if len(names) > len(close) else ""
    return f"Choose one such as {', '.join(map(repr, close))}{more}"


def group_nights(nights: pd.DataFrame, column: str, edges: Edges = None) -> pd.Series:
    """Group nights by a column.

    Parameters
    ----------
    nights : pandas.DataFrame
        From :func:`describe_nights`.
    column : str
        The column; case does not matter if no other has that name.
    edges : sequence of float or None
        Where numbers are cut; a group has those from one edge (included) to the next (not
        included). None for 18, 40 and 60 in a column of ages (``age``), 5, 15 and 30 for the
        apnea-hypopnea index (``ahi``), and numbers as they are in others.

    Returns
    -------
    groups : pandas.Series
        Name of the group of each night, an ordered categorical; ``"unknown"``, the last one, for
        nights without a value. Ages such as ``89+`` and ``>89`` count as 89. Columns of other
        names, such as ``age_group`` or ``ahi_class``, are taken as they are, whose numbers may be
        codes; ``age_years`` and ``ahi_nsrr`` are ages and indices.

    Raises
    ------
    ValueError
        If there is no such column, or it has many different numbers and there are no edges, or
        edges and values that are not numbers. Also if an age or an index is not a finite number,
        or is negative.
    """
    alike = [name for name in nights if str(name).casefold() == column.casefold()]
    if column not in nights and len(alike) != 1:
        raise ValueError(
            f"There is no column {column!r} to group by. {_suggest(column, nights)}, or give "
            "participants= with it."
        )
    values = nights[column if column in nights else alike[0]]
    if isinstance(values.dtype, pd.api.extensions.ExtensionDtype):  # such as a categorical
        values = values.astype(object)
    values = values.mask(values.map(lambda one: _is_text(one) and not one.strip()).astype(bool))
    base, *more = re.split(r"[\W_]+", column.casefold().strip())
    is_measure = base in _DEFAULTS and set(more) <= _UNITS
    numbers = _to_numbers(values, is_age=is_measure and base == "age")
    # Text such as "mild" beside numbers.
    words = values[values.notna() & numbers.isna()]
    if is_measure:
        _check_measures(column, values, numbers, nights)
        edges = _DEFAULTS[base] if edges is None else edges
    if edges is not None and words.size:
        raise ValueError(
            f"{column!r} has {quote(words.iloc[0])}, which is not a number and cannot be cut at "
            "edges. Correct it, or leave out the edges."
        )
    if edges is not None:
        severities = is_measure and base == "ahi" and tuple(edges) == _AHIS
        labels = _name_bands(edges, _SEVERITIES if severities else None)
        cut = np.searchsorted(np.asarray(edges, dtype=float), numbers, side="right")
        found = pd.Series([labels[i] for i in cut], index=values.index).mask(numbers.isna())
    else:
        if not words.size and numbers.nunique() > _MOST_NUMBERS:
            raise ValueError(
                f"{column!r} has {numbers.nunique()} different numbers. Give edges to cut them at, "
                f"by={{{column!r}: [...]}} (--by {column}=... on the command line)."
            )
        found = values.map(str, na_action="ignore")
        labels = list(dict.fromkeys(values.dropna().sort_values(key=_sort_mixed).map(str)))
    labels = [*(one for one in labels if one != UNKNOWN_GROUP), UNKNOWN_GROUP]
    found = found.astype(object).fillna(UNKNOWN_GROUP)
    return pd.Series(pd.Categorical(found, labels, ordered=True), index=values.index)


def _to_numbers(values: pd.Series, *, is_age: bool) -> pd.Series:
    """Convert values to finite numbers; NaN for others."""
    if is_age:
        found = values.map(lambda one: _OLDEST.fullmatch(one.strip()) if _is_text(one) else None)
        values = values.where(found.isna(), found.map(lambda one: one and (one[1] or one[2])))
    return pd.to_numeric(values, errors="coerce").replace([np.inf, -np.inf], np.nan)


def _is_text(value: object) -> bool:
    """Whether a value is a text."""
    return isinstance(value, str)


def _check_measures(
    column: str, values: pd.Series, numbers: pd.Series, nights: pd.DataFrame
) -> None:
    """Check that ages, or apnea-hypopnea indices, are numbers from 0."""
    wrong = values[values.notna() & ~(numbers >= 0)]
    if wrong.size:
        of = f" for {nights.at[wrong.index[0], 'subject']}" if "subject" in nights else ""
        raise ValueError(
            f"{column!r} has {quote(str(wrong.iloc[0]))}{of}, which is not a number from 0. "
            "Correct it, with a point for decimals, or leave it empty."
        )


def warn_of_unknown(groups: Mapping[str, pd.Series], nights: pd.DataFrame) -> None:
    """Warn of nights without a value, once for all columns in which the same nights have none.

    Parameters
    ----------
    groups : mapping of str to pandas.Series
        Column -> groups, from :func:`group_nights`.
    nights : pandas.DataFrame
        From :func:`describe_nights`.
    """
    columns: dict[tuple[str, ...], list[str]] = {}
    for column, labels in groups.items():
        columns.setdefault(tuple(labels.index[labels == UNKNOWN_GROUP]), []).append(column)
    for names, lacking in columns.items():
        if not names:
            continue
        n, subjects = len(names), nights.loc[list(names), "subject"].unique()
        who = shorten(", ".join(subjects[:_NAMED])) + (", ..." if len(subjects) > _NAMED else "")
        warn(
            f"{n} night{pluralize(n)} of {who} {'has' if n == 1 else 'have'} no value of "
            f"{', '.join(map(repr, lacking))}: the group {UNKNOWN_GROUP!r}. Add it to the table of "
            "participants."
        )


def _sort_mixed(values: pd.Series) -> pd.Series:
    """Give values by which numbers are sorted as numbers, and the rest as text."""
    numbers = pd.to_numeric(values, errors="coerce")
    return numbers if numbers.notna().all() else values.map(str)


def _name_bands(edges: Sequence[float], names: Sequence[str] | None) -> list[str]:
    """Name the bands between edges."""
    middle = [f"{a:g} to <{b:g}" for a, b in pairwise(edges)]
    bands = [f"<{edges[0]:g}", *middle, f"{edges[-1]:g} or more"]
    if names is None:
        return bands
    return [f"{name} ({band})" for name, band in zip(names, bands, strict=True)]
