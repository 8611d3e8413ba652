"""Populations and subjects of simulated nights, and the effects of stages on them.

Stages are YASA's integers throughout the simulator: 0 WAKE, 1 N1, 2 N2, 3 N3, 4 REM, and -1 for
unscored epochs, which are treated as wake. Tables of stage effects are in this order.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Heart rate relative to N2 (bpm), mean and SD over subjects: between the MIT-BIH polysomnographic
# database (+4.3, +0.2, +2.0, +1.6; apnea patients) and Sleep-Accel (+4.1, +2.1, +1.4, +3.6;
# healthy). Movements and arousals, which are simulated separately, account for part of it.
_HEART_RATE = ((2.6, 0.7, 0.0, 1.7, 2.4), (3.2, 1.6, 0.0, 1.7, 2.6))
# Natural logarithm of the amplitude of the respiratory and of the LF modulation relative to N2, set
# to match the MIT-BIH polysomnographic database's RMSSD (-15, -1, 0, -9, +2 ms) and ln(LF/HF)
# (+0.55, +0.35, 0, -0.08, +0.75); N3's LF is lower, as in healthy sleepers (Bonnet & Arand 1997).
_RESPIRATORY = ((-0.50, -0.05, 0.0, -0.05, -0.10), (0.30, 0.15, 0.0, 0.20, 0.35))
_LF = ((-0.08, 0.12, 0.0, -0.20, 0.22), (0.25, 0.15, 0.0, 0.20, 0.25))
# SD of very slow changes of heart rate (bpm): highest in wake and REM, lowest in N3 (Vanoli 1995,
# Circulation 91:1918; Busek 2005, Physiol Res 54:369).
_VLF = (3.8, 2.2, 1.3, 0.8, 3.2)
# Breathing: rate relative to N2 (1/min), coefficient of variation of breath length, SD of
# ln(depth). It is most regular in N3, and least in REM and wake (Douglas 1982, Thorax 37:840;
# Gutierrez 2016, Physiol Rep 4:e12949; Rostig 2005, Sleep 28:411).
_BREATHING_RATE = ((0.6, 0.3, 0.0, 0.1, 0.9), (1.2, 0.6, 0.0, 0.7, 1.0))
_BREATH_LENGTH_CV = (0.20, 0.16, 0.11, 0.075, 0.165)
_BREATH_DEPTH_SD = (0.30, 0.23, 0.15, 0.10, 0.25)
# Share of the rib cage in a breath, relative to wake: it decreases in REM with the tone of the
# intercostal muscles (Tusiewicz 1977, J Appl Physiol 43:600).
_RIB_CAGE = (1.0, 1.05, 1.1, 1.1, 0.75)
# Arousals (Bonnet & Arand 2007, J Clin Sleep Med 3:271) and body movements (Wilde-Frenz & Schulz
# 1983, Perceptual and Motor Skills 56:275) per hour.
_AROUSALS = (6.0, 25.0, 14.0, 5.0, 14.0)
_MOVEMENTS = (40.0, 14.0, 4.0, 1.5, 6.0)


@dataclass(frozen=True)
class Population:
    """Distributions that subjects and sensors are drawn from.

    The defaults represent adults in a sleep laboratory. Use other values for another cohort, for
    example with :func:`dataclasses.replace`.

    Parameters
    ----------
    age : tuple of float
        Lowest and highest age in years; ages are uniformly distributed.
    heart_rate : tuple of float
        Mean and SD over subjects of the heart rate in N2, in bpm.
    rmssd : tuple of float
        Median in ms at 40 years, and SD of the logarithm, of the RMSSD in N2.
    breathing_rate : tuple of float
        Mean and SD over subjects of the breathing rate in N2, per minute.
    stage_effect : float
        Factor on all effects of stages on heart and breathing; with 0, only movements and arousals
        depend on the stage.
    wakefulness : float
        Factor on the number of awakenings.
    arousals, movement : float
        Factor on the number of arousals and body movements.
    noise : float
        Factor on the noise, wander and artifacts of all sensors.
    ecg_leads : tuple of str
        Leads to choose from: ``"II"``, ``"CM5"``, ``"V1"``.
    inverted : float
        Probability that a sensor's polarity is inverted.
    pulse_delay : tuple of float
        Mean and SD of the time from R peak to the pulse's foot, in s: about 0.22 s at a finger.
    pulse_damping : float
        Factor on the widths of the waves of a pulse; pulses are smoother above 1.
    mains : tuple of float
        Mains frequencies to choose from, in Hz.
    """

    age: tuple[float, float] = (20.0, 80.0)
    heart_rate: tuple[float, float] = (62.0, 8.0)
    rmssd: tuple[float, float] = (36.0, 0.45)
    breathing_rate: tuple[float, float] = (15.0, 2.0)
    stage_effect: float = 1.0
    wakefulness: float = 1.0
    arousals: float = 1.0
    movement: float = 1.0
    noise: float = 1.0
    ecg_leads: tuple[str, ...] = ("II", "II", "CM5", "V1")
    inverted: float = 0.15
    pulse_delay: tuple[float, float] = (0.22, 0.03)
    pulse_damping: float = 1.0
    mains: tuple[float, ...] = (50.0, 60.0)


OLDER_WEARABLE = Population(
    age=(65.0, 85.0),
    heart_rate=(66.0, 9.0),
    rmssd=(30.0, 0.5),
    breathing_rate=(16.5, 2.5),
    wakefulness=1.8,
    arousals=1.5,
    noise=2.0,
    ecg_leads=("V1", "CM5"),
    inverted=0.5,
    pulse_delay=(0.17, 0.03),
    pulse_damping=1.5,
)
"""A cohort unlike the default one: older subjects, whose age alone weakens the effects of stages,
and noisier sensors on wrist and chest. It is an example for fine-tuning and does not represent a
real cohort."""


@dataclass(frozen=True)
class Subject:
    """Properties of a subject during a night. Arrays have shape (5,), one value per stage.

    Attributes
    ----------
    age : float
        In years.
    heart_rate : float
        In N2, in bpm.
    heart_rate_trend : float
        Change of heart rate from the beginning to the end of the night, in bpm.
    rmssd : float
        In N2, in s.
    lf : float
        SD of the LF modulation over that of the respiratory one, in N2.
    breathing_rate : float
        In N2, per minute.
    stage_heart_rate : array
        Added to ``heart_rate``, in bpm.
    stage_respiratory, stage_lf : array
        Factors on the respiratory and the LF modulation of heart rate.
    stage_vlf : array
        SD of the very slow modulation, in bpm.
    stage_breathing_rate : array
        Added to ``breathing_rate``, per minute.
    stage_breath_length, stage_breath_depth : array
        Coefficient of variation of breath lengths, SD of the logarithm of breath depths.
    stage_rib_cage : array
        Share of the rib cage in a breath, 1 in wake.
    arousals, movements : array
        Per hour.
    arousal_heart_rate : float
        Peak of the rise of heart rate after a typical arousal, in bpm.
    wakefulness : float
        Factor on the number of awakenings.
    """

    age: float
    heart_rate: float
    heart_rate_trend: float
    rmssd: float
    lf: float
    breathing_rate: float
    stage_heart_rate: NDArray[np.float64]
    stage_respiratory: NDArray[np.float64]
    stage_lf: NDArray[np.float64]
    stage_vlf: NDArray[np.float64]
    stage_breathing_rate: NDArray[np.float64]
    stage_breath_length: NDArray[np.float64]
    stage_breath_depth: NDArray[np.float64]
    stage_rib_cage: NDArray[np.float64]
    arousals: NDArray[np.float64]
    movements: NDArray[np.float64]
    arousal_heart_rate: float
    wakefulness: float


def draw_subject(
    rng: np.random.Generator, *, population: Population | None = None, age: float | None = None
) -> Subject:
    """Draw a subject.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    population : Population, optional
        The population; by default ``Population()``.
    age : float, optional
        Age in years; drawn if not given.

    Returns
    -------
    subject : Subject
        The subject.

    Raises
    ------
    ValueError
        If the age is not from 15 to 110 years.

    Notes
    -----
    RMSSD decreases by 15% and the effects of stages by 4% with every decade after 40 (heart rate
    variability halves between 20 and 65 years: Umetani 1998, J Am Coll Cardiol 31:593).

    Examples
    --------
    >>> draw_subject(np.random.default_rng(0), age=70).age
    70.0
    """
    population = Population() if population is None else population
    # Drawn even if it is given, so that the other properties stay the same.
    drawn = float(rng.uniform(*population.age))
    age = drawn if age is None else float(age)
    if not 15 <= age <= 110:
        raise ValueError(
            f"age must be from 15 to 110 years, got {age:g}. Nights of adults are simulated."
        )
    decades = (age - 40) / 10
    effect = population.stage_effect * float(np.clip(1 - 0.04 * decades, 0.6, 1.1))

    def effects(mean: tuple[float, ...], sd: tuple[float, ...]) -> NDArray[np.float64]:
        return effect * (np.array(mean) + np.array(sd) * rng.standard_normal(5))

    def spread(table: tuple[float, ...], sd: float) -> NDArray[np.float64]:
        """Vary how much stages differ from N2."""
        ratio = np.log(np.array(table) / table[2]) + 0.1 * rng.standard_normal(5)
        return np.asarray(
            table[2] * np.exp(sd * rng.standard_normal() + effect * ratio * rng.uniform(0.4, 1.6))
        )

    median, log_sd = population.rmssd
    rmssd = median * np.exp(log_sd * rng.standard_normal() - 0.16 * decades)
    return Subject(
        age=age,
        heart_rate=float(np.clip(rng.normal(*population.heart_rate), 42, 95)),
        heart_rate_trend=float(rng.normal(-4.0, 3.5)),
        rmssd=float(np.clip(rmssd, 6, 140)) / 1000,
        lf=float(np.exp(0.35 * rng.standard_normal() - 0.05)),
        breathing_rate=float(np.clip(rng.normal(*population.breathing_rate), 9, 24)),
        stage_heart_rate=effects(*_HEART_RATE),
        stage_respiratory=np.exp(effects(*_RESPIRATORY)),
        stage_lf=np.exp(effects(*_LF)),
        stage_vlf=spread(_VLF, 0.3),
        stage_breathing_rate=effects(*_BREATHING_RATE),
        stage_breath_length=spread(_BREATH_LENGTH_CV, 0.25),
        stage_breath_depth=spread(_BREATH_DEPTH_SD, 0.25),
        stage_rib_cage=np.array(_RIB_CAGE) ** (effect * rng.uniform(0.0, 1.5)),
        arousals=population.arousals
        * np.array(_AROUSALS)
        * np.exp(0.4 * rng.standard_normal() + 0.05 * decades),
        movements=population.movement * np.array(_MOVEMENTS) * np.exp(0.5 * rng.standard_normal(5)),
        arousal_heart_rate=float(np.clip(rng.normal(9.0, 3.0) - 0.8 * decades, 2, 18)),
        wakefulness=population.wakefulness
        * float(np.exp(0.4 * rng.standard_normal() + 0.12 * decades)),
    )
