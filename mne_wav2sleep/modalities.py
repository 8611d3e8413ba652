"""The signals that wav2sleep knows, and the labels under which recordings carry them.

Everything here is data. The vocabulary is matched by :mod:`mne_wav2sleep.channels` against labels
in a normal form: lower case, accents and mojibake removed, every run of other characters turned
into one space (``"EKG1-EKG2"`` becomes ``"ekg1 ekg2"``, ``"Pouls-Onde"`` ``"pouls onde"``).
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
        MNE channel types that say by themselves that a channel carries this modality.
    labels : tuple of str
        Regular expressions for the normal form of a label, the most telling one first; each must
        match the whole label.
    unplaced_labels : tuple of str
        The same for labels that fit, but do not say where the sensor sits.
    """

    name: str
    description: str
    samples_per_epoch: int
    lowest_sfreq: float
    mne_types: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    unplaced_labels: tuple[str, ...] = ()


_HEART = r"(?:ecg|ekg|ele[ck]tro[ck]ardiogram(?:m|a|me|ma)?|elettrocardiogramma)"
_LEAD = (
    r"(?:m?l(?:ead)? ?(?:i{1,3}|[123])|mod(?:ified)? l(?:ead)? ?ii|i{1,3}|av[rlf]|v[1-6]|mv[125])"
)
_SIDE = r"(?:l|r|la|ra|ll|links|rechts|left|right|gauche|droite|izq|der|sx|dx|esq|dir)"
_BELT = (
    r"(?:effort|efforts|eff|res|resp|respiratory|respiration|belt|band|rip|qrip|pie[zs]o|xact|"
    r"movement|mov|mvt|exc|excursion|induct\w*|gurt|ceinture|sangle|cinta|fascia|banda|cinto|band|"
    r"bewegung|anstrengung|atmung|effort resp|esfuerzo|sforzo|esforco|inspanning|wand|sensor)"
)
_ABDOMEN = (
    r"(?:abd|abdo|abdom|abdome|abdomen|abdominal|abdominale|abdomino|addome|addominale|belly|bauch|"
    r"buik|ventre|stomach|barriga)"
)
_THORAX = (
    r"(?:tho|thor|thora|thorax|thoracic|thoracique|thorakal|thx|chest|brust|brustkorb|borst|"
    r"torax|tor|toracico|toracica|torace|poitrine|pecho|peito|ribcage|rib cage)"
)
_PULSE_WAVE = (
    r"(?:pulse ?wave(?:form)?|puls ?(?:welle|kurve)|pols ?golf|polsgolf|"
    r"onde (?:de )?pouls|onda (?:de |del |di |do )?(?:pulso|polso)|pulse ?wv)"
)
_DEVICE = r"(?:(?:nox|nonin|masimo|alice|embla|grael|somno|natus|polar|h9|h10|empatica|e4|osat|finger|wrist|oxi|oximeter|pulse|puls) ?)?"

