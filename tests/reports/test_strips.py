"""Hypnograms of many nights on one clock axis."""

import base64
import io
import re
from itertools import pairwise

import matplotlib.image
import numpy as np
import pytest
import yasa
from matplotlib.colors import to_rgb

from mne_wav2sleep.reports.night import STAGE_COLORS
from mne_wav2sleep.reports.strips import (
    STRIP_CSS,
    Axis,
    Strip,
    describe_place,
    draw_block,
    draw_legend,
    draw_strip,
    draw_ticks,
    find_axis,
    make_strip,
    read_strips,
)


def make_night(start, hours):
    return Strip(np.zeros(min(round(hours * 120), 5760), dtype=np.uint8), start, hours)


def read_runs(svg):
    """Stage class -> beginnings and ends of its bars, in epochs of the axis."""
    runs = {}
    for code, d in re.findall(r'<path class="ov-s(\d)" d="([^"]*)"/>', svg):
        x = 0
        for move, number in re.findall(r"([Mmh])(-?\d+)", d):
            if move == "h":
                runs.setdefault(int(code), []).append((x, x + int(number)))
            x = int(number) if move == "M" else x + int(number)
    return runs


def test_a_strip_has_the_runs_of_the_hypnogram():
    stages = ["WAKE"] * 3 + ["N2"] * 2 + ["WAKE"] + ["UNS"] * 2 + ["REM"] * 4 + ["WAKE"]
    hyp = yasa.Hypnogram(stages, start="2024-03-01 22:30:00")
    strip = make_strip(hyp)
    assert (strip.start, strip.hours) == (22.5, 13 / 120)
    svg = draw_strip(strip, Axis(22.0, 2))
    assert 'viewBox="0 0 240 20"' in svg
    assert read_runs(svg) == {
        0: [(66, 68)],  # UNS
        1: [(60, 63), (65, 66), (72, 73)],  # WAKE
        2: [(68, 72)],  # REM
        5: [(63, 65)],  # N2
    }
    # What lies beyond the axis is not drawn.
    assert read_runs(draw_strip(strip, Axis(22.5, 1)))[1] == [(0, 3), (5, 6), (12, 13)]
    late = Strip(np.repeat(np.uint8([1, 2]), 120), 21.0, 2.0)
    assert read_runs(draw_strip(late, Axis(21.5, 1))) == {1: [(0, 60)], 2: [(60, 120)]}
    assert draw_strip(late, Axis(3.0, 1)).count("path") == 0


def test_the_table_may_know_a_clock_that_the_hypnogram_lacks():
    hyp = yasa.Hypnogram(["WAKE", "N2"])
    assert make_strip(hyp, "2024-03-01T23:15:00").start == 23.25
    assert make_strip(hyp, "2024-03-01T23:15:00+02:00").start == 23.25
    assert make_strip(hyp, "").start is None
    assert make_strip(hyp, "yesterday").start is None


def test_stages_differ_in_height_and_lightness():
    found = dict(re.findall(r"ov-s(\d)\{stroke:(#\w+)", STRIP_CSS))
    heights = dict(re.findall(r"ov-s(\d)\{[^}]*stroke-width:(\d+)", STRIP_CSS))
    names = ["UNS", "WAKE", "REM", "N1", "LIGHT", "N2", "N3", "DEEP"]
    assert [found[str(i)] for i in range(8)] == [STAGE_COLORS[name] for name in names]
    tall = {name: int(heights[str(i)]) for i, name in enumerate(names)}
    for stages in (["WAKE", "REM", "LIGHT", "DEEP"], ["WAKE", "REM", "N1", "N2", "N3"]):
        assert all(tall[a] - tall[b] >= 4 for a, b in pairwise(stages))


