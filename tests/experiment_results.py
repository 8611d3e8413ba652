"""Results of experiments, made by hand."""

import numpy as np
from results import NightResult, Result, TrainingResult

ORIGIN = {
    "kind": "simulated",
    "modalities": ["ABD", "ECG", "PPG", "THX"],
    "subjects": {"training": 4, "validation": 3, "test": 12},
    "key": "k",
}


def make_result(study, arm, seed, means, trainings=None, cohort="B", noise=0.01, **values):
    """Make a result whose nights vary together, with a mean kappa from each subset."""
    rng = np.random.default_rng(0)
    nights = [
        NightResult(
            cohort=cohort,
            subject=f"{cohort}{i:03d}",
            subset=subset,
            kappa=round(mean + 0.01 * i + noise * rng.standard_normal(), 4),
            accuracy=60.0,
            confusion=[[6, 4], [0, 0]],
        )
        for i in range(12)
        for subset, mean in means.items()
    ]
    chosen = study.arms[arm]
    settings = chosen.settings | {"seed": seed}
    signals = chosen.network.get("signals", dict.fromkeys(ORIGIN["modalities"]))
    trained = {"cohorts": {cohort: ORIGIN}, "settings": settings, "trainable": ["classifier"]}
    made = {
        "study": "s",
        "arm": arm,
        "seed": seed,
        "key": "k",
        "described": {
            "start": {"config": {"signals": signals}},
            "trainings": [trained],
            "evaluate": {cohort: ORIGIN},
        },
        "scale": "small",
        "n_parameters": 1000,
        "n_bytes": 2_000_000,
        "pretraining": {},
        "trainings": trainings or [make_training([{"validation_loss": 1.0}])],
        "nights": nights,
        "versions": {"torch": "2"},
    }
    return Result(**made | values)


def describe_again(result, **described):
    """Change what a result depends on."""
    return result.model_copy(update={"described": result.described | described})


def make_training(passes):
    """Make a training run, each pass of which takes a CPU minute."""
    return TrainingResult(cohorts=["B"], n_nights=4, cpu_s=60.0 * len(passes), passes=passes)
