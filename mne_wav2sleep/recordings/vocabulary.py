"""Words in the labels of channels that only resemble a modality.

Those of the modalities themselves are in :mod:`mne_wav2sleep.modalities`.
"""


def _split(*lines: str) -> tuple[str, ...]:
    """Split lines into words."""
    return tuple(" ".join(lines).split())


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
