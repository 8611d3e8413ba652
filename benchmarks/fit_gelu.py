"""Find the coefficients of GELU in network/instructions.py: python benchmarks/fit_gelu.py.

GELU is x F(x), where F is the standard normal distribution function. (F(x) - 1/2) / x is fitted by
a polynomial in t = 2 x² / END² - 1 for 0 < x < END: least squares, of which the weights grow where
the error of F is large until it is about equal everywhere.
"""

import numpy as np
from numpy.polynomial import chebyshev
from scipy.special import ndtr

END, DEGREE = 5.2, 13


def main() -> None:
    """Fit, and print the coefficients and the largest errors."""
    t = np.cos(np.pi * (np.arange(4000) + 0.5) / 4000)
    x = END * np.sqrt((t + 1) / 2)
    target, powers = (ndtr(x) - 0.5) / x, chebyshev.chebvander(t, DEGREE)
    weights = np.ones_like(t)
    best: tuple[float, np.ndarray] = (np.inf, np.empty(0))
    for _ in range(100):
        w = x * np.sqrt(weights)
        found = np.linalg.lstsq(powers * w[:, None], target * w, rcond=None)[0]
        error = np.abs(powers @ found - target) * x
        if error.max() < best[0]:
            best = float(error.max()), chebyshev.cheb2poly(found)
        weights *= error / error.max() + 0.01
        weights /= weights.max()
    print(f"largest error of F {best[0]:.1e}; 1 - F({END}) is {ndtr(-END):.1e}")
    print("coefficients of 1, t, t², ...:", *(f"{one:.9g}" for one in best[1]))


if __name__ == "__main__":
    main()
