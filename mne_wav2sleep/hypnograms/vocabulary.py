"""Vocabulary of sleep stages.

The words occur in files of Compumedics Profusion and Grael, Nox, RemLogic and Embla, Philips Alice
and Sleepware, Natus, SOMNOmedics, Dreem and watches; in NSRR, Sleep-EDF, CAP, HMC, STAGES, HSP and
PhysioNet 2018; and in the languages of channel labels: English, German, French, Spanish, Italian,
Portuguese and Dutch. They are in lower case, without accents, and separated by single spaces.
"""

NUMBERS = {"0": "WAKE", "1": "N1", "2": "N2", "3": "N3", "4": "N3", "5": "REM", "6": "ART"}
"""Rechtschaffen and Kales' numbers, as EDF+ ("Sleep stage 4") and NSRR ("Stage 4 sleep|4") use.

Rechtschaffen and Kales' stages 3 and 4 are N3 (AASM manual, 2007).
"""

WORDS = {
    "WAKE": (
        "w, wk, wake, awake, wakefulness, s0",
        "wach, wachzustand, wachheit, wachsein",  # German
        "eveil, eveille, veille",  # French
        "vigilia, despierto, despierta",  # Spanish, Portuguese
        "veglia, sveglio",  # Italian
        "desperto, acordado",  # Portuguese
        "waak, wakker, waaktoestand, wakkerheid",  # Dutch
    ),
    "N3": ("sws",),
    "REM": (
        "r, rem, remsleep, asleeprem, rem phase, rapid eye movement, rapid eye movements",
        "remschlaf, traumschlaf, mor, remslaap",  # German, Spanish, Dutch
    ),
    "LIGHT": ("light, lightsleep, asleepcore, leichtschlaf",),
    "DEEP": ("deep, deepsleep, asleepdeep, tiefschlaf",),
    "UNS": (
        "u, uns, unk, unscored, unstaged, unclassified, unknown, unknownstage, undefined",
        "undetermined, indeterminate, not scored, notscored, not staged, no stage, none, n a, na",
        "unbewertet, nicht bewertet, unklassifiziert, unbekannt",  # German
        "non score, non cote, non classe, indetermine, inconnu",  # French
        "sin clasificar, no clasificado, desconocido, indeterminado",  # Spanish
        "non classificato, non valutato, sconosciuto, indeterminato",  # Italian
        "nao classificado, desconhecido",  # Portuguese
        "niet gescoord, onbekend",  # Dutch
    ),
    "ART": (
        "art, artifact, artefact, m, mt, mvt, movement, movement time, body movement",
        "artefakt, bewegung, bewegungszeit",  # German
        "mouvement, temps de mouvement",  # French
        "artefacto, movimiento, tiempo de movimiento",  # Spanish
        "artefatto, movimento, tempo di movimento",  # Italian
        "artefato, tempo de movimento",  # Portuguese
        "beweging, bewegingstijd",  # Dutch
    ),
}
"""YASA's name -> labels that mean this stage by themselves."""

ADJECTIVES = {
    "N3": "slow wave, delta, lent profond, de ondas lentas, a onde lente",
    "REM": "paradoxical, paradoxal, paradoxaal",
    "LIGHT": "core, leichter, leger, lent leger, ligero, leve, leggero, licht, lichte",
    "DEEP": "tiefer, profond, profundo, profondo, diep, diepe",
}
"""YASA's name -> words that mean this stage only beside the word "sleep" or "stage"."""

SLEEP = r"(?:sleep|schlaf|slaap|sommeil|sueno|sonno|sono)"
STAGE = (
    rf"(?:(?:{SLEEP} ?)?(?:stages?|stg|stadium|stade|estadio|stadio|estagio)"
    rf"(?:(?: d[eiou]l?)? {SLEEP})?|(?:fase|etapa) (?:d[eiou]l? )?{SLEEP}|{SLEEP}fase)"
)
"""Words after which a number is a stage."""

PHASE = r"(?:fase|etapa|asleep)"
"""Words after which only the name of a stage is one: "fase 2" may be that of a protocol."""

NREM = rf"(?:n|non|no|nao|niet) ?rem(?: {SLEEP})?(?: {STAGE})? ?[ns]?|nmor ?|no mor ?"
DEPTHS = {
    **{"1": "N1", "2": "N2", "3": "N3", "4": "N3"},
    **{"i": "N1", "ii": "N2", "iii": "N3", "iv": "N3"},
    **dict.fromkeys(("1 2", "1 n2", "1 s2", "i ii"), "LIGHT"),
    **dict.fromkeys(("3 4", "3 n4", "3 s4", "iii iv"), "N3"),
}
"""Depths of NREM sleep -> YASA's names."""

_LIGHT = r"(?:the )?(?:bed ?room |room )?lights?"
_ARE = r"(?:(?:are|is|were|was) )?(?:(?:turned|switched) )?"
LIGHTS = {
    "off": rf"{_LIGHT} ?{_ARE}(?:off|out)|l ?off|l ?out|l ?o"
    r"|licht(?:er)? ?(?:aus|ausgeschaltet|uit)"
    r"|lumieres? (?:eteintes?|off)|extinction (?:de la |des )?lumieres?"
    r"|lu(?:z|ces|zes) apagadas?|apagado de (?:la )?luz|luc[ei] spent[ae]|spegnimento luci",
    "on": rf"{_LIGHT} ?{_ARE}on|lon|licht(?:er)? ?(?:an|ein|eingeschaltet|aan)"
    r"|lumieres? (?:allumees?|on)|allumage (?:de la |des )?lumieres?"
    r"|lu(?:z|ces|zes) (?:encendid|aces)as?|encendido de (?:la )?luz|luc[ei] acces[ae]"
    r"|accensione luci",
}
"""Lights off and on -> what annotations call them, in the systems and the languages above."""
