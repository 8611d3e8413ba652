"""Many nights: prepare them once, evaluate weights on them, calibrate weights. Without Lightning.

In: recordings with their stages (:class:`Night`), from Python or a table. Out: nights on the
network's grid (:class:`PreparedNight`), agreement for each subset of the signals
(:class:`Evaluation`) or of hypnograms with scorers (:class:`Comparison`), and calibrations.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
