"""Summaries of errors are one line, however long what they repeat is."""

import pytest
from pydantic import TypeAdapter, ValidationError

from mne_wav2sleep.errors import put_on_line, quote, summarize_error, summarize_validation


@pytest.mark.parametrize("text", ["x" * 10_000_000, "a b\n" * 10_000, "\t"])
def test_a_summary_is_short(text):
    summary = summarize_error(ValueError(text))
    assert summary.startswith("ValueError")
    assert len(summary) < 350
    assert "\n" not in summary


def test_a_summary_cannot_change_the_terminal():
    assert summarize_error(OSError("a\x1b]0;title\x07 b. c")) == "OSError: a ]0;title b"
    assert put_on_line("a\r\n\u202eb.") == "a b"


def test_quotes_are_short():
    assert quote(["N7", "N8"]) == "['N7', 'N8']"
    assert len(quote(["x" * 10_000_000] * 1000)) < 400
    assert "\n" not in quote("a\nb")


def make_anchors():
    """Lists within lists, as YAML's anchors make them: 9 objects, 1e8 elements."""
    value = [0] * 10
    for _ in range(8):
        value = [value] * 10
    return value


@pytest.mark.parametrize("value", [make_anchors(), "x" * 1_000_000, {"a": make_anchors()}])
def test_a_wrong_value_is_not_repeated_whole(value):
    with pytest.raises(ValidationError) as error:
        TypeAdapter(dict[str, int]).validate_python({"n" * 1000: value})
    summary = summarize_validation(error.value)
    assert "valid integer" in summary
    assert len(summary) < 500


def test_ten_wrong_values_are_enough():
    with pytest.raises(ValidationError) as error:
        TypeAdapter(list[int]).validate_python(["x"] * 100_000)
    assert summarize_validation(error.value).count("valid integer") == 10
