"""Pages say what the numbers show, and nothing else."""

import figures
import numpy as np
import pages
import pandas as pd
import pytest
import sweeps
from experiment_results import ORIGIN, describe_again, make_result, make_training
from study import CONFIGS, read_study


def make_results(study, kappas, n_seeds=3):
    """Make results whose kappas from the PPG are given by arm."""
    return [
        describe_again(
            make_result(
                study,
                arm,
                seed,
                dict.fromkeys(study.arms[arm].subsets or ["PPG"], kappa),
                [make_training([{"pass": 1, "validation_loss": 1.0 + 0.1 * seed}])],
                noise=0,
            ),
            start={"config": {"feature_dim": 32}},
        )
        for arm, kappa in kappas.items()
        for seed in range(n_seeds)
    ]


def test_a_sweep_says_where_it_is_better(tmp_path):
    study = read_study(CONFIGS / "ppg_masking.yaml")
    kappas = {"p00": 0.3, "p01": 0.2, "p03": 0.2, "p05": 0.1, "p07": 0.05}
    page = pages.write_page("x", make_results(study, kappas), study, tmp_path).read_text("utf-8")
    assert "- **0**: kappa is **higher** than that of 0.1, when staged from PPG (+0.100" in page
    assert "- **0.3**: kappa is **not significantly different** from that of 0.1" in page
    assert "- **0.7**: kappa is **lower** than that of 0.1, when staged from PPG (-0.150" in page
    # What differs, and nothing of what does not; the seed is no setting of an arm.
    different = page[page.index("Arms differ in") : page.index("<details>")]
    assert "| training.masking.drop.PPG | 0.0 | 0.1 | 0.3 | 0.5 | 0.7 |" in different
    assert "learning_rate" not in different
    assert "| training.learning_rate | 0.001 |" in page
    assert "seed |" not in page
    assert "| 1.100 (1.000 to 1.200) |" in page
    assert "Arms were validated on" not in page
    assert "What the paper says" in page
    assert "doubtful" not in page
    figure = (tmp_path / "x.png").read_bytes()
    assert figure[:4] == b"\x89PNG"


def test_few_seeds_are_doubtful(tmp_path):
    study = read_study(CONFIGS / "ppg_masking.yaml")
    results = make_results(study, dict.fromkeys(study.arms, 0.2), n_seeds=2)
    page = pages.write_page("x", results, study, tmp_path).read_text("utf-8")
    assert "With 2 seeds, they are doubtful.** They do not stand for other seeds." in page


def test_all_versions_are_listed(tmp_path):
    study = read_study(CONFIGS / "ppg_masking.yaml")
    results = make_results(study, dict.fromkeys(study.arms, 0.2))
    results[-1] = results[-1].model_copy(update={"versions": {"torch": "3", "numpy": "2.1"}})
    page = pages.write_page("x", results, study, tmp_path).read_text("utf-8")
    assert "of 15 runs, with torch 2 and 3, numpy 2.1." in page
    assert "do not stand for other seeds" not in page


