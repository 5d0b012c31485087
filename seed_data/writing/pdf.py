"""A letter as PDF, written by hand: no library's version, clock or compression can change its bytes.

ISO 32000-1: one font family every reader has (Helvetica, WinAnsiEncoding), uncompressed pages, a plain xref table.
"""

import unicodedata

_WIDTH, _HEIGHT, _MARGIN = 595, 842, 56
_BOTTOM = 70
_ASCII_WIDTHS = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278),
    *(556,) * 10,
    *(278, 278, 584, 584, 584, 556, 1015),
    *(667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833),
    *(722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611),
    *(278, 278, 278, 469, 556, 333),
    *(556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833),
    *(556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500),
    *(334, 260, 334, 584),
)
"""Advance widths of Helvetica from space to tilde, in thousandths; an accented letter is as wide as its base."""


def letter(*, title: str, author: str, created: str, head: list[str], to: list[str], body: list[str]) -> bytes:
    """A PDF of one or more A4 pages.

    `head` is who writes and `to` whom it is about, a line each.  A line of `body` is a paragraph; `## ` starts a
    heading, `- ` an item, and `| a | b |` a row of a table.  `created` is `YYYYMMDDHHMMSS`.
    """
    pages = _pages(title, head, to, body)
    return _file(title, author, created, [_footed(page, number, len(pages)) for number, page in enumerate(pages, 1)])


def _pages(title: str, head: list[str], to: list[str], body: list[str]) -> list[list[str]]:
    pages: list[list[str]] = [[]]
    y = _HEIGHT - _MARGIN
    for number, line in enumerate(head):
        pages[-1].append(_text(line, _MARGIN, y, 12 if number == 0 else 9, bold=number == 0))
        y -= 16 if number == 0 else 12
    for line in to:
        pages[-1].append(_text(line, 320, y, 10))
        y -= 13
    y -= 14
    pages[-1].append(_text(title, _MARGIN, y, 15, bold=True))
    pages[-1].append(f"0.6 w {_MARGIN} {y - 8} m {_WIDTH - _MARGIN} {y - 8} l S")
    y -= 30
    for drawn, step in (piece for line in body for piece in _piece(line)):
        if y - step < _BOTTOM:
            pages.append([])
            y = _HEIGHT - _MARGIN
        pages[-1].extend(_text(text, x, y, size, bold=bold) for text, x, size, bold in drawn)
        y -= step
    return pages


def _piece(line: str) -> list[tuple[list[tuple[str, int, int, bool]], int]]:
    if not line:
        return [([], 8)]
    if line.startswith("## "):
        return [([], 6), ([(line[3:], _MARGIN, 12, True)], 18)]
    if line.startswith("|"):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        width = _WIDTH - 2 * _MARGIN
        first = width * 2 // 5
        step = (width - first) // max(len(cells) - 1, 1)
        places = [_MARGIN, *(_MARGIN + first + step * nth for nth in range(len(cells) - 1))]
        return [([(cell, x, 10, False) for cell, x in zip(cells, places, strict=True)], 15)]
    indent = 14 if line.startswith("- ") else 0
    wrapped = _wrapped(line, _WIDTH - 2 * _MARGIN - indent, 10)
    return [([(text, _MARGIN + (indent if nth else 0), 10, False)], 14) for nth, text in enumerate(wrapped)]


def _wrapped(line: str, width: int, size: int) -> list[str]:
    lines, current = [], ""
    for word in line.split():
        longer = f"{current} {word}".strip()
        if _text_width(longer, size) > width and current:
            lines.append(current)
            longer = word
        current = longer
    return [*lines, current]


def _text_width(text: str, size: int) -> float:
    bases = (unicodedata.normalize("NFD", letter)[0] for letter in text)
    return sum(_ASCII_WIDTHS[ord(base) - 32] if 32 <= ord(base) < 127 else 556 for base in bases) * size / 1000


def _text(text: str, x: int, y: int, size: int, *, bold: bool = False) -> str:
    return f"BT /{'B' if bold else 'R'} {size} Tf {x} {y} Td ({_escaped(text)}) Tj ET"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _footed(page: list[str], number: int, count: int) -> bytes:
    footer = _text(f"Document de démonstration, personnes inventées - page {number} sur {count}", _MARGIN, 40, 8)
    return "\n".join([*page, footer]).encode("cp1252")


def _file(title: str, author: str, created: str, contents: list[bytes]) -> bytes:
    kids = " ".join(f"{6 + 2 * nth} 0 R" for nth in range(len(contents)))
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /{} /Encoding /WinAnsiEncoding >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /Lang (fr-FR) /ViewerPreferences << /DisplayDocTitle true >> >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(contents)} /MediaBox [0 0 {_WIDTH} {_HEIGHT}] >>".encode(),
        font.format("Helvetica").encode(),
        font.format("Helvetica-Bold").encode(),
        f"<< /Title ({_escaped(title)}) /Author ({_escaped(author)}) /CreationDate (D:{created}Z) >>".encode("cp1252"),
    ]
    for nth, content in enumerate(contents):
        page = "<< /Type /Page /Parent 2 0 R /Resources << /Font << /R 3 0 R /B 4 0 R >> >> "
        objects.append(f"{page}/Contents {7 + 2 * nth} 0 R >>".encode())
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    written, offsets = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, item in enumerate(objects, 1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    trailer = b"trailer\n<< /Size %d /Root 1 0 R /Info 5 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(written))
    return written + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + trailer