@pytest.mark.parametrize(
    ("nights", "axis"),
    [
        ([(22.5, 8), (23.25, 7.5)], Axis(22.0, 9)),
        ([(22, 8), (22, 8)], Axis(22.0, 8)),  # whole hours need no more
        ([(1, 6), (22, 9)], Axis(22.0, 9)),  # over midnight
        ([(8, 8), (9.5, 7)], Axis(8.0, 9)),  # night workers
        ([(23, 8)] * 60 + [(13, 1)], Axis(23.0, 8)),  # one nap does not extend it
        ([(23, 8), (14, 1)], Axis(23.0, 16)),
        ([(0, 1), (8, 1), (16, 1)], None),  # around the clock
        ([(None, 7.5), (None, 3)], Axis(None, 8)),
        ([(22, 8), (None, 9.5)], Axis(22.0, 10)),
        ([(18, 48)], Axis(12.0, 24)),
        ([(22, 8), (18, 48)], Axis(22.0, 8)),
        ([], Axis(None, 1)),
    ],
)
def test_the_axis_has_the_hours_of_the_nights(nights, axis):
    found = find_axis([make_night(*night) for night in nights])
    assert found.hours <= 24
    if axis is not None:
        assert found == axis


def test_nights_are_placed_by_their_clock():
    axis = Axis(20.0, 14)
    for start, place in ((20, 0), (23.5, 3.5), (1, 5), (19, -1)):
        assert axis.place(make_night(start, 7)) == pytest.approx(place)
    assert axis.place(make_night(None, 7)) == 0
    # Of a recording of days, the first night is shown.
    for start, place in ((20, 0), (14, -6), (1, 5), (9, -11)):
        assert axis.place(make_night(start, 48)) == place
    assert describe_place(make_night(21, 8), axis) == ""
    assert describe_place(make_night(None, 8), axis) == "no clock, drawn from the left"
    assert describe_place(make_night(None, 8), Axis(None, 8)) == ""
    text = "30.0 h, not all of it shown"
    assert describe_place(make_night(None, 30), find_axis([make_night(None, 30)])) == text
    text = f"no clock, drawn from the left; {text}"
    assert describe_place(make_night(None, 30), Axis(22.0, 24)) == text
    # A nap on the edge of the axis is drawn completely; what is drawn is rounded to epochs.
    for start, hours in ((13.0, 0.4), (13 + 1 / 60, 59 / 60), (12.999999, 1.0)):
        nap = make_night(start, hours)
        assert describe_place(nap, Axis(13.0, 1)) == describe_place(nap, find_axis([nap])) == ""
    assert describe_place(make_night(12.99, 1), Axis(13.0, 1)) != ""
    text = "7.0 h from 19:00, not all of it shown"
    assert describe_place(make_night(19, 7), axis) == text


def test_ticks_are_few_and_on_the_hour():
    ticks = re.findall(r"left:([\d.]+)%\">([^<]*)<", draw_ticks(Axis(22.0, 12)))
    assert ticks[:3] == [("0.00", "22:00"), ("16.67", "00:00"), ("33.33", "02:00")]
    assert len(ticks) == 6
    assert "0 h</span>" in draw_ticks(Axis(None, 8))
    assert draw_ticks(Axis(12.0, 24)).count("span") == 16


def test_the_legend_has_the_stages_that_occur():
    legend = draw_legend([Strip(np.uint8([1, 4]), None, 0.1), Strip(np.uint8([0]), None, 0.1)])
    assert re.findall(r"</svg> ([^<]*)<", legend) == ["WAKE", "LIGHT", "no stage (UNS)"]


def test_a_block_has_a_row_of_pixels_for_each_night():
    strips = [Strip(np.repeat(np.uint8([1, 2]), 120), 22.5, 2.0), None]
    uri = draw_block(strips, Axis(22.0, 3))
    png = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    image = matplotlib.image.imread(io.BytesIO(png))[..., :3]
    assert image.shape == (2, 180, 3)
    assert (image[1] == 1).all()
    for minute, color in ((0, "#ffffff"), (29, "#ffffff"), (30, STAGE_COLORS["WAKE"])):
        np.testing.assert_allclose(image[0, minute], to_rgb(color), atol=0.003)
    np.testing.assert_allclose(image[0, 149], to_rgb(STAGE_COLORS["REM"]), atol=0.003)
    assert (image[0, 150] == 1).all()


def test_hypnograms_that_cannot_be_read_are_named():
    class Broken(dict):
        def __missing__(self, night):
            if night == "gone":
                raise KeyError(night)
            raise ValueError("it is damaged")

    hyp = yasa.Hypnogram(["WAKE", "N2"])
    strips, unreadable = read_strips(["a", "b", "gone"], Broken(a=hyp), {})
    assert list(strips) == ["a"]
    assert unreadable == {"b": "ValueError: it is damaged", "gone": "there is none"}
