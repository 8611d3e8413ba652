"""The wav2sleep network and its weights, with torch and without MNE.

In: z-scored signals on the network's grid. Out: stage logits per epoch. :func:`load_weights`
returns a network with its calibration and preprocessing, :func:`list_weights` lists published and
bundled weights, and an :class:`Engine` runs a network on a device.

    config     architecture and preprocessing
    model      the network, as in training; fast: the same numbers on a CPU, sooner, from layers
               in tiles, whose loops LLVM compiles from instructions
    weights    the values WeightsInfo and LoadedWeights; lineage: what they were fine-tuned from
    extend     weights for more stages or signals
    seen       the nights of training, by their hashes
    files      files of model folders, read within limits; info: what they say of weights
    state      files of tensors; networks built from them
    folder     model folders, written
    registry   the weights that have a name, described without torch; download: their cache
    load       weights by name or from a folder
    backends   devices, precision, Engine; forking: threads of forked processes
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
