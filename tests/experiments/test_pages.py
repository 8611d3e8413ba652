"""Pages say what the numbers show, and nothing else."""

import figures
import numpy as np
import pages
import pandas as pd
import pytest
import sweeps
from results import NightResult, Result, TrainingResult
from study import CONFIGS, read_study

ORIGIN = {
    "kind": "simulated",
    "modalities": ["ECG", "PPG"],
    "subjects": {"training": 4, "validation": 1, "test": 12},
    "hours": 8.5,
    "key": "k",
}


def make_results(study, kappas, n_seeds=3):
    """Make results whose kappas from the PPG are given by arm, and vary over subjects."""
    results = []
    for arm, kappa in kappas.items():
        for seed in range(n_seeds):
            nights = [
                NightResult(
                    cohort="B",
                    subject=f"s{i}",
                    subset=subset,
                    kappa=round(kappa + 0.01 * i + 0.001 * seed, 4),
                    accuracy=60.0,
                    confusion=[[6, 4], [0, 0]],
                )
                for i in range(12)
                for subset in study.arms[arm].subsets or ["PPG"]
            ]
            training = TrainingResult(
                cohorts=["B"],
                n_nights=4,
                cpu_s=60.0,
                passes=[{"pass": 1, "validation_loss": 1.0 + 0.1 * seed}],
            )
            drop = study.arms[arm].settings.get("masking", {}).get("drop", {})
            described = {
                "start": {"config": {"feature_dim": 32}},
                "trainings": [
                    {
                        "cohorts": {"B": ORIGIN},
                        "settings": {"crop": 120, "seed": seed, "masking": {"drop": drop}},
                        "trainable": ["classifier"],
                    }
                ],
                "evaluate": {"B": ORIGIN},
            }
            results.append(
                Result(
                    study="s",
                    arm=arm,
                    seed=seed,
                    key="k",
                    described=described,
                    scale="small",
                    n_parameters=1000,
                    n_bytes=2_000_000,
                    pretraining={},
                    trainings=[training],
                    nights=nights,
                    versions={"torch": "2"},
                )
            )
    return results


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
    assert "crop" not in different
    assert "| training.crop | 120 |" in page
    assert "seed |" not in page
    assert "1.100 (1.000 to 1.200)" in page
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


def change(result, **described):
    return result.model_copy(update={"described": {**result.described, **described}})


@pytest.mark.parametrize(
    ("differ", "message"),
    [
        (lambda r: r.model_copy(update={"scale": "full"}), "p07, seed 2, full .* Choose those"),
        (lambda r: change(r, evaluate={"B": {**ORIGIN, "key": "other"}}), "nights or settings"),
        (lambda r: change(r, evaluate={"B": ORIGIN, "C": ORIGIN}), "cannot be compared"),
        (lambda r: change(r, start={"config": {"feature_dim": 64}}), "cannot be compared"),
        (lambda r: change(r, start={"pretraining": {"n_steps": 1}}), "cannot be compared"),
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
    np.testing.assert_allclose(line.get_ydata(), np.array([0.5, 0.4, 0.3, 0.2, 0.1]) + 0.056)
    assert axes.get_xlabel() == study.x_label


def test_the_page_of_a_sweep_says_what_to_choose():
    study = read_study(CONFIGS / "ppg_masking.yaml")
    means = {"PPG": [0.4, 0.39, 0.3, 0.2, 0.1], "ECG": [0.1, 0.2, 0.3, 0.31, 0.4]}
    rows = [
        {"arm": arm, "subset": subset, "kappa": kappa}
        for subset, kappas in means.items()
        for arm, kappa in zip(study.arms, kappas, strict=True)
    ]
    text = sweeps.describe_choice(pd.DataFrame(rows), study)
    assert "from PPG: 0 has the highest mean kappa (0.400), 0.7 the lowest (0.100)" in text
    assert "within 0.02 of the highest: 0, 0.1\n" in text
    assert "will be staged: 0.3, with which none of them is more than 0.100 below" in text
    assert not sweeps.describe_choice(pd.DataFrame(rows), read_study(CONFIGS / "mixer.yaml"))


def test_costs_of_what_is_needed_together_are_added_up(tmp_path):
    study = read_study(CONFIGS / "unified.yaml")
    start = {"config": {"signals": {"ECG": "ECG"}}}
    results = [change(r, start=start) for r in make_results(study, dict.fromkeys(study.arms, 0.2))]
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
