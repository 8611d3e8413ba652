"""Figures of a night, agreement with a scorer, and a report in HTML.

In: hypnograms, and the tables and results of staging. Out: matplotlib figures, and an
:class:`mne.Report`.
"""

from .agreement import plot_agreement

__all__ = ["plot_agreement"]
