"""Agreement between the subsets of the sensors."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yasa
from builders import fail, make_raw, toy_recordings

from mne_wav2sleep import SleepStagerW2S
from mne_wav2sleep.network import Engine
from mne_wav2sleep.network.backends import list_subsets
from mne_wav2sleep.staging.audit import Audit, compare_subsets

pytestmark = toy_recordings


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def spell_out(stages):
    """Make a hypnogram of letters."""
    names = {"W": "WAKE", "L": "LIGHT", "D": "DEEP", "R": "REM", "U": "UNS"}
    return yasa.Hypnogram([names[s] for s in stages], n_stages=4, scorer="wav2sleep")


def test_subsets_are_staged_as_if_alone(small_folder, monkeypatch):
    raw = fail(fail(make_raw(), ["Pleth"], 20, 40), ["ECG", "Pleth"], 60, 80)
    stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    encode, count = Engine.encode, []

    def watch(engine, x):
        count.append(sorted(x))
        return encode(engine, x)

    monkeypatch.setattr(Engine, "encode", watch)
    audit = stager.audit()
    assert count == [["ABD"], ["ECG"], ["PPG"], ["THX"]]  # each encoder ran once
    monkeypatch.undo()
    subsets = list_subsets(["ABD", "ECG", "PPG", "THX"])
    assert list(audit.hypnograms) == ["+".join(s) for s in subsets]
    for subset in (("ECG",), ("ECG", "PPG"), ("PPG",)):
        out = {"ABD", "ECG", "PPG", "THX"} - set(subset)
        names = dict.fromkeys(out)
        alone = SleepStagerW2S(raw, weights=small_folder, verbose="error", ch_names=names).predict()
        hyp = audit.hypnograms["+".join(subset)]
        assert (hyp == alone).all()
        np.testing.assert_allclose(hyp.proba, alone.proba, atol=1e-5)
    assert (audit.hypnograms["ABD+ECG+PPG+THX"] == stager.predict()).all()
    assert np.flatnonzero(audit.hypnograms["ECG+PPG"].hypno == "UNS").tolist() == list(
        range(60, 80)
    )


def test_a_sensor_that_is_left_out_is_in_no_subset(small_folder):
    raw = fail(make_raw(), ["Pleth"], 0, 120)
    audit = SleepStagerW2S(raw, weights=small_folder, verbose="error").audit()
    assert list(audit.hypnograms) == ["+".join(s) for s in list_subsets(["ABD", "ECG", "THX"])]


def make_audit(ecg, thx, both):
    hypnograms = {("ECG",): ecg, ("THX",): thx, ("ECG", "THX"): both}
    measured = pd.DataFrame(
        {"ECG": [s != "U" for s in ecg], "THX": [s != "U" for s in thx]}, dtype=bool
    )
    return compare_subsets({k: spell_out(v) for k, v in hypnograms.items()}, measured)


def test_agreement_shares_and_disputes():
    audit = make_audit("WWLLDDRRUU", "WWLLDDRDUL", "WWLLDDRDUL")
    assert audit.agreement.loc["ECG", "ECG"] == 1
    # 7 of 8 agree; chance is (4 + 4 + 6 + 2) / 64: kappa = (7/8 - 1/4) / (3/4).
    assert audit.agreement.loc["ECG", "THX"] == pytest.approx((7 / 8 - 1 / 4) / (3 / 4))
    assert audit.agreement.equals(audit.agreement.T)
    assert audit.stages.loc["ECG"].to_dict() == {"WAKE": 25, "LIGHT": 25, "DEEP": 25, "REM": 25}
    np.testing.assert_allclose(audit.stages.sum(axis=1), 100)
    np.testing.assert_allclose(audit.support[:8], [1, 1, 1, 1, 1, 1, 1, 1 / 2])
    # No sensor was measured, or only one, whose stage nothing can be compared with.
    assert np.isnan(audit.support[8:]).all()
    assert audit.disputed.tolist() == []
    assert audit.n_comparable == 8
    assert repr(audit) == "<Audit | 3 subsets of ECG+THX, 0 of 8 comparable epochs disputed>"


def test_sensors_that_were_never_measured_together_cannot_agree():
    audit = make_audit("WWWUUU", "UUUWLL", "WWWWLL")
    assert np.isnan(audit.agreement.loc["ECG", "THX"])
    assert audit.agreement.loc["THX", "ECG+THX"] == 1
    assert audit.disputed.tolist() == []
    assert audit.n_comparable == 0
    summary = "no two sensors measured at once, nothing to compare"
    assert repr(audit) == f"<Audit | 3 subsets of ECG+THX, {summary}>"
    (ax, _) = audit.plot().axes
    assert ax.get_title(loc="left") == f"Agreement of sensors:\n{summary}"
    # There is no kappa between the two, nor for hypnograms of nothing but WAKE.
    assert [t.get_text() for t in ax.texts] == ["1.00"] * 5


def test_an_epoch_in_which_all_sensors_differ_is_disputed():
    assert make_audit("WLD", "LLR", "RLW").disputed.tolist() == [0, 2]


def test_one_sensor_has_nothing_to_compare():
    measured = pd.DataFrame({"ECG": [True, True, False]})
    audit = compare_subsets({("ECG",): spell_out("WLU")}, measured)
    assert audit.n_comparable == 0
    assert repr(audit) == "<Audit | ECG, one sensor, nothing to compare>"
    title = audit.plot().axes[0].get_title(loc="left")
    assert title == "Agreement of sensors:\none sensor, nothing to compare"


def test_the_figure_shows_every_pair(small_folder):
    audit = SleepStagerW2S(make_raw(), weights=small_folder, verbose="error").audit()
    figure = audit.plot()
    ax = figure.axes[0]
    kappa = audit.agreement.to_numpy()
    np.testing.assert_array_equal(ax.images[0].get_array(), kappa)
    assert [t.get_text() for t in ax.texts] == [f"{k:.2f}" for k in kappa[np.isfinite(kappa)]]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(audit.hypnograms)
    summary = f"{audit.disputed.size} of 120 comparable epochs disputed"
    assert ax.get_title(loc="left").endswith(summary)
    assert summary in repr(audit)
    own, (left, right) = plt.subplots(1, 2)
    assert audit.plot(ax=right) is own
    assert not left.images
    np.testing.assert_array_equal(right.images[0].get_array(), kappa)
    part = plt.figure().subfigures(1, 2)[0]
    assert audit.plot(ax=part.subplots()) is part.figure


@pytest.mark.parametrize("n_subsets", [1, 3, 15, 31])
def test_the_figure_is_whole_pixels_and_holds_its_title(n_subsets):
    names = [f"subset {i}" for i in range(n_subsets)]
    agreement = pd.DataFrame(np.eye(n_subsets), index=names, columns=names)
    support = pd.Series(np.zeros(1000))
    audit = Audit(dict.fromkeys(names), agreement, pd.DataFrame(), support, np.arange(1000))
    figure = audit.plot()
    size = figure.get_size_inches()
    for dpi in (100, min(100, 850 / size[0])):  # mne.Report scales figures to 850 pixels
        np.testing.assert_array_equal(size * dpi, np.round(size * dpi))
    figure.canvas.draw()
    title = figure.axes[0]._left_title.get_window_extent()
    assert title.x1 < figure.bbox.x1
