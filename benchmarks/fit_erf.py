"""Find the coefficients of erf in network/kernels.py: python benchmarks/fit_erf.py.

erf(z) / z is fitted by a rational function of z², of degrees 6 and 4, for 0 < z < 3.8: least
squares, of which the weights grow where the error is large until it is about equal everywhere.
"""

import numpy as np
from numpy.polynomial import polynomial
from scipy.special import erf

END, N_P, N_Q = 3.8, 6, 4


def main() -> None:
    """Fit, and print the coefficients and the largest error."""
    u = (np.cos(np.pi * (np.arange(1200) + 0.5) / 1200) + 1) / 2 * END**2
    z = np.sqrt(u)
    target, scaled = erf(z) / z, u / END**2  # powers of large numbers would be ill-conditioned
    weights, q_u = np.ones_like(u), np.ones_like(u)
    best: tuple[float, np.ndarray, np.ndarray] = (np.inf, np.empty(0), np.empty(0))
    for _ in range(60):
        p_part = scaled[:, None] ** np.arange(N_P + 1)
        q_part = -target[:, None] * scaled[:, None] ** np.arange(1, N_Q + 1)
        w = z * weights / q_u
        found = np.linalg.lstsq(np.hstack([p_part, q_part]) * w[:, None], target * w, rcond=None)[0]
        p, q = found[: N_P + 1], np.r_[1, found[N_P + 1 :]]
        q_u = polynomial.polyval(scaled, q)
        error = np.abs(z * polynomial.polyval(scaled, p) / q_u - erf(z))
        if error.max() < best[0]:
            powers = END ** (2.0 * np.arange(N_P + 1))
            best = float(error.max()), p / powers, q / powers[: N_Q + 1]
        weights *= np.sqrt(error / error.max() + 0.02)
        weights /= weights.max()
    print(f"largest error {best[0]:.1e}; 1 - erf({END}) is {1 - erf(END):.1e}")
    print("P", *(f"{one:.9g}" for one in best[1]))
    print("Q", *(f"{one:.9g}" for one in best[2]))


if __name__ == "__main__":
    main()
