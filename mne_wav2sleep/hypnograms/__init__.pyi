from .aligning import align_hypnogram
from .reading import read_hypnogram
from .writing import write_hypnogram

__all__ = ["align_hypnogram", "read_hypnogram", "write_hypnogram"]
