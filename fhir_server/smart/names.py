"""Names of software and publishers that can be shown to people: plain text that looks like no other client's.

Unicode UAX 15 (normal forms), UTS 39 s. 4 (skeletons); here the alphabet is Latin, which leaves few that look alike.

>>> skeleton("Mon Sang-Té") == skeleton("mon sang té") == skeleton("M0N SANGTE")
True
"""

from __future__ import annotations

import unicodedata

#: A name is shown on a telephone, beside others.
LONGEST = 80

#: Latin letters that are not a basic one with a mark.
_LETTERS = {"œ": "oe", "æ": "ae", "ß": "ss", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th"}
_PUNCTUATION = frozenset(" .,:;!?'’()+-–—&@/°·")  # noqa: RUF001  (these are meant)
#: What an eye confuses, in basic letters and digits.
_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s"})


def fault(name: str) -> str | None:
    """Why `name` cannot be shown to people as the name of something; None if it can."""
    if not name or name != name.strip() or "  " in name:
        return "is empty, or has blanks too many"
    if len(name) > LONGEST:
        return f"has more than {LONGEST} characters"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode's normal form C"
    if not all(_shown(character) for character in name):
        return "has characters other than Latin letters, digits, blanks and plain punctuation"
    if not skeleton(name):
        return "has no letter and no digit"
    return None


def is_plain(text: str) -> bool:
    """Whether a longer text holds no markup, and no character that is not seen or turns others round.  UAX 9 s. 2"""
    return not any(
        character in "<>" or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        for character in text
    )


def skeleton(name: str) -> str:
    """The name as an eye takes it in: without case, marks and punctuation, what looks alike being the same."""
    folded = "".join(_LETTERS.get(character, character) for character in name.casefold())
    basic = "".join(character for character in unicodedata.normalize("NFKD", folded) if character.isalnum())
    return basic.translate(_ALIKE).replace("rn", "m").replace("vv", "w")


def _shown(character: str) -> bool:
    if character in _PUNCTUATION:
        return True
    lower = character.lower()
    base = _LETTERS.get(lower) or unicodedata.normalize("NFD", lower)[:1]
    return base.isascii() and base.isalnum()
