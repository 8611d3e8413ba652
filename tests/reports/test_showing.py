"""Figures that are not shown do not stay open in pyplot."""

from contextlib import contextmanager

import matplotlib.pyplot as plt
from builders import START, make_hypnogram, make_raw, toy_recordings

from mne_wav2sleep import SleepStagerW2S, plot_agreement

pytestmark = toy_recordings


@contextmanager
def no_new_figures(n_left=0):
    """Check how many figures pyplot holds after a block, beyond those before it."""
    before = len(plt.get_fignums())
    yield
    left = len(plt.get_fignums()) - before
    plt.close("all")
    assert left == n_left


def test_figures_that_are_not_shown_are_closed(small_folder):
    stager = SleepStagerW2S(make_raw(start=START), weights=small_folder, verbose="error")
    reference = make_hypnogram(120, start=START)
    plots = [
        stager.plot,
        lambda **kwargs: stager.plot_signals(60, **kwargs),
        lambda **kwargs: stager.audit().plot(**kwargs),
        lambda **kwargs: plot_agreement(reference, stager.predict(), **kwargs),
    ]
    for plot in plots:
        with no_new_figures():
            assert isinstance(plot(show=False), plt.Figure)
        with no_new_figures(1):  # pyplot keeps what it shows
            plot()
    with no_new_figures():
        stager.report()
    # The user's own figure is left to the user.
    figure, ax = plt.subplots()
    assert stager.audit().plot(ax=ax, show=False) is figure
    assert plt.fignum_exists(figure.number)
    plt.close(figure)
