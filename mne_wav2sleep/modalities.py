"""The signals that wav2sleep knows, and the words with which recordings label them.

Everything here is data. :mod:`mne_wav2sleep.recordings.channels` reads a label as a whole: it belongs to a
modality if one of its words names that modality and every other word may stand beside the name.
A word that is not listed, and so an unknown label, is never taken. Words are in the normal form
of :func:`mne_wav2sleep.recordings.channels.normalize_label`: lower case, no accents, single spaces.

The words are those of SHHS, MESA, CFS, CCSHS, CHAT, MrOS, SOF, WSC, HeartBEAT, ABC, HomePAP, MNC,
NCHSDB, STAGES, HSP, CAP, UCDDB, HMC, DREAMT, MASS, BOAS, CPS, PhysioNet 2018, Apnea-ECG and slpdb,
of Nox, Alice, Embla, Compumedics, SOMNO, Natus, Nonin, Masimo, Polar and Empatica, and of English,
German, French, Spanish, Italian, Portuguese and Dutch.
"""

from dataclasses import dataclass

EPOCH_S = 30.0
"""Duration of an epoch in seconds (AASM scoring manual)."""

N_EPOCHS_TRAINED = 1200
"""Epochs, 10 h, to which every night was padded when the released weights were trained."""


@dataclass(frozen=True)
class Modality:
    """One kind of signal that the network has an encoder for.

    Attributes
    ----------
    name : str
        The name in published configs and weights, e.g. ``"ECG"``.
    description : str
        What it is, for people.
    samples_per_epoch : int
        Samples per 30-s epoch on the network's grid (arXiv 2411.04644, section 3).
    lowest_sfreq : float
        Rate in Hz below which the waveform cannot be seen: twice the highest frequency that it
        needs, 15 Hz for QRS complexes, 5 Hz for pulses, 1 Hz for breaths, 5 Hz for eye movements.
    mne_types : tuple of str
        MNE channel types that a channel of this modality may have. A type that no other modality
        has says by itself that a channel carries this one.
    names : tuple of str
        Words, or phrases, that name the signal. Other words may be written onto a name (Brustgurt,
        ECGII), and a digit.
    beside : tuple of str
        Words that may stand beside a name, with or without a digit.
    labels : tuple of str
        Whole labels that tell less, and go behind those with a name.
    electrodes : tuple of str
        Words beside a name that single out one electrode of a pair, the preferred one first.
    unplaced : tuple of str
        Names, with the same words beside them, of a signal that fits but does not say where the
        sensor sits.
    """

    name: str
    description: str
    samples_per_epoch: int
    lowest_sfreq: float
    mne_types: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    electrodes: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()


def _words(*lines: str) -> tuple[str, ...]:
    """Words that are separated by spaces."""
    return tuple(" ".join(lines).split())


_ANYWHERE = _words(
    "nox nonin masimo masino nellcor alice philips embla compumedics grael somno somnomedics",
    "natus polar h9 h10 empatica e4",
    "psg rd eg cs",  # BOAS; Embla's remote device; HeartBEAT; the canonical signals of MNC
    "eeg",  # the EDF signal type, which some systems give to every channel
    "signal wave waveform raw rohdaten data channel kanal canal sensor dc uv mv",
    "ref gnd avg x cz fpz m1 m2 a1 a2",  # reference electrodes
)

_BELT = _ANYWHERE + _words(
    "effort efforts eff res resp respiratory respiration belt band strap rip qrip ip piezo pieso",
    "xact xacttrace inductance inductive induct movement mov mvt excursion exc",
    "gurt induktanz bewegung anstrengung atmung atem atembewegung wand",  # German
    "ceinture sangle mouvement",  # French
    "banda cinturon esfuerzo movimiento inductancia",  # Spanish
    "fascia sforzo respiro movimento induttanza",  # Italian
    "cinta cinto esforco",  # Portuguese
    "inspanning beweging",  # Dutch
    "fast schnell",  # Nox: the same belt at a higher rate
)

_LEADS = _words("ii iii avr avl avf v1 v2 v3 v4 v5 v6")

_ELECTRODES = _words(
    "1 2 3 l r la ra ll lf left right links rechts gauche droite izq der esq dir sx dx"
)

