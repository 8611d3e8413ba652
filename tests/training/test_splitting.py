"""Splits: subjects, not nights; the same whoever is added; none in two parts."""

import json
import shutil
from dataclasses import replace

import mne
import numpy as np
import pandas as pd
import pytest
from builders import START, make_hypnogram, make_raw, toy_recordings
from safetensors.numpy import load_file
from typer.testing import CliRunner

from mne_wav2sleep import load_weights, save_weights
from mne_wav2sleep.cli import app
from mne_wav2sleep.cohorts import Night, evaluate, prepare_nights
from mne_wav2sleep.cohorts.identity import check_apart
from mne_wav2sleep.network import Wav2Sleep
from mne_wav2sleep.training import fine_tune
from mne_wav2sleep.training.split_tables import read_split
from mne_wav2sleep.training.splitting import TrainingNights, assign_parts, split_by_subject

pytestmark = [toy_recordings, pytest.mark.slow]

SUBJECTS = [("cohort", f"p{i:02d}") for i in range(40)]


def name(nights):
    return sorted((night.dataset, night.subject) for night in nights)


def test_no_subject_is_in_both_splits(nights, train_tiny, tmp_path):
    split = split_by_subject(nights, 0.3, 0)
    assert {n.dataset for n in split.validation} == {"first", "second"}
    assert not {n.person for n in split.training} & {n.person for n in split.validation}
    assert name([*split.training, *split.validation]) == name(nights)
    with pytest.raises(ValueError, match="two subjects"):
        split_by_subject(nights[:1], 0.2, 0)
    with pytest.raises(ValueError, match=r"\['a'\] are in both training and validation"):
        train_tiny(nights[:3], tmp_path / "m", validation=nights[:1])


@pytest.mark.parametrize("seed", range(5))
def test_a_subject_more_moves_one_other_at_most(seed):
    before = assign_parts(SUBJECTS[:20], 0.2, seed)
    assert sorted(before.values()).count("validation") == 4
    assert before == assign_parts(SUBJECTS[19::-1], 0.2, seed)
    after = assign_parts([*SUBJECTS[:20], ("cohort", "new"), ("other", "p00")], 0.2, seed)
    assert sum(before[person] != after[person] for person in before) <= 1
    # Another dataset changes nothing, and a lonely subject is for training.
    two = assign_parts([*SUBJECTS[:20], ("other", "p00")], 0.2, seed)
    assert two == before | {("other", "p00"): "training"}


def test_a_share_of_many_subjects_is_drawn_and_depends_on_the_seed():
    parts = [assign_parts(SUBJECTS, 0.25, seed) for seed in range(3)]
    assert [list(p.values()).count("validation") for p in parts] == [10] * 3
    assert parts[0] != parts[1] != parts[2] != parts[0]
    for n, expected in ((2, 1), (3, 1), (7, 1), (8, 2)):
        found = assign_parts(SUBJECTS[:n], 0.2, 0)
        assert list(found.values()).count("validation") == expected


def test_known_subjects_keep_their_parts_and_new_ones_depend_on_nobody():
    known = dict.fromkeys(SUBJECTS[:10], "training") | dict.fromkeys(SUBJECTS[10:14], "test")
    known |= dict.fromkeys(SUBJECTS[14:16], "validation")
    all_parts = assign_parts(SUBJECTS, 0.5, 0, known)
    assert {p: all_parts[p] for p in known} == known
    new = set(SUBJECTS[16:])
    assert {all_parts[p] for p in new} == {"training", "validation"}
    for person in new:
        assert assign_parts([*known, person], 0.5, 0, known)[person] == all_parts[person]
    # Without any for validation, one of the new is.
    found = assign_parts(SUBJECTS[:13], 0.0, 0, dict.fromkeys(SUBJECTS[:10], "training"))
    assert list(found.values()).count("validation") == 1


