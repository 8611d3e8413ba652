from collections import Counter

import pytest
from nsrr_download import write_lists

from mne_wav2sleep.cohorts import Night, draw_parts, read_parts, write_parts
from mne_wav2sleep.training.split_tables import read_split


def make_nights(dataset, n_subjects, n_twice=0):
    """Nights of a cohort, of whose subjects some have two visits."""
    names = {
        "shhs": "shhs{visit}-{subject}",
        "mros": "mros-visit{visit}-{subject}",
        "cfs": "cfs-visit{visit}-{subject}",
        "mesa": "mesa-sleep-{subject}",
    }
    prefix = "aa" if dataset == "mros" else ""
    return [
        Night(
            f"{names[dataset].format(visit=visit, subject=f'{prefix}{i:04}')}.edf",
            None,
            f"{prefix}{i:04}",
            dataset,
        )
        for i in range(n_subjects)
        for visit in ((1, 2) if i < n_twice else (1,))
    ]


@pytest.fixture
def nights():
    return [*make_nights("shhs", 5, n_twice=2), *make_nights("mesa", 3)]


def name(parts):
    return {part: [night.file for night in some] for part, some in parts.items()}


def test_lists_are_taken_as_they_are(tmp_path, nights):
    folder = tmp_path / "lists"
    write_lists(
        folder,
        {
            "train": (
                "# the authors'",
                "shhs1-0000",
                "shhs2-0000",
                "",
                "/data/mesa-sleep-0001.edf",
            ),
            "val": ("shhs-0003", "MESA-SLEEP-0002"),
            "test": ("shhs1-0001", "shhs2-0001", "0004"),
        },
    )
    (folder / "README.md").write_text("train and test")
    with pytest.warns(RuntimeWarning) as shown:
        parts = read_parts(folder, nights)
    assert name(parts) == {
        "training": ["shhs1-0000.edf", "shhs2-0000.edf", "mesa-sleep-0001.edf"],
        "validation": ["shhs1-0003.edf", "mesa-sleep-0002.edf"],
        "test": ["shhs1-0001.edf", "shhs2-0001.edf", "shhs1-0004.edf"],
    }
    (text,) = (str(one.message) for one in shown)
    assert "2 nights in none of the lists" in text
    assert text.index("mesa-sleep-0000.edf") < text.index("shhs1-0002.edf")


def test_a_night_that_is_not_listed_is_left_out_although_its_subject_is(tmp_path, nights):
    folder = write_lists(
        tmp_path / "lists", {"train": ("shhs1-0000",), "test": ("mesa-sleep-0001",)}
    )
    with pytest.warns(RuntimeWarning, match="8 nights in none of the lists"):
        parts = read_parts(folder, nights)
    assert name(parts)["training"] == ["shhs1-0000.edf"]


def test_lists_say_by_their_names_which_cohort_they_mean(tmp_path, nights):
    folder = tmp_path / "lists"
    folder.mkdir()
    for cohort in ("shhs", "mesa"):
        (folder / cohort).mkdir()
        (folder / cohort / "train.txt").write_text("0000\n")
    (folder / "mesa_test.txt").write_text("0001\n")
    with pytest.warns(RuntimeWarning, match="in none of the lists"):
        parts = read_parts(folder, nights)
    assert name(parts)["training"] == ["shhs1-0000.edf", "shhs2-0000.edf", "mesa-sleep-0000.edf"]
    assert name(parts)["test"] == ["mesa-sleep-0001.edf"]
    (folder / "val.txt").write_text("0002\n")
    with pytest.raises(ValueError, match="has the subject '0002', who is in mesa and shhs"):
        read_parts(folder, nights)


def test_a_list_of_a_cohort_takes_no_nights_of_another(tmp_path):
    shhs = make_nights("shhs", 3)
    folder = write_lists(tmp_path / "lists", {"mesa_train": ("0001", "shhs1-0002")})
    with pytest.raises(ValueError, match="name none of the 3 nights: they have"):
        read_parts(folder, shhs)
    (folder / "shhs_test.txt").write_text("0000\n")
    with pytest.warns(RuntimeWarning) as shown:
        parts = read_parts(folder, shhs)
    assert name(parts) == {"training": [], "validation": [], "test": ["shhs1-0000.edf"]}
    assert any("2 ids in" in str(one.message) for one in shown)


def test_unknown_ids_are_said(tmp_path, nights):
    ids = ("shhs1-0000", *(f"shhs1-9{i:03}" for i in range(8)))
    folder = write_lists(tmp_path / "lists", {"train": ids})
    with pytest.warns(RuntimeWarning) as shown:
        read_parts(folder, nights)
    texts = [str(one.message) for one in shown]
    assert any("8 ids in" in text and "shhs1-9005 and 2 more" in text for text in texts)


@pytest.mark.parametrize(
    ("lists", "kind", "message"),
    [
        ({"train": ("shhs1-0000",), "test": ("shhs2-0000",)}, ValueError, "is in two parts: "),
        ({"train": ("shhs1-0000",), "val": ("shhs1-0000",)}, ValueError, "is in two parts: "),
        ({"train": ("mros-visit1-aa0001",)}, ValueError, "name none of the 10 nights: they have"),
        ({"notes": ("shhs1-0000",)}, FileNotFoundError, "has no lists of ids, whose names"),
        ({"train": ("shhs1-\0",)}, ValueError, "is not a list of ids, one a line in UTF-8"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*in none of the lists:RuntimeWarning")
def test_wrong_lists_are_refused(tmp_path, nights, lists, kind, message):
    folder = write_lists(tmp_path / "lists", lists)
    with pytest.raises(kind, match=message):
        read_parts(folder, nights)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        read_parts(tmp_path / "none", nights)


def test_parts_are_drawn_by_subject_and_seed(tmp_path):
    nights = [*make_nights("shhs", 60, n_twice=20), *make_nights("mesa", 30)]
    parts = draw_parts(nights)
    counts = {part: Counter(night.dataset for night in some) for part, some in parts.items()}
    assert counts["test"] == {"shhs": 16, "mesa": 6}
    assert counts["validation"] == {"shhs": 8, "mesa": 3}
    assert sum(map(len, parts.values())) == len(nights)
    people = [{night.person for night in some} for some in parts.values()]
    assert not people[0] & people[1] | people[0] & people[2] | people[1] & people[2]
    assert draw_parts(nights[::-1])["test"] == parts["test"][::-1]
    assert draw_parts(nights, seed=1)["test"] != parts["test"]
    write_parts(parts, tmp_path / "split.csv")
    split = read_split(tmp_path / "split.csv")
    assert len(split) == 90
    assert {person: split[person] for person in people[2]} == dict.fromkeys(people[2], "test")


def test_the_numbers_of_the_paper_are_drawn():
    nights = [
        *make_nights("shhs", 1100, n_twice=500),
        *make_nights("mros", 900, n_twice=400),
        *make_nights("cfs", 151),
    ]
    parts = draw_parts(nights, "paper")
    counts = {part: Counter(night.dataset for night in some) for part, some in parts.items()}
    assert counts["training"] == {"shhs": 100, "cfs": 1}
    assert counts["validation"] == {"shhs": 500, "cfs": 50}
    assert counts["test"] == {"shhs": 1000, "mros": 1000, "cfs": 100}
    with pytest.raises(ValueError, match="cfs has 150 nights, too few for the paper's 50 for"):
        draw_parts(make_nights("cfs", 150), "paper")
    with pytest.raises(ValueError, match="The paper has no dataset 'clinic'"):
        draw_parts([Night("a.edf", None, "a", "clinic")], "paper")
