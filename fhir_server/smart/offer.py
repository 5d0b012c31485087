"""What a person can allow an app, row by row: the scopes it asks for, split by section of the record, and put together
again from what was ticked.

A row is what one checkbox of the consent page stands for: reading one section, or writing to it.  Forms post the ids
of rows; which scopes they mean is known here alone.  SMART App Launch 2.2: scopes-and-launch-context.html

>>> asked = "openid patient/Condition.rs patient/Immunization.rs"
>>> granted(asked, rows(asked), {"VACCINATIONS-read"})
'openid patient/Immunization.rs'
>>> granted(asked, rows(asked), {"MALADIES.problem-list-item-read", "HANDICAPS-read"}).split()[1]
'patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|problem-list-item'
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from fhir_server.access.scopes import Scope, covers, narrow, parse
from fhir_server.access.sections import BY_CODE, SECTIONS, Pairs, Part, sections_of
from fhir_server.fhir.types import TYPES

READING, WRITING = "rs", "cud"
_VERBS = {"read": READING, "write": WRITING}

ONLINE, OFFLINE = "online_access", "offline_access"
#: Words that say who; like those that say where, they open no resource and come with accepting.
_IDENTITY = ("openid", "fhirUser", "profile")

_OBSERVATIONS = "http://terminology.hl7.org/CodeSystem/observation-category"
_CONDITIONS = "http://terminology.hl7.org/CodeSystem/condition-category"
_US_CORE = "http://hl7.org/fhir/us/core/CodeSystem"

#: Sections that are offered by category: the categories that apps of the SMART community ask for, beside ours.
DIVISIONS: dict[tuple[str, str], dict[str, str]] = {
    ("RESULTATS", "Observation"): {
        "laboratory": f"{_OBSERVATIONS}|laboratory",
        "clinical-test": f"{_US_CORE}/us-core-observation-category|clinical-test",
        "survey": f"{_OBSERVATIONS}|survey",
        "sdoh": f"{_US_CORE}/us-core-category|sdoh",
    },
    ("MALADIES", "Condition"): {
        "problem-list-item": f"{_CONDITIONS}|problem-list-item",
        "encounter-diagnosis": f"{_CONDITIONS}|encounter-diagnosis",
        "health-concern": f"{_US_CORE}/condition-category|health-concern",
    },
}

#: What a person gives by ticking it, and never by leaving it ticked.
SENSITIVE = frozenset(
    {
        "CONFIDENTIALITE",
        "DIRECTIVES_ANTICIPEES",
        "ENTOURAGE_VOLONTES",
        "HABITUDES_VIE",
        "HANDICAPS",
        "MESSAGES",
        "RESULTATS.sdoh",
    }
)

Kind = Literal["section", "directory", "other", "rest", "software", "identity", "context", "online", "lasting"]
_SAID = frozenset({"identity", "context", "software"})


@dataclass(frozen=True)
class Piece:
    """
    What a row gives of one of the scopes asked for.

    whole     that scope, with the letters of the row only.  It is given if each row that holds a piece of it is ticked
    part      what the row gives by itself; None for what cannot be given without the others
    wider     what it gives instead if the rows of these ids are ticked, too: the same in fewer words
    """

    whole: Scope
    part: Scope | None
    wider: tuple[tuple[Scope, frozenset[str]], ...] = ()

    def given(self, ticked: Collection[str], unticked: Collection[Scope]) -> Scope | None:
        """The scope that it gives where these rows are ticked, and pieces of these scopes are not."""
        if self.whole not in unticked:
            return self.whole
        return next((scope for scope, beside in self.wider if beside <= set(ticked)), self.part)


@dataclass(frozen=True)
class Row:
    """
    A line of the page.

    id          what the form posts
    section     of the kind `section`: the code of the section; division: the category of it, if it is divided
    letters     what can be done, as in a scope: `rs`, `c`, `cud`…; empty for what is not about resources
    types       the resource types that it opens
    limits      the constraints that the app itself has asked for, where no section stands for them
    words       scopes that open no resource (`openid`), given along
    ticked      how the box stands at first
    essential   the app does not work without it
    new         the app was connected before, and did not have it
    """

    id: str
    kind: Kind
    section: str | None = None
    division: str | None = None
    letters: str = ""
    types: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()
    words: tuple[str, ...] = ()
    ticked: bool = True
    essential: bool = False
    sensitive: bool = False
    new: bool = False

    @property
    def is_said(self) -> bool:
        """Whether it comes with accepting: it is told, and there is nothing to choose."""
        return self.kind in _SAID

    @property
    def reads(self) -> bool:
        """Whether it is about reading; else it is about writing."""
        return not set(self.letters).isdisjoint(READING)

    @property
    def place(self) -> str:
        """What it is about, whether it is read or written: the key of its words."""
        if self.kind != "section":
            return self.kind
        return f"{self.section}.{self.division}" if self.division else str(self.section)


def rows(
    scope: str, *, essential: Iterable[str] = (), previous: str | None = None, professional: bool = False
) -> tuple[Row, ...]:
    """
    The rows of the page where an app asks for `scope`; what is no scope makes none.

    essential       the scopes without which the app does not work
    previous        what the app has already, if the person connected it before
    professional    the software acts with the rights of a professional, which are not divided by section
    """
    asked = [one for one in parse(scope) if one.context in ("patient", "user")]
    drawn = _software(asked) if professional else [*_sections(asked), *_outside(asked)]
    needed = parse(" ".join(essential))
    had = None if previous is None else parse(previous)
    return (*(_marked(row, needed, had) for row in drawn), *_wordy(scope.split(), previous))


def granted(asked: str, rows: Iterable[Row], ticked: Collection[str]) -> str:
    """
    The scope string that is granted where `asked` was asked for and the rows of these ids were ticked.

    Never more than `asked`; a scope of which each row was ticked is granted whole, in the words in which it was asked.
    """
    rows = tuple(rows)
    given = [row for row in rows if row.is_said or row.id in ticked]
    kept = {row.id for row in given}
    left = {piece.whole for row in rows if row.id not in kept for piece in row.pieces}
    scopes = [scope for row in given for piece in row.pieces if (scope := piece.given(kept, left))]
    words = [word for row in given for word in row.words]
    return narrow(" ".join([*words, *map(str, _joined(scopes))]), asked)


def asks_no_more(asked: str, had: str) -> bool:
    """Whether all that is asked for is within what the app had.  A word that opens no resource counts as itself."""
    plain = [word for word in asked.split() if not parse(word)]
    return set(plain) <= set(had.split()) and all(_is_within(one, parse(had)) for one in parse(asked))


def _software(asked: list[Scope]) -> list[Row]:
    """What a professional's software may do: read, and write, each as a whole."""
    drawn = []
    for verb, letters in _VERBS.items():
        pieces = [Piece(whole, whole) for one in asked if (whole := _cut(one, letters))]
        if pieces:
            drawn.append(_row(f"software-{verb}", "software", pieces))
    return drawn