def test_subjects_of_the_same_name_in_two_datasets_are_two_people(make_nights, tmp_path):
    sites = [make_nights(("ECG",), "12", site) for site in ("first", "second")]
    for i, night in enumerate(sites[1]):
        night.recording._data[:] = make_raw(("ECG",), seconds=600, seed=50 + i).get_data()
    prepared = prepare_nights([*sites[0], *sites[1]], tmp_path)
    split = split_by_subject(prepared, 0.5, 0)
    assert [n.dataset for n in split.training] == ["first", "second"]
    check_apart(prepared[:2], prepared[2:])
    assert evaluate(prepared, "mini", verbose="error").pooled["subjects"].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("one", "other", "is_alike"),
    [
        ("p1", "p01", True),
        ("P-1", "p001", True),
        ("sub 7", "sub07", True),
        ("p10", "p1", False),
        ("1-1", "11", False),
        ("p0", "p00", True),
    ],
)
def test_names_that_may_be_one_person_are_warned_of(one, other, is_alike, recwarn):
    check_apart([Night("a.edf", None, one)], [Night("b.edf", None, other)])
    texts = [str(w.message) for w in recwarn]
    assert len(texts) == is_alike
    assert all("If they are one person, write the name in one way" in text for text in texts)
    check_apart([Night("a.edf", None, one, "x")], [Night("b.edf", None, other, "y")])
    assert len(recwarn) == is_alike


@pytest.mark.parametrize("other", ["P01", "p01 ", "ｐ01"])  # noqa: RUF001 (a full-width letter)
def test_one_subject_by_two_spellings_is_not_in_both_parts(other, train_tiny, tmp_path):
    raws = [make_raw(("ECG",), seconds=600, seed=seed) for seed in range(3)]
    one, two, three = (
        Night(raw, make_hypnogram(), subject)
        for raw, subject in zip(raws, ("p01", other, "p02"), strict=True)
    )
    with pytest.raises(ValueError, match="are in both training and validation"):
        train_tiny([one], tmp_path / "m", validation=[two])
    assert not (tmp_path / "m").exists()
    split = split_by_subject(prepare_nights([one, two, three], tmp_path / "kept"), 0.5, 0)
    assert {1, 2} == {len(split.training), len(split.validation)}


def test_copies_and_links_are_found_across_training_and_validation(
    make_nights, train_tiny, tmp_path
):
    nights = make_nights()
    paths = [tmp_path / f"{night.subject}_raw.fif" for night in nights]
    for night, path in zip(nights, paths, strict=True):
        night.recording.save(path, verbose="error")
    nights = [replace(night, recording=path) for night, path in zip(nights, paths, strict=True)]
    (tmp_path / "link_raw.fif").symlink_to(paths[0])
    shutil.copy(paths[0], tmp_path / "copy_raw.fif")
    raw = mne.io.read_raw(paths[0])
    for recording, message in (
        (tmp_path / "link_raw.fif", "is listed for two subjects, 'a'"),
        (tmp_path / "copy_raw.fif", "contain the same recording"),
        (raw, "contain the same recording"),
    ):
        apart = [Night(recording, make_hypnogram(seed=9), "z", dataset="elsewhere")]
        with pytest.raises(ValueError, match=message):
            train_tiny(nights, tmp_path / "m", validation=apart)
    assert not (tmp_path / "m" / "training.json").exists()


