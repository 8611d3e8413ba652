"""Run a study of the paper: python experiments/run.py STUDY --out DIR.

Cohorts are prepared, and each arm is trained for each seed and evaluated on nights of other
subjects. Each run has a result of a few hundred kB, and is not done again; run the same command
again to resume. Table (CSV), figure (PNG) and page (Markdown) are made from the results alone, also
with --report. Studies are described in experiments/configs, and docs/experiments/index.md.
"""

import argparse
import logging
import sys
from pathlib import Path

import joblib
import mne
from arms import Place, make_start, run_arm
from ectopic import read_ectopic_ecg
from length_pages import write_lengths
from lengths import collect_lengths, measure_lengths
from nights import assign_stages, prepare_cohorts, read_stages
from pages import write_page
from results import FOLDER, Result, ResultStore, is_comparable
from rhythm_pages import describe_left_out
from rhythms import run_rhythm
from scales import SCALES, Scale, check_study, read_scale
from study import CONFIGS, Study, read_study

from mne_wav2sleep.progress import is_live, show_bars
from mne_wav2sleep.verbosity import logger

_DOCS = Path(__file__).parents[1] / "docs" / "experiments"


def _list(folder: Path) -> list[str]:
    """List configurations."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def _split_table(text: str) -> tuple[str, Path]:
    """Split NAME=TABLE."""
    name, equals, table = text.partition("=")
    if not (name and equals and table):
        raise argparse.ArgumentTypeError(f"takes NAME=TABLE, such as A=nights.csv, got {text!r}")
    return name, Path(table).expanduser()


def _make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=_list(CONFIGS), metavar="STUDY", help="its name")
    parser.add_argument("--out", type=Path, help="folder of nights, runs, results and pages")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--scale", choices=_list(SCALES), help="size of all (default: small)")
    parser.add_argument("--quick", action="store_true", help="the same as --scale quick")
    parser.add_argument("--hypnograms", type=Path, metavar="DIR", help="stages of simulated nights")
    parser.add_argument(
        "--cohort",
        type=_split_table,
        action="append",
        default=[],
        metavar="NAME=TABLE",
        help="recorded nights in place of a simulated cohort; can be repeated",
    )
    parser.add_argument(
        "--ectopic-ecg",
        type=Path,
        metavar="FILE.npz",
        help="a recorded ECG with ectopic beats (rhythm): ecg_mv in mV, sfreq in Hz",
    )
    parser.add_argument("--jobs", type=int, default=1, help="nights, and seeds, in parallel")
    parser.add_argument("--results", type=Path, help="folder of results (default: OUT/results)")
    parser.add_argument("--pages", type=Path, help="folder of pages (default: one in OUT/pages)")
    parser.add_argument(
        "--report", action="store_true", help="only write the page, from results with the code"
    )
    parser.add_argument(
        "--measure", action="store_true", help="only measure time and memory by length"
    )
    return parser


def _run_seed(place: Place, seed: int) -> list[Result]:
    """Run all arms with a seed; runs that arms share are done once."""
    mne.set_log_level("info")  # in each process
    results = []
    with show_bars(is_live()):
        for arm in place.study.arms:
            result = (run_arm if place.study.weights is None else run_rhythm)(place, arm, seed)
            logger.info(f"{place.name}, {arm}, seed {seed}: {result.cpu_s:.0f} s of training.")
            results.append(result)
    return results


def run_study(options: argparse.Namespace, study: Study, scale: Scale) -> list[Result]:
    """Run a study.

    Parameters
    ----------
    options : argparse.Namespace
        The options of the command.
    study : Study
        The study.
    scale : Scale
        The scale.

    Returns
    -------
    results : list of Result
        Its results, and those of other seeds that can be compared with them.
    """
    check_study(study, scale)
    tables = dict(options.cohort)
    if tables and study.weights is not None:
        raise ValueError("The study is of simulated rhythms. Leave out --cohort.")
    if unknown := sorted(set(tables) - set(study.all_cohorts)):
        raise ValueError(
            f"--cohort names {unknown[0]}, but the study has {', '.join(study.all_cohorts)}. Name "
            "one of them."
        )
    ectopic_ecg = None
    if options.ectopic_ecg is not None:
        if not study.recorded:
            raise ValueError(
                "--ectopic-ecg is for a study with arms that need it, such as rhythm. Leave it out."
            )
        ectopic_ecg = read_ectopic_ecg(options.ectopic_ecg.expanduser())
    elif study.recorded:
        logger.info(describe_left_out(study))
        study = study.leave_out_recorded()
    out = options.out.expanduser().absolute()
    store = ResultStore(options.results or out / "results")
    store.read_all()  # a damaged one is named before hours of work
    stages = None
    if options.hypnograms is not None:
        stages = assign_stages(scale, read_stages(options.hypnograms))
    cohorts = {}
    if study.weights is None:
        with show_bars(is_live()):
            names = study.all_cohorts
            cohorts = prepare_cohorts(names, scale, tables, stages, out / "nights", options.jobs)
    base = options.study, study, options.scale, scale, cohorts, out, store
    place = Place(*base, stages, ectopic_ecg)
    n_jobs = min(options.jobs, options.seeds)
    if n_jobs > 1 and study.weights is None:  # encoders are pretrained once, not by each process
        for arm in study.arms.values():
            make_start(scale.make_config(arm), scale, 0, out)
    tasks = [joblib.delayed(_run_seed)(place, seed) for seed in range(options.seeds)]
    made = [result for results in joblib.Parallel(n_jobs)(tasks) for result in results]
    known = store.read(options.study, options.scale)
    return [one for one in known if all(is_comparable(one, other) for other in made)]


def _measure(options: argparse.Namespace, study: Study) -> Path:
    """Measure time and memory by length, if the study asks for it; give the folder of results."""
    folder = options.results or options.out.expanduser().absolute() / "results"
    if study.lengths is not None:
        scale = read_scale(SCALES / f"{options.scale}.yaml")
        check_study(study, scale)
        measure_lengths(folder, options.study, study, scale)
    elif options.measure:
        raise ValueError(
            f"The study {options.study} has no lengths to measure. Leave out --measure."
        )
    return folder


def _name_pages(options: argparse.Namespace) -> str:
    """Name the folder of pages by what they are about, so that they do not replace others."""
    simulated = "simulated" if options.hypnograms is None else "hypnograms"
    return f"{options.scale}-{'recorded' if options.cohort else simulated}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list of str or None
        The arguments; None for those of the process.

    Returns
    -------
    code : int
        0, or 2 if it cannot be run; a sentence on stderr says why.
    """
    parser = _make_parser()
    options = parser.parse_args(arguments)
    options.scale = "quick" if options.quick else options.scale
    if options.scale is None and not options.report:
        options.scale = "small"
    if options.out is None and not options.report:
        parser.error("--out is needed: a folder for nights, runs, results and pages.")
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs must be 1 or more.")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    try:
        study = read_study(CONFIGS / f"{options.study}.yaml")
        if options.report:
            store = ResultStore(options.results or FOLDER)
            results = store.read(options.study, options.scale)
            folder, pages = store.folder, options.pages or _DOCS
        elif options.measure:
            print(_measure(options, study))
            return 0
        else:
            results = run_study(options, study, read_scale(SCALES / f"{options.scale}.yaml"))
            folder = _measure(options, study)
            pages = options.pages or options.out / "pages" / _name_pages(options)
        measured = collect_lengths(folder, options.study, study, results)
        more = write_lengths(options.study, measured, study, pages)
        page = write_page(options.study, results, study, pages, more)
    except (ValueError, OSError, RuntimeError) as error:  # the last, of runs in use elsewhere
        print(error, file=sys.stderr)
        return 2
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
