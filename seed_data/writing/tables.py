"""Reading the tables: every row is a dict of strings, the columns being the header of the file."""

import csv
import functools
import json
from pathlib import Path

TABLES = Path(__file__).parents[1] / "tables"
FILES = Path(__file__).parents[1] / "files"

ANCHOR = "2026-11-22"
"""The day the record was written: what is "past" and "to come" is meant from here, and ages too."""


@functools.cache
def rows(name: str) -> list[dict[str, str]]:
    """The rows of `tables/<name>.csv`, in order; ValueError when a row has more or fewer cells than the header."""
    with (TABLES / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines)
        header = next(reader)
        return [dict(zip(header, row, strict=True)) for row in reader if row]


def rows_of(name: str, person: str) -> list[dict[str, str]]:
    """The rows of a table whose `person` column is this one."""
    return [row for row in rows(name) if row["person"] == person]


@functools.cache
def document(name: str) -> list[dict]:
    """What `tables/<name>.json` holds."""
    return json.loads((TABLES / f"{name}.json").read_text(encoding="utf-8"))
