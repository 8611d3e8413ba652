"""Agreement with scorers: two hypnograms, or thousands of nights."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mne
import pandas as pd
from matplotlib.figure import Figure

from ...errors import FileWriteError, shorten
from ...output import check_output, write_whole
from ...reports import comparison as figures
from ...reports.html import write_report
from ...staging.epochs import write_table
from ...verbosity import check_option, pluralize
from .agreement import StatsAgreement


@dataclass(frozen=True)
class Comparison:
    """Agreement between a reference and what was staged.

    Attributes
    ----------
    reference, staged : str
        Names of the two scorers. The reference of several scorers is their consensus, or all of
        their names if no night has two scorers.
    pooled : pandas.DataFrame
        One row per ``metric`` of YASA (accuracy, balanced accuracy, precision and F1 in %, kappa
        and Matthews' correlation): ``value``, of all epochs of all nights together, with its
        interval (``low``, ``high``); and ``mean`` and ``std`` over ``subjects`` (the number of
        those that have the score), of the mean of a subject's nights, with the interval of the mean
        (``mean_low``, ``mean_high``). Kappa and the correlation are NaN, and a night does not count
        for their means, if both scorers gave one and the same stage.
    by_stage : pandas.DataFrame
        One row per ``stage``: ``epochs`` by the reference, and ``f1``, ``recall`` (sensitivity),
        ``precision``, ``specificity`` and ``npv`` in %, each with ``_low`` and ``_high``.
    by_night : pandas.DataFrame
        One row per ``night``: ``subject``, names of the files, the columns of ``by``, ``n_scored``
        (epochs with a stage by the reference), ``in_bed`` (epochs in bed that are compared, NA
        where lights off and on are not known; only if a cohort knows any), ``epochs`` (all that are
        compared),
        ``kappa``, ``accuracy`` (%) and the F1 (%) of each stage.
    by_subject : pandas.DataFrame
        One row per ``subject``: ``nights``, ``epochs``, and the mean of its nights.
    by_group : pandas.DataFrame
        One row per ``column`` of ``by`` and ``group``: ``nights``, ``subjects``, ``epochs``,
        ``kappa`` and ``accuracy`` of all epochs together with intervals, and the F1 of each stage.
    by_scorer : pandas.DataFrame
        The same for each pair of scorers: each ``reference`` with ``other``, which is what was
        staged or another reference.
    confusion : pandas.DataFrame
        Number of epochs of each stage by the reference (rows) and by the other scorer (columns).
    sleep_stats : pandas.DataFrame
        :meth:`yasa.SleepStatsAgreement.summary`: one row per sleep statistic, and columns such as
        ``bias_mean.center``, ``bias_mean.lower`` and ``loa_upper.center``.
    sleep_stats_by_night : pandas.DataFrame
        YASA's sleep statistics by ``scorer`` and ``night``, as :class:`yasa.SleepStatsAgreement`
        takes them, of epochs that have a stage by both, in bed if that is known.
    failed : pandas.DataFrame
        ``night``, ``reference`` (scorer) and ``reason`` of what could not be compared.
    cautions : tuple of str
        All warnings.
    """

    reference: str
    staged: str
    pooled: pd.DataFrame
    by_stage: pd.DataFrame
    by_night: pd.DataFrame
    by_subject: pd.DataFrame
    by_group: pd.DataFrame
    by_scorer: pd.DataFrame
    confusion: pd.DataFrame
    sleep_stats: pd.DataFrame
    sleep_stats_by_night: pd.DataFrame
    failed: pd.DataFrame
    cautions: tuple[str, ...] = ()
    _statistics: StatsAgreement = field(default=StatsAgreement(None), repr=False, compare=False)

    def __repr__(self) -> str:
        text = self.pooled[["value", "low", "high"]].round(3).to_string()
        n, people = len(self.by_night), len(self.by_subject)
        return (
            f"<Comparison | {self.staged} with {self.reference}, {n} night{pluralize(n)} of "
            f"{people} subject{pluralize(people)}\n{text}>"
        )

    @property
    def confusion_percent(self) -> pd.DataFrame:
        """The confusion matrix in % of the stages of the reference."""
        return 100 * self.confusion.div(self.confusion.sum(axis=1), axis=0)

    def plot_confusion(self, *, show: bool = True) -> Figure:
        """Plot the confusion matrix, in % of the stages of the reference, and epochs.

        Parameters
        ----------
        show : bool
            Whether to show the figure. If False, it is closed, and can still be saved.

        Returns
        -------
        figure : matplotlib.figure.Figure
            The figure.
        """
        names = self.reference, self.staged
        return figures.plot_confusion(self.confusion, names, self.pooled, show=show)

    def plot_by_subject(self, *, show: bool = True) -> Figure:
        """Plot kappa of each subject and night, and F1 of each stage.

        Parameters
        ----------
        show : bool
            Whether to show the figure. If False, it is closed, and can still be saved.

        Returns
        -------
        figure : matplotlib.figure.Figure
            The figure.
        """
        return figures.plot_by_subject(self.by_night, self.by_subject, self.pooled, show=show)

    def plot_bland_altman(
        self, sleep_stats: Sequence[str] | None = None, *, show: bool = True
    ) -> Figure:
        """Plot the differences of sleep statistics, their bias and limits of agreement.

        Parameters
        ----------
        sleep_stats : sequence of str or None
            YASA's names of the statistics; None for total sleep time, efficiency, latency, wake
            after sleep onset, and minutes of each stage.
        show : bool
            Whether to show the figure. If False, it is closed, and can still be saved.

        Returns
        -------
        figure : matplotlib.figure.Figure
            The figure, from :meth:`yasa.SleepStatsAgreement.plot_blandaltman`.

        Raises
        ------
        ValueError
            If there are fewer than two nights, or none in which the statistic differs.
        """
        agreement = self._statistics.agreement
        if agreement is None:
            raise ValueError(
                "There are no limits of agreement: they need at least two nights, and statistics "
                "that differ. See sleep_stats_by_night."
            )
        known = list(agreement.sleep_statistics)
        wanted = [*("TST", "SE", "SOL", "WASO"), *self.confusion.index[1:], "Lat_REM"][:8]
        chosen = [one for one in wanted if one in known] if sleep_stats is None else sleep_stats
        for name in chosen:
            check_option("sleep_stats", name, known)
        return figures.plot_bland_altman(
            agreement, list(chosen), self._statistics.ci_method, show=show
        )

    def report(self) -> mne.Report:
        """Make a report of the tables and figures, with the methods for a paper.

        Returns
        -------
        report : mne.Report
            For ``report.save("agreement.html")``.
        """
        return self._make_report(self._draw())

    def _make_report(self, drawn: dict[str, Figure]) -> mne.Report:
        """Make a report with figures that are drawn already."""
        return figures.make_comparison_report(
            (self.reference, self.staged),
            tables={name: getattr(self, name) for name in _TABLES}
            | {"sleep_stats_report": self._statistics.report()},
            figures=drawn,
            cautions=self.cautions,
        )

    def _draw(self) -> dict[str, Figure]:
        """Draw all figures."""
        drawn = {"confusion": self.plot_confusion(show=False)}
        drawn["by_subject"] = self.plot_by_subject(show=False)
        if self._statistics.agreement is not None:
            drawn["bland_altman"] = self.plot_bland_altman(show=False)
        return drawn

    def save(self, out_dir: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Save all tables (CSV), figures (PNG and PDF) and the report to a folder.

        Parameters
        ----------
        out_dir : str or Path
            The folder, which is created, in a folder that exists. It may be that of an earlier
            comparison, but not one with other files.
        overwrite : bool
            Whether existing files may be overwritten, and tables and figures that this comparison
            does not have removed. Each file is written atomically.

        Returns
        -------
        paths : list of Path
            The files.

        Raises
        ------
        FileExistsError
            If there is one of the files, and it may not be overwritten, or the folder is a file, or
            has other files.
        FileNotFoundError
            If there is no folder in which it can be created.
        OSError
            If the folder or a file cannot be written.
        """
        folder = make_folder(out_dir)
        tables = {name: getattr(self, name) for name in _TABLES}
        tables = {f"{name}.csv": table for name, table in tables.items() if len(table)}
        drawn = self._draw()
        pictures = [f"{name}.{kind}" for name in drawn for kind in _KINDS]
        paths = _check_files(folder, (*tables, *pictures, REPORT), overwrite=overwrite)
        for name in (*TABLE_FILES, *_PICTURES):
            if overwrite and name not in (*tables, *pictures):  # of an earlier comparison
                (folder / name).unlink(missing_ok=True)
        for name, table in tables.items():
            write_table(_flatten(table), folder / name, overwrite=overwrite)
        for name in pictures:
            with write_whole(folder / name, overwrite=overwrite) as unfinished:
                drawn[Path(name).stem].savefig(unfinished, dpi=200)
        write_report(self._make_report(drawn), folder / REPORT, overwrite=overwrite)
        return paths


_KINDS = ("png", "pdf")
_PICTURES = tuple(
    f"{name}.{kind}" for name in ("confusion", "by_subject", "bland_altman") for kind in _KINDS
)
"""Names of the files of figures, of which not all comparisons have the last."""
REPORT = "report.html"
"""Name of the file of the report."""
_TABLES = (
    *("pooled", "by_stage", "by_night", "by_subject", "by_group", "by_scorer", "confusion"),
    *("confusion_percent", "sleep_stats", "sleep_stats_by_night", "failed"),
)
"""Tables of a comparison, which are files of their names."""
TABLE_FILES = tuple(f"{name}.csv" for name in _TABLES)
"""Names of these files."""


def make_folder(out_dir: str | Path) -> Path:
    """Make a folder to write to.

    Parameters
    ----------
    out_dir : str or Path
        The folder, which may exist if it is empty, or of an earlier comparison.

    Returns
    -------
    folder : Path
        Its absolute path.

    Raises
    ------
    FileExistsError
        If it is a file, or has other files in it.
    FileNotFoundError
        If there is no folder in which it can be created.
    OSError
        If it cannot be created or read.
    """
    folder = Path(out_dir).expanduser().absolute()
    try:
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(
                f"{folder} is a file, not a folder to write tables to. Choose another name."
            )
        if not folder.parent.is_dir():
            raise FileNotFoundError(
                f"There is no folder {folder.parent} to write {folder.name} to. Choose another "
                "folder."
            )
        folder.mkdir(exist_ok=True)
        names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        if error.errno is None:  # of the errors above
            raise
        raise FileWriteError(
            error.errno, f"{folder} cannot be a folder ({error.strerror}). Choose another one."
        ) from error
    if names and TABLE_FILES[0] not in names:
        raise FileExistsError(
            f"{folder} has other files in it, such as {shorten(min(names))}, and is not of an "
            "earlier comparison. Choose a new folder."
        )
    return folder


def check_folder(out_dir: str | Path, *, overwrite: bool) -> Path:
    """Check that a comparison can be saved to a folder, before it is made.

    Parameters
    ----------
    out_dir : str or Path
        The folder, as :func:`make_folder` takes it, which makes it.
    overwrite : bool
        Whether existing files may be overwritten.

    Returns
    -------
    folder : Path
        Its absolute path.

    Raises
    ------
    FileExistsError, FileNotFoundError, OSError
        As :meth:`Comparison.save`, for any file that a comparison may have.
    """
    folder = make_folder(out_dir)
    _check_files(folder, (*TABLE_FILES, *_PICTURES, REPORT), overwrite=overwrite)
    return folder


def _check_files(folder: Path, names: Sequence[str], *, overwrite: bool) -> list[Path]:
    """Check that files of a folder can be written."""
    return [check_output(folder / name, overwrite=overwrite) for name in names]


def _flatten(table: pd.DataFrame) -> pd.DataFrame:
    """Give a table without an index that says something."""
    return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()
