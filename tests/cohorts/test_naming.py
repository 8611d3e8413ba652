"""Names of nights, which are those of their files."""

from mne_wav2sleep.cohorts import Night
from mne_wav2sleep.cohorts.naming import name_nights


def name(*nights):
    return list(name_nights([Night(path, None, subject) for path, subject in nights]))


def test_nights_have_the_names_of_their_files():
    assert name(("a/b.edf", "s1"), ("a/c.raw.fif", "s1"), ("d", "s2")) == ["b", "c.raw", "d"]


def test_names_that_several_files_have_are_told_apart():
    assert name(("p1/night.edf", "p1"), ("p2/NIGHT.edf", "p2")) == ["p1_night", "p2_NIGHT"]
    assert name(("p1/night.edf", "p1/night"), ("p2/night.edf", "p2/night")) == [
        "p1_night",
        "p2_night",
    ]
    first, second, other = name(("x/n.edf", "p"), ("y/n.edf", "p"), ("z.edf", "p"))
    assert first.startswith("p_n-")
    assert second.startswith("p_n-")
    assert first != second
    assert other == "z"
    # The names of the others do not depend on how many there are.
    assert name(("y/n.edf", "p"), ("w/n.edf", "p"))[0] == second


def test_the_same_recording_scored_twice_has_two_names():
    nights = [Night("n.edf", scored, "p") for scored in ("a.csv", "b.csv")]
    names = list(name_nights(nights))
    assert len({one.casefold() for one in names}) == 2


def test_no_night_takes_the_name_of_another():
    twice = [Night("n.edf", scored, "p") for scored in ("a.csv", "b.csv")]
    first, second = name_nights(twice)
    others = [Night(f"{one}.edf", None, "q") for one in (first, second)]
    assert len({one.casefold() for one in name_nights([*twice, *others])}) == 4


def test_names_can_be_those_of_files(tmp_path):
    names = name(
        ("../x/.hid\x1bden:*?.edf", "a"),
        ("Schlaf/Nächte №1.edf", "b"),
        ("n" * 200 + "é.edf", "c"),
        ("a/  .edf", ".."),
    )
    assert names[0] == "hid_den"
    assert names[3] == "night"
    assert len(names[2].encode()) <= 120
    for one in names:
        assert not one.startswith(".")
        (tmp_path / f"{one}.json").touch()
    assert len(list(tmp_path.iterdir())) == 4
    assert names[1] == "Nächte__1"
