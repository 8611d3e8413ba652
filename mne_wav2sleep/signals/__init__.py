"""Validity, beats, quality and preprocessing of signals, without torch.

In: the samples of a channel as recorded, with their sampling rate. Out: whether each sample and
epoch was measured (:class:`Validity`, :class:`Reason`), heart beats and breaths, signal quality,
and the padded, z-scored arrays that the network reads.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
