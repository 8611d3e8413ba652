"""The built-in modalities, as data: all that the package knows of each is here.

:mod:`mne_wav2sleep.recordings.labels` matches a label as a whole: it belongs to a modality if one
of its words is a name of that modality and every other word is a known qualifier. A label that
contains an unknown word is never accepted. Words are normalized as by ``normalize_label``: lower
case, no accents, single spaces.

The words occur in the data sets SHHS, MESA, CFS, CCSHS, CHAT, MrOS, SOF, WSC, HeartBEAT, ABC,
HomePAP, MNC, NCHSDB, STAGES, HSP, CAP, UCDDB, HMC, DREAMT, MASS, BOAS, CPS, PhysioNet 2018,
Apnea-ECG and slpdb; in recordings of Nox, Alice, Embla, Compumedics, SOMNO, Natus, Nonin, Masimo,
Polar and Empatica devices; and in English, German, French, Spanish, Italian, Portuguese and Dutch.
"""

from .definition import Modality, Vocabulary


def _split(*lines: str) -> tuple[str, ...]:
    """Split lines into words."""
    return tuple(" ".join(lines).split())


COMMON_WORDS = _split(
    "nox nonin masimo masino nellcor alice philips embla compumedics grael somno somnomedics",
    "natus polar h9 h10 empatica e4",
    "psg rd eg cs",  # BOAS; Embla's remote device; HeartBEAT; the canonical signals of MNC
    "eeg",  # EDF signal type that some systems use for every channel
    "signal wave waveform raw rohdaten data channel kanal canal sensor dc uv mv",
    "ref gnd avg x cz fpz m1 m2 a1 a2",  # reference electrodes
)
"""Words that may occur in the label of any modality: devices, references, units."""

_BELT = _split(
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

BUILT_IN = (
    Modality(
        "ECG",
        "electrocardiogram",
        1024,
        30.0,
        wave="beats",
        flat_s=5.0,
        rail_s=2.0,
        in_volts=True,
        is_difference=True,
        is_invertible=True,
        vocabulary=Vocabulary(
            mne_types=("ecg",),
            names=(
                *_split("ecg ekg electrocardiogram electrocardiogramme electrocardiograma"),
                *_split("elektrokardiogramm elektrocardiogram elettrocardiogramma"),
                *_split("eletrocardiograma mli mlii mliii"),
                *("ml i", "ml ii", "ml iii", "lead ii", "mod lead ii", "modified lead ii"),
                *("ableitung ii", "derivation ii", "derivacion ii", "derivazione ii"),
            ),
            qualifiers=_ELECTRODES
            + _LEADS
            + _split(
                "i v lead ableitung derivation derivacion derivazione derivacao bipolar hf iihf",
                "lleg rleg emg gener generi generic",
            ),
            labels=(*_LEADS, "ecg1 ec"),  # ECG1-ECG2, truncated in STAGES
            electrodes=_ELECTRODES,
        ),
    ),
    Modality(
        "PPG",
        "photoplethysmogram (pulse waveform)",
        1024,
        10.0,
        wave="pulses",
        flat_s=5.0,
        rail_s=2.0,
        is_invertible=True,
        vocabulary=Vocabulary(
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
            qualifiers=_split(
                "pulse puls ox oxi oximeter finger wrist ear red green ir infrared wv wf"
            ),
        ),
    ),
    Modality(
        "THX",
        "thoracic respiratory effort",
        256,
        2.0,
        wave="breaths",
        is_invertible=True,
        vocabulary=Vocabulary(
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
    ),
    Modality(
        "ABD",
        "abdominal respiratory effort",
        256,
        2.0,
        wave="breaths",
        is_invertible=True,
        vocabulary=Vocabulary(
            mne_types=("resp",),
            names=_split(
                "abd abdo abdm abdom abdome abdomen abdominal belly stomach",
                "bauch abdominale abdomino ventre vientre addome addominale barriga buik",
                "adddome",  # sic, in CAP
            ),
            qualifiers=_BELT,
            labels=("resp a",),  # Apnea-ECG
        ),
    ),
    Modality(
        "EOG-L",
        "left electro-oculogram",
        4096,
        10.0,
        in_volts=True,
        is_invertible=True,
        vocabulary=Vocabulary(
            mne_types=("eog",),
            names=(
                *_split("e1 loc leog eogl eog1 lefteye"),
                *("left eye", "left eog", "l eog", "eog l", "eog 1", "eog left", "eog links"),
                *("eog gauche", "eog izq", "eog sx", "eog sin"),
            ),
            qualifiers=("eog", "horiz"),
        ),
    ),
    Modality(
        "EOG-R",
        "right electro-oculogram",
        4096,
        10.0,
        in_volts=True,
        is_invertible=True,
        vocabulary=Vocabulary(
            mne_types=("eog",),
            names=(
                *_split("e2 roc reog eogr eog2"),
                *("right eye", "right eog", "r eog", "eog r", "eog 2", "eog right", "eog rechts"),
                *("eog droit", "eog der", "eog dx"),
            ),
            qualifiers=("eog", "horiz"),
        ),
    ),
)
"""The built-in modalities; of those that show the same rate, the preferred one first."""
