"""Opening recordings, choosing their channels and reading the samples.

In: a Raw or a file. Out: a :class:`Recording` with its start time, gaps and rates; a
:class:`Channel` for each modality; and the samples of these channels in order of time, with the
spans that were not measured.

    vocabulary   the words of labels; labels: what a label says; channels: the mapping
    readers      samples, rates, gaps and clock, by format; joins: where a recording was paused
    opening      a Raw or a file becomes a Recording
    reading      the mapped channels, and what of them was measured
"""

from .channels import Channel, match_channels
from .opening import Recording, open_recording

__all__ = ["Channel", "Recording", "match_channels", "open_recording"]
