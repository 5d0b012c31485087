"""Write r4/names.json: the names that R4 gives the codes of its required bindings, {system: {code: display}}.

    python terminologies/names.py FOLDER

FOLDER is the unpacked npm package `hl7.fhir.r4.core` or `hl7.fhir.r4.examples`, 4.0.1 (CC0).  Run again only when
profiles/r4/bindings.json changes, which has the codes.  R4: codesystem.html
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
BINDINGS = HERE.parent / "profiles" / "r4" / "bindings.json"


def names(folder: Path) -> dict[str, dict[str, str]]:
    """The names of the bound codes, in the order of the bindings."""
    wanted: dict[str, dict[str, None]] = {}
    for systems in json.loads(BINDINGS.read_text(encoding="utf-8"))["codes"].values():
        for system, codes in systems.items():
            wanted.setdefault(system, {}).update(dict.fromkeys(codes))
    known: dict[str, dict[str, str]] = {}
    for path in sorted(folder.glob("CodeSystem-*.json")):
        resource = json.loads(path.read_text(encoding="utf-8"))
        if resource.get("url") in wanted:
            known[resource["url"]] = dict(_displays(resource.get("concept", ())))
    found = {system: {code: known.get(system, {}).get(code) for code in codes} for system, codes in wanted.items()}
    return {
        system: named
        for system, codes in sorted(found.items())
        if (named := {code: name for code, name in codes.items() if name and name != code})
    }


def _displays(rows: list[dict]) -> Iterator[tuple[str, str]]:
    for row in rows:
        if "display" in row:
            yield row["code"], row["display"]
        yield from _displays(row.get("concept", []))


if __name__ == "__main__":
    (HERE / "r4").mkdir(exist_ok=True)
    text = json.dumps(names(Path(sys.argv[1])), ensure_ascii=False, indent=1)
    (HERE / "r4" / "names.json").write_text(text + "\n", encoding="utf-8", newline="\n")
