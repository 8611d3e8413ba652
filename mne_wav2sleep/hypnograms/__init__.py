"""Hypnograms: reading, aligning and writing them, their sleep statistics, and agreement.

In: scored stages from files and annotations, or the network's logits. Out:
:class:`yasa.Hypnogram` objects with probabilities and a start time, files and annotations, sleep
statistics with intervals, and agreement.

    vocabulary     words for stages; names: what a label means
    reading        a file or annotations, by tables, annotations, xml, json, wsc; files: limits
    events         events become epochs; placing: where they are in a recording
    aligning       on the epochs of another hypnogram; annotating: into a Raw; writing: to files
    lights         the time in bed, from annotations or clock_times that users give
    periods        sleep periods of days; folding: to fewer stages
    probabilities  from logits; statistics: with intervals; agreement: of hypnograms
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