def _sections(asked: list[Scope]) -> list[Row]:
    """A row for reading and a row for writing of each section, or category, that any of the scopes reaches."""
    drawn = []
    for section in SECTIONS:
        for division in (*_divisions(section.code), None):
            place = f"{section.code}.{division}" if division else section.code
            for verb, letters in _VERBS.items():
                wholes = [whole for one in asked if (whole := _cut(one, letters))]
                pieces = [piece for whole in wholes for piece in _pieces(whole, section.code, division, verb)]
                if pieces:
                    drawn.append(_row(f"{place}-{verb}", "section", pieces, section=section.code, division=division))
    return drawn


@cache
def _divisions(section: str) -> dict[str, tuple[str, str]]:
    """The categories of a section: by their names, the type they divide and the code."""
    return {
        name: (type, code)
        for (divided, type), codes in DIVISIONS.items()
        if divided == section
        for name, code in codes.items()
    }


@cache
def _parts(section: str, division: str | None) -> tuple[tuple[Part, Pairs], ...]:
    """The parts of a row of the section, and by which constraints a scope of an app is known to mean the row."""
    found = []
    for part in BY_CODE[section].parts:
        codes = DIVISIONS.get((section, part.type), {})
        if division is None:
            apart = tuple(("category:not", code) for code in codes.values())
            found.append((Part(part.type, part.constraints + apart), _positive(part.constraints)))
        elif division in codes:
            category = (("category", codes[division]),)
            found.append((Part(part.type, part.constraints + category), category))
    return tuple(found)