def write_table(path, *lines, header="subject,part"):
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["a,train"],
            r"line 2: the subject 'a' has the part 'train'\. Give each subject",
        ),
        (["a,training", " ,training"], r"line 3: the subject is missing\. Add it"),
        (["a,training", "A,validation"], "line 3: the subject 'A' is in two parts"),
        (["a,training", "b\0,training"], "line 3: there is a null byte"),
        ([], r"lists no subjects\. Add a line"),
    ],
)
def test_a_split_is_checked(lines, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_split(write_table(tmp_path / "split.csv", *lines))
    other = write_table(tmp_path / "other.csv", "a,b", header="subject,fold")
    with pytest.raises(ValueError, match="has the column 'fold', which is not known"):
        read_split(other)
    with pytest.raises(ValueError, match="It needs 'subject' and 'part'; optional: dataset"):
        read_split(write_table(other, "a", header="subject"))
    with pytest.raises(FileNotFoundError, match="There is no table of a split at"):
        read_split(tmp_path / "none.csv")
    for content, text in (
        (b"", r"is empty\. Give a CSV in UTF-8 with the columns 'subject' and 'part'"),
        (b"subject,part\na,training\nJ\xf6rg,test\n", "line 3: the byte 0xf6 is not UTF-8"),
    ):
        other.write_bytes(content)
        with pytest.raises(ValueError, match=text):
            read_split(other)
    other.write_bytes(b"\xef\xbb\xbfsubject;part\r\nA;training\r\n")  # as Excel writes it
    assert read_split(other) == {(None, "a"): "training"}


def test_a_split_is_kept_and_new_subjects_are_named(nights, tmp_path):
    parts = read_split(write_table(tmp_path / "s.csv", "A,validation", "d , Test", "e,training"))
    with pytest.warns(RuntimeWarning, match="no part for 3 subjects.*first/b .*Add them") as caught:
        split = split_by_subject(nights, 0.3, 0, parts)
    assert len(caught) == 1
    assert ("first", "a") in name(split.validation)
    assert name(split.test) == [("second", "d")]
    assert ("second", "e") in name(split.training)
    split.write(tmp_path)
    assert (tmp_path / "split.csv").read_text().splitlines()[:2] == [
        "dataset,subject,part",
        "first,a,validation",
    ]
    again = split_by_subject(nights, 0.9, 7, read_split(tmp_path / "split.csv"))  # no warning
    assert again == split


def test_a_split_of_others_is_refused(nights, train_tiny, tmp_path, monkeypatch):
    for header, lines in (
        ("subject,part", ("p01,training", "p02,validation")),
        ("dataset,subject,part", [f"third,{s},training" for s in "abcdef"]),
    ):
        table = write_table(tmp_path / "s.csv", *lines, header=header)
        message = r"names none of the subjects: it has (p01|third/a), .*are of first/a, first/b"
        with pytest.raises(ValueError, match=message):
            train_tiny(nights, tmp_path / "m", split=table)
    assert not (tmp_path / "m").exists()
    # Also that of the folder, which may be one in the home folder.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # on Windows
    (tmp_path / "m").mkdir()
    table.rename(tmp_path / "m" / "split.csv")
    for start, options in ((train_tiny, {}), (fine_tune, {"weights": "mini"})):
        with pytest.raises(ValueError, match=message):
            start(nights, "~/m", **options, verbose="error")
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["split.csv"]


def test_subjects_of_a_split_without_nights_keep_their_rows(nights, tmp_path):
    lines = (
        *("First,A,validation", "first,b,training", "first,c,training", "second,a,test"),
        *("second,Zo\u00eb,validation", ",X01,training"),
    )
    own = write_table(tmp_path / "split.csv", *lines, header="dataset,subject,part")
    cohort = TrainingNights(nights[:2], None)
    with mne.utils.use_log_level("info"), mne.utils.catch_logging() as log:
        split = cohort.prepare(tmp_path, 0.3, 0)
    assert name(split.validation) == [("first", "a")]
    # "a" of the other dataset is another one.
    assert "names 4 without nights (first/c, second/a, second/zo\u00eb, x01)" in log.getvalue()
    split.write(tmp_path)
    assert own.read_text("utf-8").splitlines() == [
        "dataset,subject,part",
        ",X01,training",
        "first,a,validation",
        "first,b,training",
        "first,c,training",
        "second,Zo\u00eb,validation",
        "second,a,test",
    ]
    before = own.read_bytes()
    # Who comes back has the part as before, and the order stays.
    split = TrainingNights(nights[:3], None).prepare(tmp_path, 0.9, 7)
    assert name(split.training) == [("first", "b"), ("first", "c")]
    split.write(tmp_path)
    assert own.read_bytes() == before
    # Also with another split, which counts for those it names.
    rows = ("a,validation", "b,training", "x01,test", "zoë,test")
    other = write_table(tmp_path / "other.csv", *rows)
    TrainingNights(nights[:2], None, other).prepare(tmp_path, 0.3, 0).write(tmp_path)
    assert own.read_text("utf-8").splitlines()[1:] == [
        ",x01,test",
        ",zo\u00eb,test",
        "first,a,validation",
        "first,b,training",
        "first,c,training",
        "second,a,test",
    ]


def test_nights_that_are_kept_for_a_test_are_not_prepared(make_nights, tmp_path):
    *used, apart = make_nights(("Thor",), "abc")
    paths = [tmp_path / f"{night.subject}_raw.fif" for night in used]
    for night, path in zip(used, paths, strict=True):
        night.recording.save(path, verbose="error")
    used = [replace(night, recording=path) for night, path in zip(used, paths, strict=True)]
    table = write_table(tmp_path / "s.csv", "a,training", "b,validation", "c,test", "d,test")
    broken = Night(tmp_path / "none.edf", make_hypnogram(), "d")
    split = TrainingNights([*used, apart, broken], None, table).prepare(tmp_path / "m", 0.3, 0)
    assert split.test == [apart, broken]
    assert len(list((tmp_path / "m" / "nights").glob("*.safetensors"))) == 2
    split.write(tmp_path / "m")
    assert read_split(tmp_path / "m" / "split.csv")["cohort", "d"] == "test"
    # A copy would make the test meaningless.
    copy = replace(broken, recording=shutil.copy(paths[0], tmp_path / "copy_raw.fif"))
    for wrong in (copy, *prepare_nights([copy], tmp_path)):
        with pytest.raises(
            ValueError, match=r"a_raw\.fif\) and .*copy_raw\.fif\) contain the same"
        ):
            TrainingNights([*used, wrong], None, table).prepare(tmp_path / "m", 0.3, 0)


def test_a_list_of_nights_is_needed_for_each_part(make_nights, train_tiny, tmp_path):
    one, two = make_nights(("Thor",), "ab")
    for start in (train_tiny, fine_tune):
        for nights, options, what in (
            (one, {}, "nights"),
            ([one], {"validation": two}, "validation"),
        ):
            options = options if start is train_tiny else options | {"weights": "mini"}
            with pytest.raises(TypeError, match=f"^{what} must be a list of nights, got a single"):
                start(nights, tmp_path / "m", **options, verbose="error")
    assert not (tmp_path / "m").exists()


def test_a_split_without_datasets_must_not_be_ambiguous(make_nights, tmp_path):
    one, two = make_nights(("ECG",), "ab")
    nights = prepare_nights([one, replace(two, subject="a", dataset="other")], tmp_path)
    parts = read_split(write_table(tmp_path / "split.csv", "a,training"))
    with pytest.raises(ValueError, match=r"which subject 'a' it means.*Add a column 'dataset'"):
        split_by_subject(nights, 0.5, 0, parts)
    lines = ("cohort,a,training", "other,a,validation")
    table = write_table(tmp_path / "split.csv", *lines, header="dataset,subject,part")
    assert name(split_by_subject(nights, 0.5, 0, read_split(table)).training) == [("cohort", "a")]


def test_a_split_with_one_part_only_is_refused(nights, train_tiny, tmp_path):
    table = write_table(tmp_path / "s.csv", *(f"{s},training" for s in "abcdef"))
    with pytest.raises(ValueError, match=r"one of them for validation.*Check the split"):
        train_tiny(nights, tmp_path / "m", split=table)
    write_table(table, *(f"{s},validation" for s in "abcdef"))
    with pytest.raises(ValueError, match="at least one night each for training and validation"):
        train_tiny(nights, tmp_path / "m", split=table)
    with pytest.raises(ValueError, match="Validation nights and a split were both given"):
        train_tiny(nights[1:], tmp_path / "m", split=table, validation=nights[:1])


@pytest.fixture(scope="module")
def split_run(nights, train_tiny, quick, tmp_path_factory):
    """A run with a split that was given, in which a subject is kept for a test."""
    folder = tmp_path_factory.mktemp("split")
    lines = [
        f"{s},{part}"
        for s, part in zip("abcdef", ["validation", *["training"] * 4, "test"], strict=True)
    ]
    table = write_table(folder / "given.csv", *lines)
    options = {"split": table, "settings": replace(quick, max_passes=1)}
    return train_tiny(nights, folder / "m", **options)


def test_the_folder_has_the_split_and_the_hashes_of_its_nights(split_run, nights):
    table = pd.read_csv(split_run / "split.csv")
    assert dict(zip(table["subject"], table["part"], strict=True)) == dict(
        zip("abcdef", ["validation", *["training"] * 4, "test"], strict=True)
    )
    text = (split_run / "nights.json").read_text()
    seen = load_weights(split_run).seen
    assert [set(s) for s in seen.validation] == [set(nights[0].contents)]
    assert {frozenset(s) for s in seen.training} == {frozenset(n.contents) for n in nights[1:5]}
    assert set(json.loads(text)) == {"format", "training", "validation"}
    assert "cohort" not in text
    assert "first" not in text
    assert all(content not in text for content in nights[5].contents)


def test_another_order_of_nights_is_the_same_run(split_run, nights, train_tiny, quick, tmp_path):
    shuffled = [nights[i] for i in (3, 0, 5, 1, 4, 2)]
    options = {"settings": replace(quick, max_passes=1), "split": split_run / "split.csv"}
    other = train_tiny(shuffled, tmp_path / "m", **options)
    assert (other / "training.json").read_text() == (split_run / "training.json").read_text()
    one, two = (load_file(folder / "model.safetensors") for folder in (split_run, other))
    assert all(np.array_equal(one[key], two[key]) for key in one)
    for file in ("split.csv", "nights.json", "calibration.json"):
        assert (other / file).read_text() == (split_run / file).read_text()


def test_evaluating_on_the_nights_of_training_is_warned_of(split_run, nights, quick, tmp_path):
    with pytest.warns(RuntimeWarning) as caught:
        found = evaluate(nights, split_run)
    assert [str(w.message)[:50] for w in caught] == [
        "4 of the 6 nights were used to train these weights",
        "1 of the 6 nights was used to select or calibrate ",
    ]
    assert len(found.cautions) == 2
    assert evaluate(nights[5:], split_run).cautions == ()
    # Fine-tuned weights have seen what the initial ones have.
    settings = replace(quick, max_passes=1)
    text = "1 of the 1 night was used to train these weights, so that results"
    with pytest.warns(RuntimeWarning) as caught:
        tuned = fine_tune(
            [nights[0], nights[5]],
            tmp_path / "m",
            weights=split_run,
            validation=[nights[1]],
            settings=settings,
        )
    texts = [str(w.message) for w in caught]
    assert len(texts) == 2
    assert texts[0].startswith("Fine-tuning on 2 subjects")
    assert texts[1].startswith(text)
    assert text in (tuned / "README.md").read_text()
    with pytest.warns(RuntimeWarning) as caught:
        evaluate(nights, tuned)
    assert [str(w.message)[:36] for w in caught] == [
        "6 of the 6 nights were used to train",
        "2 of the 6 nights were used to selec",
    ]


def test_prepared_nights_can_be_shared_by_runs_and_commands(tiny, tmp_path):
    rows = []
    for i, subject in enumerate("abcd"):
        raw = make_raw(("ECG", "Thor"), seconds=600, types="eeg", start=START, seed=10 * i)
        raw.save(tmp_path / f"{subject}_raw.fif", verbose="error")
        make_hypnogram(seed=i).to_json(str(tmp_path / f"{subject}.json"))
        rows.append((f"{subject}_raw.fif", f"{subject}.json", subject))
    table = pd.DataFrame(rows, columns=["recording", "hypnogram", "subject"])
    table[:3].to_csv(tmp_path / "nights.csv", index=False)
    table[3:].to_csv(tmp_path / "apart.csv", index=False)
    split = write_table(tmp_path / "split.csv", "a,training", "b,validation", "c,test")
    base = save_weights(Wav2Sleep(tiny), tmp_path / "base")
    cache = tmp_path / "kept"

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, [str(a) for a in (*arguments, "--cache", cache)])
        assert result.exit_code == code, result.output
        return " ".join(result.output.split())

    quick = ("--device", "cpu", "--set", "max_passes=1", "--set", "crop=12")
    nights = tmp_path / "nights.csv"
    run("evaluate", nights, "--weights", base, "--jobs", 2)
    before = {path: path.stat().st_mtime_ns for path in cache.glob("*.safetensors")}
    assert len(before) == 3
    run("train", nights, tmp_path / "m", "--config-from", base, "--split", split, *quick)
    options = ("--weights", tmp_path / "m", "--validation", tmp_path / "apart.csv")
    run("fine-tune", nights, tmp_path / "tuned", *options, *quick)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(cache.glob("*.safetensors"))) == 4
    assert not (tmp_path / "m" / "nights").exists()
    text = run("evaluate", nights, "--weights", tmp_path / "tuned")
    assert "3 of the 3 nights were used to train these weights" in text
    write_table(split, "a,train")
    text = run("train", nights, tmp_path / "x", "--split", split, code=1)
    assert "has the part 'train'" in text
    table[2:].to_csv(tmp_path / "apart.csv", index=False)
    text = run("train", nights, tmp_path / "x", "--validation", tmp_path / "apart.csv", code=1)
    assert "['c'] are in both training and validation" in text
