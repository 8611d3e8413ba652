"""Hypnograms: reading, aligning and writing them, their sleep statistics, and agreement.

In: scored stages from files and annotations, or the network's logits. Out:
:class:`yasa.Hypnogram` objects with probabilities and a start time, files and annotations, sleep
statistics with intervals, and agreement.

    vocabulary     words for stages; names: what a label means
    reading        a file or annotations, by tables, annotations, xml, json; files: limits, decoding
    events         events become epochs; placing: where they are in a recording
    aligning       on the epochs of another hypnogram; annotating: into a Raw; writing: to files
    probabilities  from logits; statistics: with intervals; agreement: of hypnograms
"""

from .aligning import align_hypnogram
from .reading import read_hypnogram
from .writing import write_hypnogram

__all__ = ["align_hypnogram", "read_hypnogram", "write_hypnogram"]
