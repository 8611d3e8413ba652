"""Figures of a night, agreement with a scorer, and a report in HTML.

In: hypnograms, and the tables and results of staging. Out: matplotlib figures, and an
:class:`mne.Report`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