MODALITIES: dict[str, Modality] = {
    m.name: m
    for m in (
        Modality(
            name="ABD",
            description="abdominal respiratory effort",
            samples_per_epoch=256,
            lowest_sfreq=2.0,
            mne_types=("resp",),
            names=_words(
                "abd abdo abdm abdom abdome abdomen abdominal belly stomach",
                "bauch abdominale abdomino ventre vientre addome addominale barriga buik",
                "adddome",  # CAP misspells it
            ),
            beside=_BELT,
            labels=("resp a",),  # Apnea-ECG
        ),
        Modality(
            name="ECG",
            description="electrocardiogram",
            samples_per_epoch=1024,
            lowest_sfreq=30.0,
            mne_types=("ecg",),
            names=(
                *_words("ecg ekg electrocardiogram electrocardiogramme electrocardiograma"),
                *_words("elektrokardiogramm elektrocardiogram elettrocardiogramma"),
                *_words("eletrocardiograma mli mlii mliii"),
                *("ml i", "ml ii", "ml iii", "lead ii", "mod lead ii", "modified lead ii"),
                *("ableitung ii", "derivation ii", "derivacion ii", "derivazione ii"),
            ),
            beside=_ANYWHERE
            + _ELECTRODES
            + _LEADS
            + _words(
                "i v lead ableitung derivation derivacion derivazione derivacao bipolar hf iihf",
                "lleg rleg emg gener generi generic",
            ),
            labels=(*_LEADS, "ecg1 ec"),  # STAGES cuts ECG1-ECG2 off
            electrodes=_ELECTRODES,
        ),
        Modality(
            name="EOG-L",
            description="left electro-oculogram",
            samples_per_epoch=4096,
            lowest_sfreq=10.0,
            mne_types=("eog",),
            names=(
                *_words("e1 loc leog eogl eog1 lefteye"),
                *("left eye", "left eog", "l eog", "eog l", "eog 1", "eog left", "eog links"),
                *("eog gauche", "eog izq", "eog sx", "eog sin"),
            ),
            beside=(*_ANYWHERE, "eog", "horiz"),
        ),
        Modality(
            name="EOG-R",
            description="right electro-oculogram",
            samples_per_epoch=4096,
            lowest_sfreq=10.0,
            mne_types=("eog",),
            names=(
                *_words("e2 roc reog eogr eog2"),
                *("right eye", "right eog", "r eog", "eog r", "eog 2", "eog right", "eog rechts"),
                *("eog droit", "eog der", "eog dx"),
            ),
            beside=(*_ANYWHERE, "eog", "horiz"),
        ),
        Modality(
            name="PPG",
            description="photoplethysmogram (pulse waveform)",
            samples_per_epoch=1024,
            lowest_sfreq=10.0,
            names=(
                *_words("ppg bvp pleth plet plth plethy plethysm plethysmo plesmo"),
                *_words("plethysmogram plethysmograph plethysmography"),
                *_words("plethysmogramm plethysmogramme plethysmographie plethysmografie"),
                *_words("pletismograma pletismografia pletismogramma"),
                *_words("photoplethysmogram photoplethysmography photoplethysmogramm"),
                *_words("photoplethysmogramme photoplethysmographie fotoplethysmogram"),
                *_words("fotopletismograma fotopletismografia fotopletismogramma"),
                *("pulse wave", "pulse waveform", "pulse wv", "blood volume pulse"),
                *("pulse ox wave", "pulse ox waveform", "pulse oximeter wave"),
                *("pulse oximeter waveform", "spo2 pleth", "spo2 wave", "spo2 waveform"),
                *("puls welle", "puls kurve", "onde de pouls", "onde pouls", "pouls onde"),
                *("onda de pulso", "onda pulso", "onda di polso", "onda polso", "pols golf"),
            ),
            beside=_ANYWHERE
            + _words("pulse puls ox oxi oximeter finger wrist ear red green ir infrared wv wf"),
        ),
        Modality(
            name="THX",
            description="thoracic respiratory effort",
            samples_per_epoch=256,
            lowest_sfreq=2.0,
            mne_types=("resp",),
            names=(
                *_words("tho thor thora thorac thorax thoracic thx thrx chest ribcage"),
                *_words("brust brustkorb thorakal thoracique poitrine torax toracico toracica"),
                *_words("pecho torace petto peito borst borstkas thoracale"),
                "rib cage",
            ),
            beside=_BELT,
            labels=("resp c",),  # Apnea-ECG
            unplaced=(
                *_words("resp respi respiration respiratory rip effort belt breath breathing"),
                *_words("atmung atem atemgurt respirazione respiracion respiracao ademhaling"),
                *("ademband", "ceinture respiratoire"),
            ),
        ),
    )
}

LOOKALIKES: dict[str, tuple[str, ...]] = {
    "a rate": _words(
        "hr dhr hrv pr bpm fc rr rri ibi nn ppi rate *rate ritmo freq* frec* *frequen* *freq",
        "hartslag beat beats qrs puls* pouls polso pols",
    ),
    "an oxygen saturation": _words(
        "*spo2* *sao2* spo sao sa02 *sat satur* *sattigung ox oxim* *oxy*"
    ),
    "an impedance": _words("imp imped* ohm"),
    "a status or quality channel": _words(
        "*off *status stat *quali* *calid* valid* batter* event* marker flag error noise *used",
        "art artifact artefact artefakt",
    ),
    "a sum or phase of belts": _words("sum *sum summe somme suma somma soma som rmi phase fase"),
    "a flow or a calibrated signal": _words(
        "*flow* *flo *fluss* debit flujo flusso fluxo luchtstroom air *air cal calib* kalib*",
        "vt tv mv tvol tidal* tidvol* *volum* vent mask* *leak*",
    ),
    "a pressure": _words(
        "*nasal* nas nase* *nez nariz naso neus* n np npv cann?la* *can canul* *pres* *druck*",
        "*druk ptaf npt pap *pap bp *abp map cvp pes",
    ),
    "a thermistor": _words(
        "therm* term* ther tfm oronasal oral oro mouth mund* bouche buccal boca bocca mond"
    ),
    "a derived value": _words(
        "ampl* pwa pwv ptt pat transit velocity ind?x trend var varia* env envelope edr derived dr"
    ),
    "a muscle": _words("emg* *muscle *muskel intercos* diaphragm* diafragm* zwerchfell *chin *leg"),
    "another sensor": _words(
        "*co2 cap capno* snor* ronf* ronc* russ* schnarch* snurk* mic sound audio light temp*",
        "pos position* pos?z* body* *lage activity acc accel* grav* move* mvmt beweg*",
    ),
}
"""What must never be taken, in words (``*`` and ``?`` as in file names), whatever its MNE type."""