def _pieces(whole: Scope, section: str, division: str | None, verb: str) -> Iterator[Piece]:
    """What the row gives of the scope."""
    for part, meant in _parts(section, division):
        if whole.type not in ("*", part.type):
            continue
        if whole.constraints and not _is_section(whole, section):
            # A part of the type is named already: one row stands for it, if any does.
            if _row_of(whole) == (section, division):
                yield Piece(whole, whole)
            continue
        own = replace(whole, type=part.type, constraints=part.constraints)
        yield Piece(whole, own, tuple(_wider(whole, section, part.type, meant, verb)))


def _wider(whole: Scope, section: str, type: str, meant: Pairs, verb: str) -> Iterator[tuple[Scope, frozenset[str]]]:
    """What a row may give in fewer words: nothing is left out that another row gives anyway."""
    if meant:
        beside = frozenset(f"{each.code}-{verb}" for each in sections_of(type) if each.code != section)
        yield replace(whole, type=type, constraints=meant), beside
    if codes := DIVISIONS.get((section, type)):
        of_section = next(part for part in BY_CODE[section].parts if part.type == type)
        fellows = frozenset((f"{section}-{verb}", *(f"{section}.{division}-{verb}" for division in codes)))
        yield replace(whole, type=type, constraints=of_section.constraints), fellows


def _is_section(scope: Scope, section: str) -> bool:
    """Whether the constraints of the scope are those of the section, so that it is divided as the section is."""
    return any(
        part.type == scope.type and set(part.constraints) == set(scope.constraints) for part in BY_CODE[section].parts
    )


def _row_of(scope: Scope) -> tuple[str, str | None] | None:
    """The row, by section and category, that stands for a scope with constraints of its own; None if none does."""
    sections = sections_of(scope.type)
    found = [
        (section.code, division, part, meant)
        for section in sections
        for division in (*_divisions(section.code), None)
        for part, meant in _parts(section.code, division)
        if part.type == scope.type
    ]
    constraints = set(scope.constraints)
    for code, division, part, _ in found:
        if set(part.constraints) == constraints:
            return code, division
    for code, division, _, meant in found:
        if meant and set(meant) <= constraints:
            return code, division
    # A type that stands in one undivided section stands there whatever the constraint.
    if len(sections) == 1 and not _divisions(sections[0].code):
        return sections[0].code, None
    return None


def _positive(constraints: Pairs) -> Pairs:
    """The constraints that name what is meant, less those that name what is not."""
    return tuple(pair for pair in constraints if not pair[0].endswith(":not"))


def _outside(asked: list[Scope]) -> list[Row]:
    """The rows of what stands in no section: the directory, other types, and what a scope reaches beyond them all."""
    directory: list[Piece] = []
    others: dict[str, list[Piece]] = {verb: [] for verb in _VERBS}
    rest: dict[str, list[Piece]] = {verb: [] for verb in _VERBS}
    for one in asked:
        if one.type != "*" and TYPES[one.type].directory:
            directory.append(Piece(one, one))
            continue
        for verb, letters in _VERBS.items():
            whole = _cut(one, letters)
            if whole is None:
                continue
            if one.type == "*":
                rest[verb].append(Piece(whole, None))
            for type in _unplaced(one):
                if not TYPES[type].directory:
                    others[verb].append(Piece(whole, replace(whole, type=type)))
                elif verb == "read":
                    # Nobody writes there but the operator, whose tokens do not come by this way.
                    directory.append(Piece(whole, replace(whole, type=type)))
    return [
        *([_row("directory", "directory", directory)] if directory else []),
        *(_row(f"other-{verb}", "other", pieces) for verb, pieces in others.items() if pieces),
        *(_row(f"rest-{verb}", "rest", pieces) for verb, pieces in rest.items() if pieces),
    ]


