from .agreement import plot_agreement

__all__ = ["plot_agreement"]
