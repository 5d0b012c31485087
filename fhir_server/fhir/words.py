"""What a misspelt name may have been meant for.

>>> nearest("Patiant", ["Patient", "Person"]), meant("colour", ["code", "date"])
('Patient', '')
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

#: A longer name is no misspelling of any.
_LONGEST_NAME = 64


def nearest(text: str, known: Collection[str]) -> str | None:
    """The name that `text` may have been meant for."""
    if len(text) > _LONGEST_NAME:
        return None
    folded = text.casefold()
    for name in known:
        if name.casefold() == folded:
            return name
    return next(iter(difflib.get_close_matches(text, known, 1, 0.7)), None)


def meant(text: str, known: Collection[str]) -> str:
    """The question whether a near name was meant, to go on behind the one that is refused; nothing if there is none.

    >>> meant("brithdate", ["birthdate", "name"])
    ' (did you mean `birthdate`?)'
    """
    found = nearest(text, known)
    return f" (did you mean `{found}`?)" if found else ""
