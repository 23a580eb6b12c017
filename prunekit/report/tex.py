"""Any text as LaTeX, in plain ASCII: it compiles with every engine and font encoding."""

from __future__ import annotations

import re
import unicodedata


def _greek(letter: str) -> str:
    """Return the name of a letter in LaTeX: ``alpha``, ``Delta``."""
    name = unicodedata.name(letter).rpartition(" ")[2].replace("LAMDA", "LAMBDA")
    return name.capitalize() if letter.isupper() else name.lower()


_MATHS = {
    "→": "rightarrow",
    "←": "leftarrow",
    "±": "pm",
    "×": "times",
    "·": "cdot",
    "≤": "le",
    "≥": "ge",
    "≠": "ne",
    "≈": "approx",
    "∞": "infty",
    "√": "surd",
    "∈": "in",
    "∪": "cup",
    "∩": "cap",
    "‖": "Vert",
    "µ": "mu",
    "ς": "varsigma",
    **{letter: _greek(letter) for letter in "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"},
}
_LETTERS = {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ı": "i"}
_WORDS = {"\\": "backslash", "~": "asciitilde", "^": "asciicircum", "<": "less", ">": "greater", "|": "bar"}
_SYMBOLS = {
    **{character: rf"\{character}" for character in "&%$#_{}"},
    **{character: rf"\text{word}{{}}" for character, word in _WORDS.items()},
    **{character: rf"\{letter}{{}}" for character, letter in _LETTERS.items()},
    **{character: rf"$\{command}$" for character, command in _MATHS.items()},
    **{character: f"$_{digit}$" for digit, character in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    **{character: f"$^{digit}$" for digit, character in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True)),  # LaTeX has none that look the same but are Greek
    "−": "$-$",
    "°": r"$^\circ$",
    "`": r"\`{}",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
}
_ACCENTS = dict(
    zip(
        "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0323\u0327",
        ("`", "'", "^", "~", "=", "u", ".", '"', "r", "H", "v", "d", "c"),
        strict=True,
    )
)
"""Combining marks that every font encoding of LaTeX has."""


def escaped(text: str) -> str:
    """Return ``text`` on one line, in characters that LaTeX prints and does not obey.

    What its fonts lack stands there by number, as ``[U+4E2D]``: nothing is left out or guessed at.
    """
    line = unicodedata.normalize("NFC", " ".join(text.split()))
    # Of two characters that would become one sign, as hyphens become a dash, the first is closed.
    return re.sub(r"([-',])(?=\1)|.", lambda found: f"{found[1]}{{}}" if found[1] else _character(found[0]), line)


def _character(character: str) -> str:
    if character in _SYMBOLS:
        return _SYMBOLS[character]
    if " " <= character <= "~":
        return character
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in _ACCENTS:
        return rf"\{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return f"[U+{ord(character):04X}]"
