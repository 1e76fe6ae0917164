"""The 17 conditions, their levels, and how levels are spelt.

Names, levels and left-out levels are those of the model-vs-human benchmark (Geirhos et al.,
"Partial success in closing the gap between human and machine vision", NeurIPS 2021).
"""

from __future__ import annotations

import difflib
import math

#: Distortions with a level that says how strong they are (or which of two versions it is).
PARAMETRIC = (
    "colour",
    "contrast",
    "high-pass",
    "low-pass",
    "phase-scrambling",
    "power-equalisation",
    "false-colour",
    "rotation",
    "eidolonI",
    "eidolonII",
    "eidolonIII",
    "uniform-noise",
)

#: Sets that exist in one version only, level "0".
NONPARAMETRIC = ("sketch", "stylized", "edge", "silhouette", "cue-conflict")

#: All sets: sixteen distribution shifts and the one with conflicting cues.
CONDITIONS = PARAMETRIC + NONPARAMETRIC

_REACHES = ("1", "2", "4", "8", "16", "32", "64", "128")

#: The levels of the published stimuli, for pictures of 224 (Eidolon: 256) pixels.
LEVELS: dict[str, tuple[str, ...]] = {
    "colour": ("cr", "bw"),
    "contrast": ("c100", "c50", "c30", "c15", "c10", "c05", "c03", "c01"),
    "high-pass": ("inf", "3.0", "1.5", "1.0", "0.7", "0.55", "0.45", "0.4"),
    "low-pass": ("0", "1", "3", "5", "7", "10", "15", "40"),
    "phase-scrambling": ("0", "30", "60", "90", "120", "150", "180"),
    "power-equalisation": ("0", "pow"),
    "false-colour": ("True", "False"),
    "rotation": ("0", "90", "180", "270"),
    "eidolonI": tuple(f"{reach}-10-10" for reach in _REACHES),
    "eidolonII": tuple(f"{reach}-3-10" for reach in _REACHES),
    "eidolonIII": tuple(f"{reach}-0-10" for reach in _REACHES),
    "uniform-noise": ("0.0", "0.03", "0.05", "0.1", "0.2", "0.35", "0.6", "0.9"),
    **{condition: ("0",) for condition in NONPARAMETRIC},
}

#: Levels that the benchmark's headline numbers leave out: those without any distortion, and
#: those at which people are below 20 % correct, where consistency has no meaning.
EXCLUDED_LEVELS: dict[str, tuple[str, ...]] = {
    "colour": ("cr",),
    "contrast": ("c100", "c03", "c01"),
    "high-pass": ("inf", "0.55", "0.45", "0.4"),
    "low-pass": ("0", "15", "40"),
    "phase-scrambling": ("0", "150", "180"),
    "power-equalisation": ("0",),
    "false-colour": ("True",),
    "rotation": ("0",),
    "eidolonI": ("1-10-10", "64-10-10", "128-10-10"),
    "eidolonII": ("1-3-10", "32-3-10", "64-3-10", "128-3-10"),
    "eidolonIII": ("1-0-10", "16-0-10", "32-0-10", "64-0-10", "128-0-10"),
    "uniform-noise": ("0.0", "0.6", "0.9"),
}

#: Share of the displacement that is common to all scales, per Eidolon set.
COHERENCE = {"eidolonI": 1.0, "eidolonII": 0.3, "eidolonIII": 0.0}

#: Blur of the displacement field in pixels where a level is given as a bare reach.
GRAIN = 10.0

_WORDS = {
    "colour": {"cr": "cr", "colour": "cr", "bw": "bw", "greyscale": "bw"},
    "false-colour": {"true": "True", "false": "False", "opponent": "False"},
    "power-equalisation": {"0": "0", "0.0": "0", "pow": "pow", "equalised": "pow"},
}

#: Levels with which a distortion does nothing beyond what all of its levels share.
_CONTROL = {
    "colour": "cr",
    "contrast": "c100",
    "high-pass": "inf",
    "low-pass": "0",
    "phase-scrambling": "0",
    "power-equalisation": "0",
    "false-colour": "True",
    "rotation": "0",
    "uniform-noise": "0.0",
}


def check_condition(condition: str) -> str:
    """Return the condition if it is one of the 17.

    Args:
        condition: A name as in ``CONDITIONS``.

    Returns:
        The same name.

    Raises:
        ValueError: If there is no such condition; the message has the nearest one.
    """
    if condition in CONDITIONS:
        return condition
    lowered = {name.lower(): name for name in CONDITIONS}
    wanted = str(condition).lower().replace("_", "-").replace("greyscale", "colour")
    near = difflib.get_close_matches(wanted, lowered, n=1, cutoff=0.4)
    hint = f"did you mean {lowered[near[0]]!r}? " if near else ""
    raise ValueError(f"unknown condition {condition!r}: {hint}known: {', '.join(CONDITIONS)}")


