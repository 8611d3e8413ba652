"""Signs of failed training: in which arms they are raised, and whether that is as expected."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from results import Result
from study import SIGNS, Study, make

from mne_wav2sleep.network.files import MAX_TEXT_BYTES, read_file
from mne_wav2sleep.training import Masking
from mne_wav2sleep.training.card import format_number, format_table
from mne_wav2sleep.training.signatures import (
    FEWEST_SUBJECTS,
    NOTHING,
    SEEDS,
    TOGETHER,
    Sign,
    average_kappa,
    find_signatures,
    find_unstable,
)

_NIGHTS = "test nights"
_MARK = "> **Warning:** "
"""What begins a warning in a model card."""


def read_signs(folder: Path) -> list[str]:
    """Read the signs that training reported, from the model card.

    Parameters
    ----------
    folder : Path
        The model folder of weights without a warning of their own.

    Returns
    -------
    signs : list of str
        The warnings.
    """
    lines = read_file(folder / "README.md", MAX_TEXT_BYTES).decode().splitlines()
    return [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]


def tabulate_scores(result: Result) -> pd.DataFrame:
    """Tabulate the kappas of a run as training does those of the validation nights.

    Parameters
    ----------
    result : Result
        The run.

    Returns
    -------
    scores : pandas.DataFrame
        A row for each night and subset: ``dataset``, ``subject``, ``night``, ``subset``, ``kappa``.
    """
    rows = [
        night.model_dump(include={"cohort", "subject", "subset", "kappa"})
        for night in result.nights
    ]
    table = pd.DataFrame(rows).astype({"kappa": float}).rename(columns={"cohort": "dataset"})
    keys = ["dataset", "subject"]
    number = table.groupby([*keys, "subset"]).cumcount()  # of several nights of a subject
    return table.assign(night=table.groupby([*keys, number]).ngroup())


def find_signs(results: Sequence[Result], arm: str) -> dict[str, dict[int, Sign]]:
    """Find the signs of an arm in its test nights, with the functions that training uses.

    Parameters
    ----------
    results : sequence of Result
        The results of a study.
    arm : str
        The arm.

    Returns
    -------
    signs : dict of str to dict of int to Sign
        Name -> the sign of each seed that has it; of seeds that disagree, of the first one.
    """
    found: dict[str, dict[int, Sign]] = {}
    kappas: dict[str, float] = {}
    some = sorted((one for one in results if one.arm == arm), key=lambda one: one.seed)
    for one in some:
        scores = tabulate_scores(one)
        settings = one.described["trainings"][-1]["settings"]
        for sign in find_signatures(scores, make(Masking, settings["masking"], "masking"), _NIGHTS):
            found.setdefault(sign.name, {})[one.seed] = sign
        if scores["subject"].nunique() >= FEWEST_SUBJECTS:
            kappas[f"seed {one.seed}"] = average_kappa(scores)
    found |= {sign.name: {some[0].seed: sign} for sign in find_unstable(kappas, _NIGHTS)}
    return found


def _claim(label: str, name: str, n_raised: int, n_all: int, *, is_expected: bool) -> str:
    """Say whether a sign was raised where it should be."""
    runs = "over the seeds" if name == SEEDS else f"in {n_raised} of {n_all} seeds"
    text = f"**{label}**: the sign “{name}” was **{'raised' if n_raised else 'not raised'}**"
    text += f" {runs}" if n_raised else ""
    if n_raised == n_all and is_expected:
        return f"{text}, as expected."
    if n_raised and is_expected:
        return f"{text}, although all seeds were expected to have it."
    return f"{text}, although {'it was made to have it' if is_expected else 'it was not expected'}."


def describe_signs(results: Sequence[Result], study: Study) -> tuple[str, str]:
    """Describe which signs of failed training the arms have, and which they should have.

    Parameters
    ----------
    results : sequence of Result
        The results of a study.
    study : Study
        The study, whose arms say which signs they are made to have.

    Returns
    -------
    claims : str
        A list of where signs were raised, and whether that is as expected: the answer of the page.
    section : str
        A section of the page. Both are empty if the study is not about signs.
    """
    if all(arm.expects is None for arm in study.arms.values()):
        return "", ""
    every = {name: find_signs(results, name) for name in study.arms}
    rows, claims, texts = [], [], []
    for arm_name, arm in study.arms.items():
        found, expected = every[arm_name], arm.expects or []
        n_seeds = sum(one.arm == arm_name for one in results)
        cells, as_expected = [], True
        for name in SIGNS:
            n_raised, n_all = len(found.get(name, ())), 1 if name == SEEDS else n_seeds
            is_expected = name in expected
            as_expected &= n_raised == (n_all if is_expected else 0)
            share = ("yes" if n_raised else "no") if name == SEEDS else f"{n_raised} of {n_all}"
            cells.append(f"**{share}**" if is_expected else share if n_raised else "")
            if n_raised or is_expected:
                claims.append(_claim(arm.label, name, n_raised, n_all, is_expected=is_expected))
        if not (found or expected):
            claims.append(f"**{arm.label}**: **no sign** was raised, as expected.")
        rows.append([arm.label, *cells, "yes" if as_expected else "**no**"])
        for signs in found.values():
            seed, sign = next(iter(signs.items()))
            which = "" if sign.name == SEEDS else f", seed {seed}"
            texts.append(f"- **{arm.label}**{which}: {sign.text}")
    found_texts = "\n".join(texts) or "- None."
    section = f"""## Signs

