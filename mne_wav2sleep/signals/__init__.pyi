from .validity import Reason, Signal, Validity

__all__ = ["Reason", "Signal", "Validity"]