def _complaint(condition: str, level: object) -> str:
    return (
        f"{level!r} is not a level of {condition!r}; published levels: "
        f"{', '.join(LEVELS[condition])}"
    )


def parse_number(condition: str, level: str | float) -> float:
    """Return a level as the number that the distortion takes.

    Args:
        condition: ``contrast``, ``high-pass``, ``low-pass``, ``phase-scrambling``, ``rotation``
            or ``uniform-noise``.
        level: A number, its spelling, or for contrast ``c05`` (per cent).

    Returns:
        Contrast in [0, 1], a standard deviation in pixels, degrees, or a noise width.

    Raises:
        ValueError: If the level is not one of the condition.
    """
    text = str(level).strip()
    try:
        per_cent = condition == "contrast" and text.startswith("c")
        value = float(text[1:]) / 100 if per_cent else float(text)
    except ValueError:
        raise ValueError(_complaint(condition, level)) from None
    inside = {
        "contrast": 0 <= value <= 1,
        "high-pass": value > 0,
        "rotation": value % 90 == 0,
    }.get(condition, 0 <= value < math.inf)
    if not inside or math.isnan(value):
        raise ValueError(_complaint(condition, level))
    return value


def parse_word(condition: str, level: str | float) -> str:
    """Return the level of a distortion that has just two versions.

    Args:
        condition: ``colour``, ``false-colour`` or ``power-equalisation``.
        level: The version, in any spelling that the published files use.

    Returns:
        The version as in ``LEVELS``.

    Raises:
        ValueError: If the level is not one of the condition.
    """
    word = _WORDS[condition].get(str(level).strip().lower())
    if word is None:
        raise ValueError(_complaint(condition, level))
    return word


def parse_eidolon(condition: str, level: str | float) -> tuple[float, float, float]:
    """Return reach, coherence and grain of an Eidolon level.

    Args:
        condition: ``eidolonI``, ``eidolonII`` or ``eidolonIII``.
        level: ``reach-coherence-grain`` with the coherence in tenths (``8-10-10``), or the
            reach alone, which implies the set's coherence and a grain of 10 pixels.

    Returns:
        Reach in pixels, coherence in [0, 1], grain in pixels.

    Raises:
        ValueError: If the level has another form, or the coherence of another set.
    """
    try:
        numbers = [float(part) for part in str(level).strip().split("-")]
    except ValueError:
        raise ValueError(_complaint(condition, level)) from None
    coherence = COHERENCE[condition]
    if len(numbers) == 1:
        numbers = [numbers[0], 10 * coherence, GRAIN]
    finite = all(math.isfinite(number) and number >= 0 for number in numbers)
    if len(numbers) != 3 or not finite or numbers[1] != 10 * coherence or numbers[2] == 0:
        raise ValueError(_complaint(condition, level))
    return numbers[0], coherence, numbers[2]


def normalise_level(condition: str, level: object) -> str:
    """Return a level in the spelling of the published stimuli.

    The published human trials spell some levels in another way than the stimuli do
    ("1" for "1.0", "0.10" for "0.1", "true" for "True").

    Args:
        condition: The set; levels of sets that are not the benchmark's keep their spelling.
        level: A level as found in a table or file name.

    Returns:
        The canonical spelling.
    """
    text = str(level).strip()
    if condition not in CONDITIONS:
        return text  # a set of the user's own
    if condition in NONPARAMETRIC:
        # The benchmark writes "0" for people and "NaN" for models: such a set has no levels.
        return "0"
    if condition in _WORDS:
        return parse_word(condition, text)
    if condition in COHERENCE:
        return "-".join(f"{float(part):g}" for part in text.split("-"))
    number = parse_number(condition, text)
    if condition == "contrast":
        per_cent = f"{100 * number:.6g}"
        return f"c{per_cent.zfill(2)}"
    if condition in {"high-pass", "uniform-noise"}:
        return str(number)
    return f"{number:g}"


def is_control(condition: str, level: str | float) -> bool:
    """Return whether a level is the undistorted control of its condition.

    Args:
        condition: The set.
        level: One of its levels.

    Returns:
        ``True`` for full contrast, no rotation and so on; never for a non-parametric set or one
        that is not the benchmark's.
    """
    if condition in COHERENCE:
        return parse_eidolon(condition, level)[0] == 0
    control = _CONTROL.get(condition)
    return control is not None and normalise_level(condition, level) == control