@pytest.mark.parametrize(
    ("differ", "message"),
    [
        (lambda r: r.model_copy(update={"scale": "full"}), "p07, seed 2, full .* Choose those"),
        (
            lambda r: describe_again(r, evaluate={"B": {**ORIGIN, "key": "other"}}),
            "nights or settings",
        ),
        (lambda r: describe_again(r, evaluate={"B": ORIGIN, "C": ORIGIN}), "cannot be compared"),
        (lambda r: describe_again(r, start={"config": {"feature_dim": 64}}), "cannot be compared"),
        (lambda r: describe_again(r, start={"pretraining": {"n_steps": 1}}), "cannot be compared"),
        (lambda r: r.model_copy(update={"seed": 1}), "two of the same arm and seed"),
    ],
)
def test_results_that_differ_are_refused(tmp_path, differ, message):
    study = read_study(CONFIGS / "ppg_masking.yaml")
    results = make_results(study, dict.fromkeys(study.arms, 0.2))
    results = [differ(r) if (r.arm, r.seed) == ("p07", 2) else r for r in results]
    # Also without a third seed of that arm.
    more = [r.model_copy(update={"seed": 2}) for r in results if (r.arm, r.seed) == ("p07", 0)]
    both = [*results, *more]
    with pytest.raises(ValueError, match=message):
        pages.write_page("x", both if "two of" in message else results, study, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_figure_of_a_sweep_has_its_numbers():
    study = read_study(CONFIGS / "ppg_masking.yaml")
    table = pages.compare_arms(
        make_results(study, dict(zip(study.arms, [0.5, 0.4, 0.3, 0.2, 0.1], strict=True))), study
    )
    [axes] = figures.plot_sweep(table, study).axes
    [line] = axes.lines
    np.testing.assert_allclose(line.get_xdata().astype(float), [0, 0.1, 0.3, 0.5, 0.7])
    np.testing.assert_allclose(line.get_ydata(), np.array([0.5, 0.4, 0.3, 0.2, 0.1]) + 0.055)
    assert axes.get_xlabel() == study.x_label


def test_the_page_of_a_sweep_says_what_to_choose():
    study = read_study(CONFIGS / "ppg_masking.yaml")
    kappas = {"PPG": [0.4, 0.39, 0.3, 0.2, 0.1], "ECG": [0.1, 0.2, 0.3, 0.31, 0.4]}
    results = [
        make_result(study, arm, seed, means, noise=0)
        for arm, *both in zip(study.arms, *kappas.values(), strict=True)
        for seed in range(3)
        for means in [dict(zip(kappas, both, strict=True))]
    ]
    text = sweeps.describe_choice(pages.compare_arms(results, study), results, study)
    assert (
        "- From PPG: 0 has the highest mean kappa (0.455), 0.7 the lowest (0.155; +0.300, +0.300 "
        "to +0.300). Within 0.02 of the highest: 0.1 (+0.010, +0.010 to +0.010).\n"
    ) in text
    assert "- From ECG: 0.7 has the highest" in text
    assert "Within 0.02 of the highest: no other value." in text
    assert (
        "- If the signals at staging are not known in advance: 0.3, with which mean kappa from "
        "each of these is at most 0.100 below the highest."
    ) in text
    assert "chosen on these test nights" in text
    assert "intervals above" not in text
    other = read_study(CONFIGS / "mixer.yaml")
    assert not sweeps.describe_choice(pages.compare_arms(results, study), results, other)


def test_the_interval_of_a_choice_is_paired():
    study = read_study(CONFIGS / "ppg_masking.yaml")
    results = [
        make_result(study, arm, 0, {"PPG": 0.21 if arm == "p00" else 0.2}) for arm in study.arms
    ]
    swapped = [0.02 * (-1) ** i for i in range(12)]
    for one in results:
        if one.arm == "p03":
            one.nights[:] = [
                night.model_copy(update={"kappa": night.kappa + more})
                for night, more in zip(one.nights, swapped, strict=True)
            ]
    text = sweeps.describe_choice(pages.compare_arms(results, study), results, study)
    # All nights differ by more than by arm, but those of two arms by the same.
    assert "0.1 (+0.010, +0.010 to +0.010)" in text
    assert "0.3 (+0.010, -0.0" in text


def test_settings_that_phases_repeat_do_not_differ(tmp_path):
    study = read_study(CONFIGS / "transfer.yaml")
    cohorts = {"A": ORIGIN | {"modalities": ["ABD", "ECG", "THX"]}, "C": ORIGIN}
    cohorts["C"] = ORIGIN | {"modalities": ["PPG"]}
    steps = [{"settings": {"crop": crop}, "trainable": ["classifier"]} for crop in (120, 60)]

    def train(*names):
        return [{"cohorts": {n: cohorts[n] for n in names}, **step} for step in steps]

    trained = {
        "joint": train("A", "C"),
        "transfer": [*train("A"), *train("C")],
        "first": train("A"),
        "second": train("C"),
    }
    results = [
        describe_again(make_result(study, arm, seed, {"PPG": 0.2}), trainings=trainings)
        for arm, trainings in trained.items()
        for seed in range(3)
    ]
    page = pages.write_page("x", results, study, tmp_path).read_text("utf-8")
    different, _, shared = page[page.index("Arms differ in") :].partition("<details>")
    rows = [line for line in different.splitlines() if line.startswith("|")][2:]
    assert rows == ["| training on | A and C | A, then C | A | C |"]
    assert "| training 1.crop | 120 |" in shared
    assert "| training 2.crop | 60 |" in shared
    # Losses of nights of other cohorts are not those of the same.
    assert "| 1.000 (1.000 to 1.000) on A (ABD+ECG+THX) and C (PPG) |" in page
    assert page.count("| 1.000 (1.000 to 1.000) on C (PPG) |") == 2
    assert "Arms were validated on nights of other cohorts" in page
    # What a phase changes is said.
    trained["transfer"][2] = trained["transfer"][2] | {"settings": {"crop": 30}}
    page = pages.write_page("x", results, study, tmp_path).read_text("utf-8")
    different = page[page.index("Arms differ in") : page.index("<details>")]
    rows = [line for line in different.splitlines() if line.startswith("|")][3:]
    assert rows == ["| phase 2, training 1.crop |  | 30 |  |  |"]
    masking = {"masking": {"drop": {"EOG": 0.5}}}
    for name in ("transfer", "first"):
        trained[name][0] = trained[name][0] | {"settings": {"crop": 120} | masking}
    page = pages.write_page("x", results, study, tmp_path).read_text("utf-8")
    assert "| phase 2, training 1.masking.drop.EOG |  | not set |  |  |" in page
    assert "only what changes is listed" in different


def test_costs_of_what_is_needed_together_are_added_up(tmp_path):
    study = read_study(CONFIGS / "unified.yaml")
    start = {"config": {"signals": {"ECG": "ECG"}}}
    results = [
        describe_again(r, start=start) for r in make_results(study, dict.fromkeys(study.arms, 0.2))
    ]
    page = pages.write_page("x", results, study, tmp_path).read_text("utf-8")
    assert "| all but the first, together | 3 | 4.0 |  | 4,000 | 8.00 |" in page
    assert "| one network for all | 3 | 1.0 | 1 | 1,000 | 2.00 |" in page


def test_arms_are_of_the_same_nights():
    study = read_study(CONFIGS / "ppg_masking.yaml")
    results = make_results(study, dict.fromkeys(study.arms, 0.2))
    for one in results:
        if one.arm == "p07":
            del one.nights[:4]
    table = pages.compare_arms(results, study)
    assert set(table["subjects"]) == {8}
    assert table["difference"].dropna().to_numpy() == pytest.approx(0, abs=1e-9)


def test_a_figure_of_many_arms_has_room_and_colors_for_them():
    study = read_study(CONFIGS / "rhythm.yaml")
    assert len(study.arms) == 13
    rows = [
        {"cohort": "B", "subset": subset, "arm": arm, "kappa": 0.3, "low": 0.2, "high": 0.4}
        for arm in study.arms
        for subset in ("ECG", "PPG")
    ]
    figure = figures.plot_subsets(pd.DataFrame(rows), study)
    figure.draw_without_rendering()
    [axes] = figure.axes
    handles, _ = axes.get_legend_handles_labels()
    assert len({tuple(handle[0].get_color()) for handle in handles}) == 13
    assert axes.get_window_extent().height / figure.dpi > 2
