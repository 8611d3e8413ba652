"""Vocabulary of channel labels.

:mod:`mne_wav2sleep.recordings.labels` matches a label as a whole: it belongs to a modality if one
of its words is a name of that modality and every other word is a known qualifier. A label that
contains an unknown word is never accepted. Words are normalized as by ``normalize_label``: lower
case, no accents, single spaces.

The words occur in the data sets SHHS, MESA, CFS, CCSHS, CHAT, MrOS, SOF, WSC, HeartBEAT, ABC,
HomePAP, MNC, NCHSDB, STAGES, HSP, CAP, UCDDB, HMC, DREAMT, MASS, BOAS, CPS, PhysioNet 2018,
Apnea-ECG and slpdb; in recordings of Nox, Alice, Embla, Compumedics, SOMNO, Natus, Nonin, Masimo,
Polar and Empatica devices; and in English, German, French, Spanish, Italian, Portuguese and Dutch.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Vocabulary:
    """Words in the channel labels of one modality.

    Attributes
    ----------
    names : tuple of str
        Words or phrases that name the signal. Another word or a digit may follow without a space
        (Brustgurt, ECGII).
    mne_types : tuple of str
        MNE channel types that a channel of this modality may have. A type that no other modality
        has identifies the modality by itself.
    qualifiers : tuple of str
        Words that may occur in a label in addition to a name, with or without a digit.
    labels : tuple of str
        Whole labels that are less specific, and rank below labels with a name.
    electrodes : tuple of str
        Qualifiers that denote one electrode of a pair, the preferred one first.
    unplaced : tuple of str
        Names, with the same qualifiers, of a matching signal whose sensor is at an unknown
        position.
    """

    names: tuple[str, ...]
    mne_types: tuple[str, ...] = ()
    qualifiers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    electrodes: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()


def _split(*lines: str) -> tuple[str, ...]:
    """Split lines into words."""
    return tuple(" ".join(lines).split())


_ANY_MODALITY = _split(
    "nox nonin masimo masino nellcor alice philips embla compumedics grael somno somnomedics",
    "natus polar h9 h10 empatica e4",
    "psg rd eg cs",  # BOAS; Embla's remote device; HeartBEAT; the canonical signals of MNC
    "eeg",  # EDF signal type that some systems use for every channel
    "signal wave waveform raw rohdaten data channel kanal canal sensor dc uv mv",
    "ref gnd avg x cz fpz m1 m2 a1 a2",  # reference electrodes
)

_BELT = _ANY_MODALITY + _split(
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

_LEADS = _split("ii iii avr avl avf v1 v2 v3 v4 v5 v6")

_ELECTRODES = _split(
    "1 2 3 l r la ra ll lf left right links rechts gauche droite izq der esq dir sx dx"
)

VOCABULARIES: dict[str, Vocabulary] = {
    "ABD": Vocabulary(
        mne_types=("resp",),
        names=_split(
            "abd abdo abdm abdom abdome abdomen abdominal belly stomach",
            "bauch abdominale abdomino ventre vientre addome addominale barriga buik",
            "adddome",  # sic, in CAP
        ),
        qualifiers=_BELT,
        labels=("resp a",),  # Apnea-ECG
    ),
    "ECG": Vocabulary(
        mne_types=("ecg",),
        names=(
            *_split("ecg ekg electrocardiogram electrocardiogramme electrocardiograma"),
            *_split("elektrokardiogramm elektrocardiogram elettrocardiogramma"),
            *_split("eletrocardiograma mli mlii mliii"),
            *("ml i", "ml ii", "ml iii", "lead ii", "mod lead ii", "modified lead ii"),
            *("ableitung ii", "derivation ii", "derivacion ii", "derivazione ii"),
        ),
        qualifiers=_ANY_MODALITY
        + _ELECTRODES
        + _LEADS
        + _split(
            "i v lead ableitung derivation derivacion derivazione derivacao bipolar hf iihf",
            "lleg rleg emg gener generi generic",
        ),
        labels=(*_LEADS, "ecg1 ec"),  # ECG1-ECG2, truncated in STAGES
        electrodes=_ELECTRODES,
    ),
    "EOG-L": Vocabulary(
        mne_types=("eog",),
        names=(
            *_split("e1 loc leog eogl eog1 lefteye"),
            *("left eye", "left eog", "l eog", "eog l", "eog 1", "eog left", "eog links"),
            *("eog gauche", "eog izq", "eog sx", "eog sin"),
        ),
        qualifiers=(*_ANY_MODALITY, "eog", "horiz"),
    ),
    "EOG-R": Vocabulary(
        mne_types=("eog",),
        names=(
            *_split("e2 roc reog eogr eog2"),
            *("right eye", "right eog", "r eog", "eog r", "eog 2", "eog right", "eog rechts"),
            *("eog droit", "eog der", "eog dx"),
        ),
        qualifiers=(*_ANY_MODALITY, "eog", "horiz"),
    ),
    "PPG": Vocabulary(
        names=(
            *_split("ppg bvp pleth plet plth plethy plethysm plethysmo plesmo"),
            *_split("plethysmogram plethysmograph plethysmography"),
            *_split("plethysmogramm plethysmogramme plethysmographie plethysmografie"),
            *_split("pletismograma pletismografia pletismogramma"),
            *_split("photoplethysmogram photoplethysmography photoplethysmogramm"),
            *_split("photoplethysmogramme photoplethysmographie fotoplethysmogram"),
            *_split("fotopletismograma fotopletismografia fotopletismogramma"),
            *("pulse wave", "pulse waveform", "pulse wv", "blood volume pulse"),
            *("pulse ox wave", "pulse ox waveform", "pulse oximeter wave"),
            *("pulse oximeter waveform", "spo2 pleth", "spo2 wave", "spo2 waveform"),
            *("puls welle", "puls kurve", "onde de pouls", "onde pouls", "pouls onde"),
            *("onda de pulso", "onda pulso", "onda di polso", "onda polso", "pols golf"),
        ),
        qualifiers=_ANY_MODALITY
        + _split("pulse puls ox oxi oximeter finger wrist ear red green ir infrared wv wf"),
    ),
    "THX": Vocabulary(
        mne_types=("resp",),
        names=(
            *_split("tho thor thora thorac thorax thoracic thx thrx chest ribcage"),
            *_split("brust brustkorb thorakal thoracique poitrine torax toracico toracica"),
            *_split("pecho torace petto peito borst borstkas thoracale"),
            "rib cage",
        ),
        qualifiers=_BELT,
        labels=("resp c",),  # Apnea-ECG
        unplaced=(
            *_split("resp respi respiration respiratory rip effort belt breath breathing"),
            *_split("atmung atem atemgurt respirazione respiracion respiracao ademhaling"),
            *("ademband", "ceinture respiratoire"),
        ),
    ),
}

LOOKALIKES: dict[str, tuple[str, ...]] = {
    "a rate": _split(
        "hr dhr hrv pr bpm fc rr rri ibi nn ppi rate *rate ritmo freq* frec* *frequen* *freq",
        "hartslag beat beats qrs puls* pouls polso pols",
    ),
    "an oxygen saturation": _split(
        "*spo2* *sao2* spo sao sa02 *sat satur* *sattigung ox oxim* *oxy*"
    ),
    "an impedance": _split("imp imped* ohm"),
    "a status or quality channel": _split(
        "*off *status stat *quali* *calid* valid* batter* event* marker flag error noise *used",
        "art artifact artefact artefakt",
    ),
    "a sum or phase of belts": _split("sum *sum summe somme suma somma soma som rmi phase fase"),
    "a flow or a calibrated signal": _split(
        "*flow* *flo *fluss* debit flujo flusso fluxo luchtstroom air *air cal calib* kalib*",
        "vt tv mv tvol tidal* tidvol* *volum* vent mask* *leak*",
    ),
    "a pressure": _split(
        "*nasal* nas nase* *nez nariz naso neus* n np npv cann?la* *can canul* *pres* *druck*",
        "*druk ptaf npt pap *pap bp *abp map cvp pes",
    ),
    "a thermistor": _split(
        "therm* term* ther tfm oronasal oral oro mouth mund* bouche buccal boca bocca mond"
    ),
    "a derived value": _split(
        "ampl* pwa pwv ptt pat transit velocity ind?x trend var varia* env envelope edr derived dr"
    ),
    "a muscle": _split("emg* *muscle *muskel intercos* diaphragm* diafragm* zwerchfell *chin *leg"),
    "another sensor": _split(
        "*co2 cap capno* snor* ronf* ronc* russ* schnarch* snurk* mic sound audio light temp*",
        "pos position* pos?z* body* *lage activity acc accel* grav* move* mvmt beweg*",
    ),
}
"""Kinds of channels that are never used, whatever their MNE type -> patterns of words in their
labels, with ``*`` and ``?`` as in file names."""