MODALITIES: dict[str, Modality] = {
    m.name: m
    for m in (
        Modality(
            "ABD",
            "abdominal respiratory effort",
            256,
            2.0,
            labels=(
                rf"{_ABDOMEN}",
                rf"{_DEVICE}{_ABDOMEN} {_BELT}(?: {_BELT})?",
                rf"{_DEVICE}{_BELT}(?: {_BELT})? (?:{_BELT} )?{_ABDOMEN}",
                rf"(?:resp|rip) ?{_ABDOMEN}|{_ABDOMEN}(?:res|rip|eff|effort|belt|resp|gurt|atmung|band|en)|abdm|vab|x ?abd",
                rf"{_ABDOMEN} ?(?:ref|gnd|[12])",
            ),
        ),
        Modality(
            "ECG",
            "electrocardiogram",
            1024,
            30.0,
            mne_types=("ecg",),
            labels=(
                rf"{_HEART}",
                rf"{_HEART} ?(?:1|i) ?{_HEART}? ?(?:2|ii)|{_HEART} ?{_SIDE} {_HEART} ?{_SIDE}",
                rf"{_HEART} ?(?:ii|2 ref|lead ii|l?ii)",
                rf"(?:eeg )?{_HEART} ?(?:ref|\d|{_SIDE}|{_LEAD})?(?: (?:ref|\d|a\d|m\d|lead|mv|uv))?",
                rf"(?:x\d x\d )?{_HEART}(?: ?(?:{_SIDE}|{_LEAD}|{_HEART}|\d|x|[am][12]|ref|avg|gnd|gener|bipolar))+",
                rf"{_DEVICE}{_HEART}|{_HEART} (?:raw|signal|wave(?:form)?|channel|kanal|canal|data)",
                r"ml ?ii|mod(?:ified)? lead ii|lead ii|ableitung ii|derivation ii|derivazione ii|ii",
                rf"(?:lead )?{_LEAD}|{_HEART} ?\d ?{_HEART} ?\d|bipolar ecg",
            ),
        ),
        Modality(
            "EOG-L",
            "left electro-oculogram",
            4096,
            10.0,
            labels=(
                r"e1 ?(?:m2|a2)|loc ?(?:m2|a2)|eog l|eogl|e1|loc|l eog|eog left|left eog",
                r"eog ?(?:l|left|links|gauche|izq) ?(?:[am]2)?|eog ?1 ?(?:[am]2)?|loc \w+|e1 \w+",
            ),
        ),
        Modality(
            "EOG-R",
            "right electro-oculogram",
            4096,
            10.0,
            labels=(
                r"e2 ?(?:m1|a1|m2|a2)|roc ?(?:m1|a1)|eog r|eogr|e2|roc|r eog|eog right|right eog",
                r"eog ?(?:r|right|rechts|droit|der) ?(?:[am][12])?|eog ?2 ?(?:[am][12])?"
                r"|roc \w+|e2 \w+",
            ),
        ),
        Modality(
            "PPG",
            "photoplethysmogram (pulse waveform)",
            1024,
            10.0,
            labels=(
                r"ppg|pleth?|plethy(?:sm)?|plethwv|pleth ?wave(?:form)?|" + _PULSE_WAVE,
                r"plethysmo(?:gram|graph|graphy|graphie|gramm|gramme|grafia|grafie)?",
                r"photo ?plethysmo(?:gram|graphy|graphie|gramm|gramme)?",
                r"(?:foto|photo) ?plet[hi]?[iy]?smo\w+|pletismo\w*|plethysmo\w*",
                rf"{_DEVICE}(?:ppg|pleth|bvp)(?: ?(?:\d|ir|red|green|raw|signal|wave(?:form)?|nonin|masimo))?",
                r"bvp|blood volume pulse|puls(?:e)? ?(?:ox(?:imeter)?)? ?wave|"
                r"sp ?o2 (?:pleth|wave(?:form)?)|pulse ?plethysmo\w*",
                r"(?:ir|red|green) ?ppg|(?:pleth|ppg) ?\d",
            ),
        ),
        Modality(
            "THX",
            "thoracic respiratory effort",
            256,
            2.0,
            mne_types=("resp",),
            labels=(
                rf"{_THORAX}",
                rf"{_DEVICE}{_THORAX} {_BELT}(?: {_BELT})?",
                rf"{_DEVICE}{_BELT}(?: {_BELT})? (?:{_BELT} )?{_THORAX}",
                rf"(?:resp|rip) ?{_THORAX}|{_THORAX}(?:res|rip|eff|effort|belt|resp|gurt|atmung|band)|vth|x ?tho",
                rf"{_THORAX} ?(?:ref|gnd|[12])",
            ),
            unplaced_labels=(
                r"resp(?:iration|iratory)?(?: ?(?:effort|belt|band|wave(?:form)?|signal|\d))?",
                r"(?:rip|belt|effort|breathing|breath|atem|atmung|atemgurt|respirazione|"
                r"respiracion|respiracao|ademhaling|ademband|ceinture respiratoire|respi)(?: ?\d)?",
            ),
        ),
    )
}

LOOKALIKES: dict[str, str] = {
    r"\b(?:h ?r|heart ?rate|herz(?:frequenz|rate)|frequence cardiaque|fc|freq(?:uencia|uenza)? "
    r"cardiaca|hartslag|hartfrequentie|bpm|pulse ?rate|puls(?:e)?(?:frequenz)|pr|prate|hrate|"
    r"(?:ecg|ekg|pleth|ppg) (?:hr|rate)|rr|ibi|r ?r(?: interval)?|rate|freq\w*|cadence)\b": "a rate",
    r"\b(?:sp ?o ?2|sa ?o ?2|osat|o2 ?sat|sat(?:uration)?|sattigung|saturazione|saturacion|"
    r"oximetry|saturacao|saturatie)\b(?! (?:pleth|wave))": "an oxygen saturation",
    r"\bimp(?:edan\w*)?\b|\bimpedenz\b|\bohm\b": "an impedance",
    r"\b(?:off|status|quality|qual|qualitat|qualite|calidad|valid|beat|battery|lead off|leadoff|"
    r"b b|event|marker|flag|error|noise|artifact|artefact)\b": "a status or quality channel",
    r"\b(?:sum|summe|somme|suma|somma|soma|xsum|rip ?sum|phase|xflow|rmi)\b": "a sum or phase of belts",
    r"\b(?:cal|calibrated|kalibriert|flow|luftfluss|airflow|debit|flujo|flusso|fluxo|vt)\b": "a flow or a calibrated signal",
    r"\b(?:nasal|nase|nas|nez|nariz|naso|neus|cann?ula|canule|pressure|druck|pression|presion|"
    r"pressione|pressao|pres|ptaf|cpap|npt)\b": "a pressure",
    r"\b(?:therm\w*|term\w*|tfm|oronasal|oral|mouth|mund|bouche|buccal|boca|bocca|mond)\b": "a thermistor",
    r"\b(?:amplitude|ampl|pwa|ptt|pat|transit|index|trend|var|variability|env|envelope)\b": "a derived value",
    r"\b(?:co2|etco2|capno\w*|snor\w*|ronfl\w*|schnarch\w*|position|pos|activity|acc|accel\w*|"
    r"temp\w*|light|audio)\b": "another sensor",
}
"""Regular expressions, searched in the normal form of a label, for what must never be taken."""
