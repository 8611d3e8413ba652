"""Constants: the modalities that wav2sleep reads, the epoch, and the names of the stages."""

from dataclasses import dataclass

EPOCH_S = 30.0
"""Duration of an epoch in seconds (AASM scoring manual)."""

STAGE_NAMES: dict[int, tuple[str, ...]] = {
    4: ("WAKE", "LIGHT", "DEEP", "REM"),
    5: ("WAKE", "N1", "N2", "N3", "REM"),
}
"""Number of stages -> YASA's names of the stages, in the order of the network's outputs."""

PRECISIONS = ("float32", "bfloat16", "float16")
"""Types of numbers in which networks are run; torch's names."""


@dataclass(frozen=True)
class Modality:
    """A kind of signal for which networks have an encoder.

    Attributes
    ----------
    name : str
        Name in published configs and weights, such as ``"ECG"``.
    description : str
        Description for messages.
    samples_per_epoch : int
        Number of samples per 30-s epoch on the network's grid (arXiv 2411.04644, section 3).
    lowest_sfreq : float
        Lowest sampling rate, in Hz, at which the waveform can be recognized: twice the highest
        frequency that it requires, which is 15 Hz for QRS complexes, 5 Hz for pulses and eye
        movements, and 1 Hz for breaths.
    """

    name: str
    description: str
    samples_per_epoch: int
    lowest_sfreq: float


MODALITIES: dict[str, Modality] = {
    modality.name: modality
    for modality in (
        Modality("ABD", "abdominal respiratory effort", 256, 2.0),
        Modality("ECG", "electrocardiogram", 1024, 30.0),
        Modality("EOG-L", "left electro-oculogram", 4096, 10.0),
        Modality("EOG-R", "right electro-oculogram", 4096, 10.0),
        Modality("PPG", "photoplethysmogram (pulse waveform)", 1024, 10.0),
        Modality("THX", "thoracic respiratory effort", 256, 2.0),
    )
}

CARDIO_RESPIRATORY = ("ABD", "ECG", "PPG", "THX")
"""The modalities of the released weights."""
