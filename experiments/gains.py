"""What signals of a study's own add: arms that read them against the reference without them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import yaml
from differences import (
    collect_scores,
    compare_scores,
    describe_differences,
    find_seeds,
    format_difference,
    keep_common,
    spread_scores,
)
from results import Result
from study import Study

from mne_wav2sleep.training.card import format_table


def compare_gains(results: Sequence[Result], study: Study) -> pd.DataFrame:
    """Compare staging with added signals to that of the reference without them.

    Parameters
    ----------
    results : sequence of Result
        The results of a study.
    study : Study
        The study.

    Returns
    -------
    table : pandas.DataFrame
        A row for each arm and subset that has ``added`` signals and others: mean ``kappa`` of the
        arm from the subset, and of the reference ``without`` them, on the same nights with the same
        seeds; their ``difference`` with its interval, and what that shows (``claim``).
        Empty if the study adds none.
    """
    own = {one.name for one in study.modalities}
    seeds = find_seeds(results, study)
    scores = collect_scores(results)
    known = set(map(tuple, scores[["arm", "subset"]].drop_duplicates().to_numpy()))
    rows = []
    for arm in study.arms:
        for subset in study.subsets or sorted(set(scores["subset"])):
            names = subset.split("+")
            added = [name for name in names if name in own]
            rest = "+".join(name for name in names if name not in own)
            pairs = {"kappa": (arm, subset), "without": (study.reference, rest)}
            if not added or arm == study.reference or not set(pairs.values()) <= known:
                continue
            kappas = {
                key: spread_scores(scores[scores["subset"] == some], one, "kappa", seeds)
                for key, (one, some) in pairs.items()
            }
            values = {key: kappa.to_numpy() for key, kappa in keep_common(kappas).items()}
            rows.append(
                {"arm": arm, "added": " and ".join(added), "to": rest}
                | {key: value.mean() if value.size else np.nan for key, value in values.items()}
                | compare_scores(values["kappa"], values["without"])
                | {"subjects": values["kappa"].shape[1]}
            )
    return pd.DataFrame(rows)


def describe_gains(gains: pd.DataFrame, study: Study) -> list[str]:
    """Say what the intervals of the gains show.

    Parameters
    ----------
    gains : pandas.DataFrame
        From :func:`compare_gains`.
    study : Study
        The study.

    Returns
    -------
    sentences : list of str
        A sentence for each arm, added signals and kind of claim.
    """
    sentences: list[str] = []
    if gains.empty:
        return sentences
    reference = study.arms[study.reference].label
    for (arm, added), rows in gains.groupby(["arm", "added"], sort=False):
        without = "without them" if " and " in str(added) else "without it"
        place = f" {without}, staged from the same other signals:"
        start = f"**{study.arms[str(arm)].label}**: with {added},"
        texts = describe_differences(rows, "to", reference, place)
        sentences += [f"{start} {text}" for text in texts]
    return sentences


def format_gains(gains: pd.DataFrame, results: Sequence[Result], study: Study) -> str:
    """Format the section of a page on added signals.

    Parameters
    ----------
    gains : pandas.DataFrame
        From :func:`compare_gains`.
    results : sequence of Result
        The results of the study.
    study : Study
        The study.

    Returns
    -------
    text : str
        What each signal contributes, and how it was added; empty if the study adds none.
    """
    definitions = {
        one["name"]: one for r in results for one in r.described["start"].get("modalities", ())
    }
    if not definitions:
        return ""
    rows = [
        [
            row["added"],
            row["to"],
            study.arms[row["arm"]].label,
            f"{row['kappa']:.3f}",
            f"{row['without']:.3f}",
            format_difference(row),
            row["claim"],
            row["subjects"],
        ]
        for _, row in gains.iterrows()
    ]
    columns = ["added", "to", "arm", "kappa with", "kappa without", "difference (95% interval)"]
    text = yaml.safe_dump(
        {"modalities": list(definitions.values())},
        sort_keys=False,
        width=90,
        default_flow_style=None,
    )
    return f"""## What added signals contribute

{format_table([*columns, "which is", "subjects"], rows)}

"Without" is the arm "{study.arms[study.reference].label}", staged from the other signals alone.

## How they were added

As data, in the configuration of the study, without a change of the package (see
{{doc}}`../modalities`). Weights of these arms carry the definitions.

```yaml
{text}```

"""


def name_random_encoders(results: Sequence[Result]) -> str:
    """Say which encoders were not pretrained.

    Parameters
    ----------
    results : sequence of Result
        The results of a study whose encoders were pretrained.

    Returns
    -------
    text : str
        A sentence; empty if all were.
    """
    read = {e for r in results for e in r.described["start"]["config"].get("signals", {}).values()}
    random = sorted(read - set(results[0].pretraining["explained"]))
    if not random:
        return ""
    return (
        f" There is no pretraining for {' and '.join(random)}: these encoders began with random "
        "weights, which the seed varies as well, and were trained from the first step."
    )
