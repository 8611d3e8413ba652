"""Reading hypnograms from YASA's JSON files."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

import pandas as pd
import yasa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import quote, summarize_error
from ..modalities import EPOCH_S
from .files import MOST_EVENTS, load_bytes

_REMEDY = "Write it with yasa.Hypnogram.to_json, or give a file of another format."


_MOST_LISTS = 1000
"""Most lists and objects that are parsed; YASA writes up to 8, and names may contain brackets."""

_Value = TypeVar("_Value")
_Values = Annotated[list[_Value], Field(min_length=1, max_length=MOST_EVENTS, fail_fast=True)]


class _File(BaseModel):
    """What :meth:`yasa.Hypnogram.to_json` writes; YASA's own reader does not check it."""

    model_config = ConfigDict(strict=True)

    values: _Values[Annotated[str, Field(max_length=20)]]
    n_stages: int
    freq: str
    start: str | None
    tz: str | None = None
    scorer: str | int | None
    proba: Annotated[dict[str, _Values[float | None]], Field(max_length=9)] | None


def read_json(path: Path) -> tuple[yasa.Hypnogram, None]:
    """Read a hypnogram in YASA's format.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages, with probabilities and a start if the file has them.
    onset : None
        Unknown; the start is in the hypnogram.

    Raises
    ------
    ValueError
        If the file is too large, is not YASA's, or has epochs that do not last 30 s.
    """
    data = load_bytes(path)
    # Millions of lists would take minutes to parse.
    if (n_lists := data.count(b"[") + data.count(b"{")) > _MOST_LISTS:
        raise ValueError(
            f"{path} is not a hypnogram in YASA's format (it has {n_lists} lists and objects). "
            f"{_REMEDY}"
        )
    try:
        file = _File.model_validate(json.loads(data))
        if file.start is not None:
            datetime.fromisoformat(file.start)  # pandas takes words such as "now"
        has_epochs = pd.Timedelta(file.freq).total_seconds() == EPOCH_S
        hyp = yasa.Hypnogram.from_dict(file.model_dump()) if has_epochs else None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = quote(".".join(map(str, first["loc"])))
        raise ValueError(
            f"{path} is not a hypnogram in YASA's format ({place}: {first['msg']}). {_REMEDY}"
        ) from error
    except Exception as error:  # of any type, since YASA does not check the file
        raise ValueError(
            f"{path} is not a hypnogram in YASA's format ({summarize_error(error)}). {_REMEDY}"
        ) from error
    if hyp is None:
        raise ValueError(
            f"{path} has epochs of {quote(file.freq)}; wav2sleep's are 30 s long. Give one with "
            "epochs of 30 s."
        )
    return hyp, None
