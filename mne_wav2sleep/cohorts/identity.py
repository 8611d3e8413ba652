"""Which nights, recordings and subjects are the same, so that none is used twice."""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

import mne

from ..cautions import warn
from ..errors import quote
from ..network import LoadedWeights
from ..network.seen import is_hash
from ..verbosity import check_type, logger, pluralize
from .nights import Night, PreparedNight
from .sources import hash_file

_MOST_NAMES = 6
"""Number of nights that a message names at most."""
_BE = ("was", "were")

Person = tuple[str, str]
"""A dataset and a subject, as they are compared."""


def _identify(source: object) -> str:
    """Identify a file, by whatever path, or an object."""
    if not isinstance(source, str | Path):
        return f"object {id(source)}"  # Raws and hypnograms have no useful equality
    path = Path(source)
    try:
        path = path.expanduser()
        stat = path.stat()
    except (OSError, ValueError, RuntimeError):  # an error when it is prepared
        return f"path {path.absolute()}"
    return f"file {stat.st_dev} {stat.st_ino}"  # also of links, hard ones among them


def check_nights(nights: Sequence[Night | PreparedNight], name: str = "nights") -> None:
    """Check that there are only nights, each once, and each recording with one subject.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        The nights, of all splits.
    name : str
        Name of the argument, for messages.

    Raises
    ------
    TypeError
        If ``nights`` is not a sequence of nights.
    ValueError
        If a night is given twice, or a recording has two subjects; files are compared by what
        their paths lead to.
    """
    if isinstance(nights, Night | PreparedNight):
        raise TypeError(f"{name} must be a list of nights, got a single one. Put it in a list.")
    if isinstance(nights, str | Path):
        raise TypeError(
            f"{name} must be a list of nights, got {quote(str(nights))}. Read a table with "
            "read_nights."
        )
    if not isinstance(nights, Collection):  # a generator could be read only once
        raise TypeError(
            f"{name} must be a list of nights, got {quote(nights)}. Put the nights in a list."
        )
    for night in nights:
        check_type(night, (Night, PreparedNight), f"each of {name}")
    seen = set()
    owners: dict[str, Night] = {}
    for night in nights:
        if isinstance(night, PreparedNight):
            key = _identify(night.path)
        else:
            recording = _identify(night.recording)
            other = owners.setdefault(recording, night)
            if other.person != night.person:
                raise ValueError(
                    f"{_show(night)} is listed for two subjects, {_name(other)} and "
                    f"{_name(night)}, so that one person would count as two, and could be in both "
                    "training and validation. Give it one subject."
                )
            scored = _identify(night.hypnogram)
            key = f"{recording} {scored} {night.person} {sorted(night.ch_names.items())}"
        if key in seen:
            raise ValueError(
                f"{night.name} is given twice and would count twice. Give each night once."
            )
        seen.add(key)


def _show(night: Night) -> str:
    """Name a recording."""
    return "A Raw" if isinstance(night.recording, mne.io.BaseRaw) else str(night.recording)


def _name(night: Night | PreparedNight) -> str:
    """Name a subject with its dataset."""
    return f"{night.subject!r} ({night.dataset})"


def _refuse_copy(one: Night | PreparedNight, other: Night | PreparedNight) -> ValueError:
    """Make an error for two subjects with a recording in common."""
    return ValueError(
        f"{one.name} and {other.name} contain the same recording, or the same signal in all "
        "epochs, so that it could be used for both training and validation. Give it one subject "
        "of one dataset, or remove the copy."
    )


def check_contents(nights: Sequence[PreparedNight]) -> None:
    """Check that no recording is there under two subjects, or twice, as a copy.

    Parameters
    ----------
    nights : sequence of PreparedNight
        The nights, of all splits.

    Raises
    ------
    ValueError
        If nights of two subjects have a signal in common, two nights of a subject are the same
        with the same stages, or the contents of a night are not hashes.
    """
    first: dict[str, PreparedNight] = {}
    scored: dict[tuple[object, ...], PreparedNight] = {}
    for night in nights:
        for content in night.contents:
            if not is_hash(content):
                raise ValueError(
                    f"{night.name} should have hashes of its recording and signals, of 16 digits "
                    f"each, got {quote(content)}. Prepare the night again."
                )
            other = first.setdefault(content, night)
            if other.person != night.person:
                raise _refuse_copy(other, night)
        key = (*sorted(night.contents), night.scoring)
        other = scored.setdefault(key, night)
        if night.contents and other is not night:
            raise ValueError(
                f"{other.name} is given twice, also as {night.name}, with the same signals and "
                "stages, and would count twice. Remove the copy."
            )


