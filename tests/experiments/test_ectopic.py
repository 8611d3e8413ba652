"""A recorded ECG in place of the simulated one."""

import zipfile

import ectopic
import numpy as np
import pytest
import rhythms
import run
from arms import Place
from results import ResultStore
from scales import SCALES, read_scale
from study import CONFIGS, read_study

from mne_wav2sleep import load_weights
from mne_wav2sleep.cohorts import Night, evaluate

SFREQ = 360


def make_ecg(seconds=120):
    """Make narrow beats, every third of which is early, wide and inverted."""
    wave = np.zeros(seconds * SFREQ)
    for number, second in enumerate(np.arange(0.5, seconds - 1, 0.8)):
        is_ectopic = number % 3 == 2
        t = np.arange(wave.size) / SFREQ - second + (0.25 if is_ectopic else 0)
        wave += (-1.5 if is_ectopic else 1.0) * np.exp(
            -((t / (0.06 if is_ectopic else 0.015)) ** 2)
        )
    return wave.astype(np.float32)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("ecg") / "ecg.npz"
    np.savez(path, ecg_mv=make_ecg(), sfreq=SFREQ)
    return path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ecg_mv": make_ecg(30), "sfreq": SFREQ}, "cannot be used.*60 s or more"),
        ({"ecg_mv": make_ecg(), "sfreq": 20}, "cannot be used"),
        ({"ecg_mv": make_ecg(), "sfreq": np.nan}, "cannot be used"),
        ({"ecg_mv": np.zeros(30_000), "sfreq": SFREQ}, "constant in nearly all samples"),
        # Flat with a spike, so that it has no amplitude to be scaled by.
        ({"ecg_mv": np.eye(1, 30_000)[0], "sfreq": SFREQ}, "constant.*60 s or more"),
        ({"ecg_mv": np.full(30_000, np.nan), "sfreq": SFREQ}, "cannot be used"),
        ({"ecg_mv": make_ecg()[None], "sfreq": SFREQ}, "cannot be used"),
        ({"ecg_mv": make_ecg() > 0, "sfreq": SFREQ}, "cannot be used"),
        ({"ecg": make_ecg(), "sfreq": SFREQ}, "is not a recorded ECG.*npz with ecg_mv"),
        ({"ecg_mv": np.array([{}]), "sfreq": SFREQ}, "is not a recorded ECG"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path, values, message):
    np.savez(tmp_path / "x.npz", **values)
    with pytest.raises(ValueError, match=f"x.npz .*{message}"):
        ectopic.read_ectopic_ecg(tmp_path / "x.npz")


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    # Zeros take little of a compressed file.
    np.savez_compressed(tmp_path / "x.npz", ecg_mv=np.zeros(2**21), sfreq=SFREQ)
    monkeypatch.setattr(ectopic, "_LARGEST", 2**22)
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    with pytest.raises(ValueError, match=r"it has 16,777,.* bytes, more than 4,194,304"):
        ectopic.read_ectopic_ecg(tmp_path / "x.npz")
    (tmp_path / "x.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="is not a recorded ECG"):
        ectopic.read_ectopic_ecg(tmp_path / "x.npz")


def test_pieces_have_the_amplitude_and_rate_of_the_night(file):
    ecg = ectopic.read_ectopic_ecg(file)
    rng = np.random.default_rng(0)
    wave = 1e-3 * rng.standard_normal(64 * 600) + 5e-3
    inside = np.zeros(wave.size, dtype=bool)
    inside[64 * 100 : 64 * 400] = True  # longer than the recording
    spliced = ectopic.splice(wave, inside, ecg, 64.0, rng)
    np.testing.assert_array_equal(spliced[~inside], wave[~inside])
    low, high = np.quantile(spliced[inside], [0.005, 0.995])
    assert high - low == pytest.approx(np.diff(np.quantile(wave, [0.005, 0.995]))[0], rel=0.05)
    assert np.median(spliced[inside]) == pytest.approx(5e-3, abs=5e-4)
    # Three beats in 2.4 s, at any rate, and the whole recording again after 120 s.
    piece = spliced[inside] - spliced[inside].mean()
    np.testing.assert_allclose(piece[: 64 * 100], piece[64 * 120 : 64 * 220])
    power = np.abs(np.fft.rfft(piece[: 64 * 120]))
    peak = np.fft.rfftfreq(64 * 120, 1 / 64)[power.argmax()]
    assert peak * 2.4 == pytest.approx(round(peak * 2.4), abs=0.05)


def test_only_the_ecg_is_replaced(file):
    size = read_scale(SCALES / "quick.yaml").cohorts["B"]
    stages = np.repeat([0, 2, 3, 4], 30)
    ecg = ectopic.read_ectopic_ecg(file)
    plain, _ = rhythms.simulate_rhythm(size, stages, "sinus", 0.0, (1, 2))
    half, _ = rhythms.simulate_rhythm(size, stages, "sinus", 0.5, (1, 2), ecg)
    for name in ("Pleth", "Abdomen", "Thorax"):
        np.testing.assert_array_equal(plain.get_data(name), half.get_data(name))
    changed = (plain.get_data("ECG") != half.get_data("ECG"))[0].reshape(stages.size, -1).mean(1)
    inside = rhythms.place_episodes(stages.size, 0.5, np.random.default_rng((1, 2)).spawn(7)[2])
    assert (changed[~inside] == 0).all()
    assert (changed[inside] > 0.9).all()


@pytest.mark.filterwarnings("ignore:.*mini.*:RuntimeWarning", "ignore:The rec:RuntimeWarning")
def test_a_night_that_is_staged_once_has_the_same_kappas():
    size = read_scale(SCALES / "quick.yaml").cohorts["B"]
    weights = load_weights("mini")
    raw, stages = rhythms.simulate_rhythm(size, None, "sinus", 0.0, (3,))
    subsets = ["ECG", "ABD+THX"]
    found = rhythms.stage_rhythm(raw, stages, weights, subsets, "B", "B000")
    hyp = rhythms.yasa.Hypnogram([rhythms.STAGES[one] for one in stages], n_stages=5)
    names = [tuple(one.split("+")) for one in subsets]
    wanted = evaluate([Night(raw, hyp, "B000", "B")], weights, subsets=names, verbose="error")
    kappas = wanted.by_night.set_index("subset")["kappa"]
    assert [one.subset for one in found.nights] == subsets
    assert [one.kappa for one in found.nights] == pytest.approx(
        [kappas[one] for one in subsets], abs=1e-4
    )
    assert found.implausible == 0
    assert not found.is_noticed
    rng = np.random.default_rng(0)
    noise = raw.copy().apply_function(lambda wave: rng.standard_normal(wave.size), picks=["ECG"])
    assert rhythms.stage_rhythm(noise, stages, weights, subsets, "B", "B000").implausible > 0.8
    belts = raw.copy().pick(["Abdomen", "Thorax"])
    assert rhythms.stage_rhythm(belts, stages, weights, None, "B", "B000").implausible is None


@pytest.mark.filterwarnings("ignore:.*mini.*:RuntimeWarning")
def test_a_study_takes_the_file(file, tmp_path, monkeypatch, caplog):
    study = read_study(CONFIGS / "rhythm.yaml")
    names = ("sinus", "recorded_ectopy-050", "recorded_ectopy-100")
    study = study.model_copy(update={"arms": {name: study.arms[name] for name in names}})
    monkeypatch.setattr(run, "read_study", lambda _: study)
    options = ["rhythm", "--quick", "--out", str(tmp_path), "--seeds", "1"]
    page = tmp_path / "pages" / "quick-simulated" / "rhythm.md"
    left_out = "Left out, since no recorded ECG was given (--ectopic-ecg FILE.npz): real ectopic"
    assert run.main(options) == 0
    assert left_out in page.read_text("utf-8")
    before = {p: p.read_bytes() for p in (tmp_path / "results").rglob("*.json")}
    assert len(before) == 1
    assert run.main([*options, "--ectopic-ecg", str(file)]) == 0
    results = {one.arm: one for one in ResultStore(tmp_path / "results").read("rhythm")}
    assert sorted(results) == sorted(names)
    assert (
        before.items()
        <= {p: p.read_bytes() for p in (tmp_path / "results").rglob("*.json")}.items()
    )
    text = page.read_text("utf-8")
    assert left_out not in text
    assert "real ectopic ECG is a recording of another person" in text
    sinus, whole = results["sinus"], results["recorded_ectopy-100"]
    assert {n.subset for n in sinus.nights} == set(study.subsets)
    ppg = [[n.kappa for n in one.nights if n.subset == "PPG"] for one in (sinus, whole)]
    assert ppg[0] == ppg[1]
    assert (sinus.noticed, whole.noticed) == ([], ["B000", "B001"])
    assert whole.described["ectopic_ecg"]["sha256"] == ectopic.read_ectopic_ecg(file).sha256
    assert "ectopic_ecg" not in sinus.described


@pytest.mark.filterwarnings("ignore:.*mini.*:RuntimeWarning")
def test_another_recording_is_another_result(file, tmp_path):
    study = read_study(CONFIGS / "rhythm.yaml")
    scale, store = read_scale(SCALES / "quick.yaml"), ResultStore(tmp_path)
    cohort = scale.cohorts["B"].model_copy(update={"n_test": 1})
    scale = scale.model_copy(update={"cohorts": {"B": cohort}})
    keys = set()
    for factor in (1, 2):
        path = tmp_path / "other.npz"
        np.savez(path, ecg_mv=factor * make_ecg(), sfreq=SFREQ)
        ecg = ectopic.read_ectopic_ecg(path)
        place = Place("rhythm", study, "quick", scale, {}, tmp_path, store, ectopic_ecg=ecg)
        keys.add(rhythms.run_rhythm(place, "recorded_ectopy-100", 0).key)
    assert len(keys) == 2


def test_the_file_is_for_rhythms(file, tmp_path, capsys):
    options = ["masking", "--quick", "--out", str(tmp_path), "--ectopic-ecg", str(file)]
    assert run.main(options) == 2
    assert "such as rhythm. Leave it out" in capsys.readouterr().err
    options = ["rhythm", "--quick", "--out", str(tmp_path), "--ectopic-ecg", "none.npz"]
    assert run.main(options) == 2
    assert "none.npz is not a recorded ECG" in capsys.readouterr().err
