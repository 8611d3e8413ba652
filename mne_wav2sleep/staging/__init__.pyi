from .audit import Audit
from .result import StagingResult

__all__ = ["Audit", "StagingResult"]