def check_left_out(
    left_out: Sequence[Night | PreparedNight], used: Sequence[PreparedNight], folder: Path
) -> None:
    """Check that no recording that is kept for a test is used as a copy.

    Parameters
    ----------
    left_out : sequence of Night or PreparedNight
        The nights of the test. Of those that are not prepared, only the files are compared.
    used : sequence of PreparedNight
        The nights for training and validation, of other subjects.
    folder : Path
        The folder of prepared nights, which keeps hashes of files.

    Raises
    ------
    ValueError
        If a night of the test is one of the others.
    """
    owners = {content: night for night in used for content in night.contents}
    for night in left_out:
        contents: Sequence[str] = ()
        if isinstance(night, PreparedNight):
            contents = night.contents
        elif not isinstance(night.recording, mne.io.BaseRaw):
            try:
                contents = [hash_file(Path(night.recording), folder, is_recording=True)]
            except Exception as error:  # of any reader; the night is not used
                logger.debug(f"{night.name} cannot be compared with the other nights ({error}).")
        for content in set(contents) & set(owners):
            raise _refuse_copy(owners[content], night)


def check_apart(
    training: Sequence[Night | PreparedNight], validation: Sequence[Night | PreparedNight]
) -> None:
    """Refuse subjects that are in both training and validation.

    Parameters
    ----------
    training, validation : sequence of Night or PreparedNight
        The nights of the two parts.

    Raises
    ------
    ValueError
        If a subject is in both, whatever the spelling.
    """
    both = {night.person for night in training} & {night.person for night in validation}
    if both:
        some = [night for night in (*training, *validation) if night.person in both]
        raise ValueError(
            f"The subjects {sorted({night.subject for night in some})} are in both training and "
            f"validation ({', '.join(night.name for night in some[:_MOST_NAMES])}), which makes "
            "validation meaningless. Put all nights of a subject in one split."
        )
    alike = {strip_zeros(night.person): night.subject for night in training}
    for night in validation:
        if (other := alike.get(strip_zeros(night.person))) is not None:
            warn(
                f"Subject {other!r} of {night.dataset} is in training and {night.subject!r} in "
                "validation. If they are one person, write the name in one way."
            )


def strip_zeros(person: Person) -> Person:
    """Leave out what may not distinguish people: zeros before a number, and signs.

    Parameters
    ----------
    person : tuple of (str, str)
        The dataset and the subject, as they are compared.

    Returns
    -------
    person : tuple of (str, str)
        Both, with the subject in words.
    """
    dataset, subject = person
    letters = "".join(c if c.isalnum() else " " for c in subject)
    spaced = "".join(
        f" {c}" if i and c.isdigit() != letters[i - 1].isdigit() else c
        for i, c in enumerate(letters)
    )
    return dataset, " ".join(word.lstrip("0") or "0" for word in spaced.split())


def warn_of_seen(nights: Sequence[PreparedNight], weights: LoadedWeights) -> tuple[str, ...]:
    """Warn of nights that weights know from training.

    Parameters
    ----------
    nights : sequence of PreparedNight
        The nights that the weights are measured on.
    weights : LoadedWeights
        The weights.

    Returns
    -------
    cautions : tuple of str
        The warnings.
    """
    contents = [night.contents for night in nights]
    cautions = []
    for role, use in (("training", "train"), ("validation", "select or calibrate")):
        if found := weights.seen.find(role, contents):
            cautions.append(
                f"{len(found)} of the {len(nights)} night{pluralize(nights)} {_BE[len(found) > 1]} "
                f"used to {use} these weights, so that results are better than on other nights. "
                "Use nights of other subjects."
            )
            if warn(cautions[-1]):  # training measures the same nights several times
                names = ", ".join(nights[i].name for i in found)
                logger.info(f"Nights that were used to {use} these weights: {names}.")
    return tuple(cautions)


def draw_number(person: Person, seed: int) -> float:
    """Draw a number that depends on nobody else.

    Parameters
    ----------
    person : tuple of (str, str)
        Dataset and subject, as they are compared.
    seed : int
        The seed.

    Returns
    -------
    number : float
        From 0 to 1.
    """
    text = f"{seed}\n{person[0]}\n{person[1]}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64