{format_table(["arm", *SIGNS, "as expected"], rows)}

In how many of the seeds each sign was raised on the test nights; bold where the arm was made to \
have it, empty where it was neither expected nor raised. Signs are found by the same functions \
that training applies to its validation nights. What they say, of the first seed that has them:

{found_texts}

{_describe_missed(results, study, every)}
{_describe_spread(results, study)}

{_describe_reported(results, study)}

"""
    return "\n".join(f"- {claim}" for claim in claims), section


def _describe_missed(
    results: Sequence[Result], study: Study, found: Mapping[str, Mapping[str, Mapping[int, Sign]]]
) -> str:
    """Describe the kappas of seeds in which an expected sign was not raised."""
    lines = []
    for arm, settings in study.arms.items():
        runs = [one for one in results if one.arm == arm]
        for name in settings.expects or ():
            if name in (SEEDS, NOTHING):
                continue
            lines += [
                f"- **{settings.label}**, seed {one.seed}, “{name}”: {_compare_means(one, name)}."
                for one in sorted(runs, key=lambda one: one.seed)
                if one.seed not in found[arm].get(name, {})
            ]
    if not lines:
        return ""
    texts = "\n".join(lines)
    return f"Mean kappas where a sign was expected and not raised:\n\n{texts}\n"


def _compare_means(result: Result, name: str) -> str:
    """Compare the mean kappas that a sign is about, in each cohort."""
    scores = tabulate_scores(result)
    texts = []
    for cohort, means in scores.groupby(["dataset", "subset"])["kappa"].mean().groupby("dataset"):
        kappas = means.droplevel("dataset")
        alone = kappas[~kappas.index.str.contains("+", regex=False)]
        if name == TOGETHER:
            every = kappas[max(kappas.index, key=lambda subset: subset.count("+"))]
            versus = f"all signals {every:.2f}, {alone.idxmax()} alone {alone.max():.2f}"
        else:
            signal = name.removesuffix(" alone")
            if signal not in alone:
                continue
            rest = alone.drop(signal).mean()
            versus = f"{signal} alone {alone[signal]:.2f}, the other signals alone {rest:.2f}"
        texts.append(f"{versus} on {cohort}")
    return "; ".join(texts)


def _describe_spread(results: Sequence[Result], study: Study) -> str:
    """Describe how much the seeds of each arm disagree."""
    seeds = sorted({one.seed for one in results})
    rows = []
    for name, arm in study.arms.items():
        runs = {one.seed: one for one in results if one.arm == name}
        kappas = [average_kappa(tabulate_scores(runs[seed])) for seed in seeds]
        spread = float(np.std(kappas, ddof=1)) if len(kappas) > 1 else np.nan
        rows.append([arm.label, *(format_number(k, 3) for k in [*kappas, spread])])
    columns = ["arm", *(f"seed {seed}" for seed in seeds), "SD of seeds"]
    return (
        f"Mean kappa of the test nights from all of their signals:\n\n{format_table(columns, rows)}"
    )


def _describe_reported(results: Sequence[Result], study: Study) -> str:
    """Describe what training itself reported, of its few validation nights."""
    rows, texts = [], []
    for name, arm in study.arms.items():
        some = [one for one in results if one.arm == name and one.signs is not None]
        with_signs = [one for one in some if one.signs]
        rows.append([arm.label, f"{len(with_signs)} of {len(some)}" if some else ""])
        texts += [
            f"- **{arm.label}**, seed {one.seed}: {sign}"
            for one in some
            for sign in one.signs or ()
        ]
    counts = {
        cohort: origin["subjects"]["validation"]
        for one in results
        for training in one.described["trainings"]
        for cohort, origin in training["cohorts"].items()
    }
    validated = ", ".join(f"{n} of {cohort}" for cohort, n in sorted(counts.items()))
    reported = "\n\n" + "\n".join(texts) if texts else ""
    return f"""Training itself reports signs on its validation nights, which are of few people \
here ({validated}): of fewer than {FEWEST_SUBJECTS}, it reports none, and all signals together are \
compared with one of them in each cohort. It compares seeds only if they start from the same \
weights; here, each seed has its own.

{format_table(["arm", "runs whose training reported a sign"], rows)}

Cells are empty where that was not kept.{reported}"""
