"""Many nights: stage them, compare them with scorers, prepare, evaluate and calibrate.

In: recordings, with their stages if they are scored (:class:`Night`), from a folder, a table or
BIDS. Out: a table and a hypnogram for each night (:class:`Cohort`), agreement with scorers
(:class:`Comparison`, :class:`Evaluation`), nights on the network's grid (:class:`PreparedNight`),
and calibrations. Without Lightning.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
