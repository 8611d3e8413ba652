"""Opening recordings, choosing their channels and reading the samples.

In: a Raw or a file. Out: a :class:`Recording` with its start time, gaps and rates; a
:class:`Channel` for each modality; and the samples of these channels in order of time, with the
spans that were not measured.

    vocabulary   the words of labels; labels: what a label says; channels: the mapping
    readers      samples, rates, gaps and clock, by format; joins: where a recording was paused
    opening      a Raw or a file becomes a Recording
    reading      the mapped channels, and what of them was measured
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