def _unplaced(scope: Scope) -> list[str]:
    """The types that the scope reaches and that no row of a section gives of it."""
    if scope.type == "*":
        return [type for type in TYPES if not sections_of(type) or scope.constraints]
    sections = sections_of(scope.type)
    if scope.constraints and not any(_is_section(scope, section.code) for section in sections):
        return [] if _row_of(scope) else [scope.type]
    return [] if sections else [scope.type]


def _wordy(asked: list[str], previous: str | None) -> list[Row]:
    """The rows of the scopes that open no resource."""
    had = None if previous is None else previous.split()
    kinds: dict[Kind, tuple[str, ...]] = {
        "identity": tuple(word for word in asked if word in _IDENTITY),
        "context": tuple(word for word in asked if word == "launch" or word.startswith(("launch/", "__"))),
        "online": tuple(word for word in asked if word == ONLINE),
        "lasting": tuple(word for word in asked if word == OFFLINE),
    }
    return [
        Row(
            kind,
            kind,
            words=words,
            ticked=kind != "lasting" or OFFLINE in (had or ()),
            new=had is not None and not set(words) <= set(had),
        )
        for kind, words in kinds.items()
        if words
    ]


def _row(id: str, kind: Kind, pieces: list[Piece], *, section: str | None = None, division: str | None = None) -> Row:
    letters = {letter for piece in pieces for letter in piece.whole.letters}
    parts = [piece.part for piece in pieces if piece.part]
    row = Row(
        id,
        kind,
        section=section,
        division=division,
        letters="".join(letter for letter in "cruds" if letter in letters),
        types=tuple(dict.fromkeys(part.type for part in parts)),
        limits=tuple(
            dict.fromkeys(f"{part.type}{part.query}" for part in parts if kind == "other" and part.constraints)
        ),
        pieces=tuple(pieces),
    )
    return replace(row, sensitive=row.place in SENSITIVE)


def _marked(row: Row, needed: tuple[Scope, ...], had: tuple[Scope, ...] | None) -> Row:
    """The row with how it stands at first: as it was left, or ticked unless the person should give it knowingly."""
    essential = any(_meet(one, piece.part) for piece in row.pieces if piece.part for one in needed)
    if had is None:
        return replace(row, essential=essential, ticked=not row.sensitive and row.kind != "rest")
    kept = all(_is_within(piece.part or piece.whole, had) for piece in row.pieces)
    return replace(row, essential=essential, ticked=kept or row.is_said, new=not kept)


def _meet(needed: Scope, part: Scope) -> bool:
    """Whether what is needed and the part have anything in common, as far as their words say."""
    letters = "".join(letter for letter in part.letters if letter in needed.letters)
    if not letters:
        return False
    return covers(needed, replace(part, letters=letters)) or covers(part, replace(needed, letters=letters))


def _is_within(asked: Scope, had: Collection[Scope]) -> bool:
    """Whether each letter of what is asked was had, be it in several scopes."""
    return all(any(covers(one, replace(asked, letters=letter)) for one in had) for letter in asked.letters)


def _cut(scope: Scope, letters: str) -> Scope | None:
    """The scope with these of its letters; None if it has none of them."""
    kept = "".join(letter for letter in scope.letters if letter in letters)
    return replace(scope, letters=kept) if kept else None


def _joined(scopes: Iterable[Scope]) -> list[Scope]:
    """The scopes, those that differ in their letters alone made one."""
    letters: dict[Scope, set[str]] = {}
    for one in scopes:
        letters.setdefault(replace(one, letters=""), set()).update(one.letters)
    return [
        replace(one, letters="".join(letter for letter in "cruds" if letter in found)) for one, found in letters.items()
    ]
