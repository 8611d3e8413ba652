"""A recording through all steps, window by window.

In: an opened recording, its mapping, and loaded weights. Out: a frozen :class:`StagingResult` with
probabilities, availability and provenance. From it, every subset of the modalities can be staged
without running an encoder again, and compared (:class:`Audit`).
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
