"""The nights that weights have seen in training, known by hashes alone."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import WeightsError, quote
from .files import read_file

NIGHTS_FILE = "nights.json"
_FORMAT = "mne-wav2sleep seen nights 1"
_MAX_BYTES = 2**24
"""Size in bytes of a list of nights at most: some 100,000 nights."""
_HASH = re.compile(r"[0-9a-f]{16}")
_MOST_HASHES = 100
"""Number of hashes of a night at most: its recording, and each of its signals."""

Hashes = tuple[str, ...]


def is_hash(value: object) -> bool:
    """Check whether a value is a hash, as recordings and signals have it.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    is_hash : bool
        Whether it is a text of 16 hexadecimal digits in lower case.
    """
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


@dataclass(frozen=True)
class SeenNights:
    """The nights that weights have seen, without their names.

    Attributes
    ----------
    training : tuple of tuple of str
        Hashes of each night that a part of the network was trained on, also before fine-tuning: of
        its recording, and of its signals.
    validation : tuple of tuple of str
        Hashes of each night that the weights were selected or calibrated on.

    Raises
    ------
    ValueError
        If they are not hashes; a name must never get into a file that is handed on.

    Examples
    --------
    >>> seen = SeenNights(training=(("0123456789abcdef",),))
    >>> seen.find("training", [("0123456789abcdef", "00000000000000ff"), ()])
    [0]
    """

    training: tuple[Hashes, ...] = ()
    validation: tuple[Hashes, ...] = ()

    def __post_init__(self) -> None:
        for role in ("training", "validation"):
            for night in getattr(self, role):
                if not 0 < len(night) <= _MOST_HASHES or not all(map(is_hash, night)):
                    raise ValueError(
                        f"each night of {role} should be a list of hashes of 16 digits, got "
                        f"{quote(list(night))}"
                    )

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.training or self.validation)

    def find(self, role: str, nights: Sequence[Hashes]) -> list[int]:
        """Find nights that were seen.

        Parameters
        ----------
        role : "training" | "validation"
            What they were seen for.
        nights : sequence of tuple of str
            Hashes of each night.

        Returns
        -------
        found : list of int
            Positions of the nights that have a hash in common with one that was seen.
        """
        known = {one for hashes in getattr(self, role) for one in hashes}
        return [i for i, hashes in enumerate(nights) if not known.isdisjoint(hashes)]

    def extend(self, training: Iterable[Hashes], validation: Iterable[Hashes]) -> "SeenNights":
        """Add nights.

        Parameters
        ----------
        training, validation : iterable of tuple of str
            Hashes of each night; those of nights without hashes are left out.

        Returns
        -------
        seen : SeenNights
            All of them, each once, in an order that does not depend on that of training.

        Raises
        ------
        ValueError
            If a night has something else than hashes.
        """
        return SeenNights(
            tuple(sorted({*self.training, *map(tuple, map(sorted, training))} - {()})),
            tuple(sorted({*self.validation, *map(tuple, map(sorted, validation))} - {()})),
        )

    def to_json(self) -> dict[str, Any]:
        """Give the contents of the file ``nights.json``.

        Returns
        -------
        data : dict
            The nights, as :func:`read_seen` reads them.
        """
        return {"format": _FORMAT, "training": self.training, "validation": self.validation}


def read_seen(folder: Path) -> SeenNights:
    """Read the nights that the weights of a model folder have seen.

    Parameters
    ----------
    folder : Path
        The model folder.

    Returns
    -------
    seen : SeenNights
        The contents of ``nights.json``; none if there is no such file, as in folders of earlier
        versions and of the authors.

    Raises
    ------
    WeightsError
        If the file does not list nights.
    """
    path = folder / NIGHTS_FILE
    if not os.path.lexists(path):
        return SeenNights()
    content = read_file(path, _MAX_BYTES)
    try:
        data = json.loads(content.decode("utf-8"))
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise ValueError(f"it should have the format {_FORMAT!r}")
        return SeenNights(_read_nights(data, "training"), _read_nights(data, "validation"))
    except (ValueError, RecursionError) as error:
        reason = error if type(error) is ValueError else "it is not JSON"  # of which it is a kind
        raise WeightsError(
            f"{path} does not list nights by their hashes: {reason}. Use the file that came with "
            "the weights; without it, nobody is warned of an evaluation on the nights of training."
        ) from error


def _read_nights(data: dict[str, Any], role: str) -> tuple[Hashes, ...]:
    """Read lists of hashes, which :class:`SeenNights` checks."""
    nights = data.get(role)
    if not isinstance(nights, list):
        raise ValueError(f"{role} should be a list of nights")
    if not all(isinstance(night, list) for night in nights):
        raise ValueError(f"each night of {role} should be a list of hashes of 16 digits")
    return tuple(map(tuple, nights))
