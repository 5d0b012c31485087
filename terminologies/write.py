"""Write the terminologies: the tables in, CodeSystem, ValueSet and NamingSystem resources and SOURCES.md out.

    python terminologies/write.py [folder]

The same tables give the same bytes, on every machine.  R4: codesystem.html, valueset.html, namingsystem.html

    tables/systems.csv       a row for each code system; `source` names a row of tables/sources.csv
    tables/codes/<id>.csv    its codes: display in the language of the system, further names in French (`fr`) and
                             English (`en`), the codes above, the value sets that it is in, a column for each property
    tables/value_sets.csv    a row for each value set; `whole` lists others that it is made of
    tables/naming_systems.csv  a row for each system of identifiers; `code` is the type of such an identifier in `type`
"""

import csv
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
TABLES = HERE / "tables"
#: The columns that are not properties.
_OWN = ("code", "display", "fr", "en", "parents", "sets")
_STANDARD = "http://hl7.org/fhir/concept-properties#"
_PROPERTIES = "https://fhir-server.example/CodeSystem/properties#"
_SNOMED = "http://snomed.info/sct"
_DATE = "2026-11-22"
#: What a column of properties is: (code, uri, type, what it says).
PROPERTIES = {
    "parent": ("parent", f"{_STANDARD}parent", "code", "A further code above"),
    "not-selectable": ("notSelectable", f"{_STANDARD}notSelectable", "boolean", "Groups others; not to be used"),
    "status": ("status", f"{_STANDARD}status", "code", "active, deprecated or retired"),
    "protects-from": (
        "protects-from",
        f"{_PROPERTIES}protects-from",
        "Coding",
        "A disease that the vaccine is against",
    ),
    "document-class": (
        "document-class",
        f"{_PROPERTIES}document-class",
        "code",
        "The class of a document of this type",
    ),
    "record-category": ("record-category", f"{_PROPERTIES}record-category", "code", "Its category in the record"),
    "atc": ("atc", f"{_PROPERTIES}atc", "code", "The ATC class of the product"),
    "cip": ("cip", f"{_PROPERTIES}cip", "string", "The code on the pack"),
}
#: A list of codes that is said to be another's whole would go on growing with it.
_WHOLE = "complete"


def rows(name: str) -> list[dict[str, str]]:
    """The rows of `tables/<name>.csv`; ValueError when a row has more or fewer cells than the header."""
    with (TABLES / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines)
        header = next(reader)
        return [dict(zip(header, row, strict=True)) for row in reader if row]


def code_system(system: dict[str, str], source: dict[str, str]) -> dict:
    """The CodeSystem of a row."""
    codes = rows(f"codes/{system['id']}")
    columns = [name for name in (codes[0] if codes else {}) if name not in _OWN]
    if any(" " in row["parents"] for row in codes):
        columns.append("parent")
    nested = any(row["parents"] for row in codes)
    return _head("CodeSystem", system, source) | {
        "caseSensitive": True,
        **({"hierarchyMeaning": "is-a"} if nested else {}),
        "content": system["content"],
        "count": len(codes),
        **({"property": [_declared(name) for name in columns]} if columns else {}),
        "concept": _nested(codes),
    }


def value_set(row: dict[str, str], source: dict[str, str], systems: list[dict[str, str]]) -> dict:
    """The ValueSet of a row: the codes that are said to be in it, a system as a whole where all of it is."""
    include: list[dict] = []
    for system in systems:
        codes = rows(f"codes/{system['id']}")
        held = [code["code"] for code in codes if row["key"] in code["sets"].split()]
        whole = len(held) == len(codes) and system["content"] == _WHOLE
        if held:
            listed = {} if whole else {"concept": [{"code": code} for code in held]}
            include.append({"system": system["url"], **listed})
    urls = {each["key"]: each["url"] for each in rows("value_sets")}
    parts = [urls[part.removeprefix("valueset:")] for part in row["whole"].split()]
    include += [{"valueSet": [url]} for url in parts]
    head = _head("ValueSet", row | {"id": value_set_id(row), "language": "fr"}, source)
    return head | {"compose": {"include": include}}


def naming_system(row: dict[str, str], systems: list[dict[str, str]]) -> dict:
    """The NamingSystem of a row: under its address, and under its OID where it has one."""
    addresses = [{"type": "oid", "value": row["oid"], "preferred": False}] if row["oid"] else []
    addresses.append({"type": "uri", "value": row["uri"], "preferred": True})
    of = next(system["url"] for system in systems if system["id"] == row["type"])
    return {
        "resourceType": "NamingSystem",
        "id": row["id"],
        "language": "fr",
        "name": row["id"].replace("-", "_").upper(),
        "status": "active",
        "kind": "identifier",
        "date": _DATE,
        "publisher": "fhir-server",
        "responsible": row["responsible"],
        "type": {"coding": [{"system": of, "code": row["code"]}], "text": row["title"]},
        "description": f"{row['title']} / {row['title_en']}. {row['description']}",
        "jurisdiction": [{"coding": [{"system": "urn:iso:std:iso:3166", "code": "FR"}]}],
        "usage": row["usage"],
        "uniqueId": addresses,
    }


def value_set_id(row: dict[str, str]) -> str:
    """The last part of its url, as an id can be: at most 64 characters."""
    return row["url"].rpartition("/")[2][:64]


def outputs() -> dict[str, str]:
    """The text of every file written, by its path under the folder."""
    systems, sources = rows("systems"), {row["key"]: row for row in rows("sources")}
    written = {}
    for system in systems:
        resource = code_system(system, sources[system["source"]])
        written[f"code-systems/{resource['id']}.json"] = _text(resource)
    for row in rows("value_sets"):
        resource = value_set(row, sources[row["source"]], systems)
        written[f"value-sets/{resource['id']}.json"] = _text(resource)
    for row in rows("naming_systems"):
        written[f"naming-systems/{row['id']}.json"] = _text(naming_system(row, systems))
    return written | {"SOURCES.md": _sources(systems, sources)}


def main(folder: Path) -> None:
    """Write every file under the folder; a resource that is no longer in the tables goes."""
    written = outputs()
    for kind in ("code-systems", "value-sets", "naming-systems"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for stale in (folder / kind).glob("*.json"):
            if f"{kind}/{stale.name}" not in written:
                stale.unlink()
    for path, text in written.items():
        (folder / path).write_text(text, encoding="utf-8", newline="\n")


def _head(type: str, row: dict[str, str], source: dict[str, str]) -> dict:
    own = row["source"] == "OWN"
    part = row.get("content") == "fragment"
    scope = " Only the codes that this project uses." if part else ""
    name = row["id"].replace("-", "_")
    return {
        "resourceType": type,
        "id": row["id"],
        "language": row["language"],
        "url": row["url"],
        **({"identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{row['oid']}"}]} if row["oid"] else {}),
        **({"version": "1.0.0"} if own else {}),
        "name": name[0].upper() + name[1:],
        "title": row["title"],
        "status": "active",
        "experimental": False,
        "publisher": source["publisher"],
        "description": f"{row['title']} / {row['title_en']}.{scope}",
        **({"copyright": source["copyright"]} if source["copyright"] else {}),
    }


def _declared(column: str) -> dict:
    code, uri, type, description = PROPERTIES[column]
    return {"code": code, "uri": uri, "description": description, "type": type}


def _nested(codes: list[dict[str, str]]) -> list[dict]:
    """The concepts, each below the first of its parents."""
    made = {row["code"]: _concept(row) for row in codes}
    top = []
    for row in codes:
        above = row["parents"].split()
        if above:
            made[above[0]].setdefault("concept", []).append(made[row["code"]])
        else:
            top.append(made[row["code"]])
    return top


def _concept(row: dict[str, str]) -> dict:
    properties = [_property("parent", code) for code in row["parents"].split()[1:]]
    for column, text in row.items():
        if column not in _OWN:
            several = text.split() if column == "protects-from" else [text]
            properties += [_property(column, each) for each in several if each]
    names = [{"language": language, "value": row[language]} for language in ("fr", "en") if row.get(language)]
    return {
        "code": row["code"],
        "display": row["display"],
        **({"designation": names} if names else {}),
        **({"property": properties} if properties else {}),
    }


def _property(column: str, text: str) -> dict:
    code, _, type, _ = PROPERTIES[column]
    if type == "Coding":
        return {"code": code, "valueCoding": {"system": _SNOMED, "code": text}}
    return {"code": code, f"value{type.capitalize()}": text == "true" if type == "boolean" else text}


def _text(resource: dict) -> str:
    """A concept a line: a change of the tables reads as a change of lines."""
    text = json.dumps(resource, ensure_ascii=False, indent=1)
    if resource["resourceType"] != "CodeSystem":
        return text + "\n"
    head = json.dumps(
        {name: value for name, value in resource.items() if name != "concept"}, ensure_ascii=False, indent=1
    )
    lines = ",\n".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in resource["concept"])
    return f'{head[:-2]},\n "concept": [\n{lines}\n ]\n}}\n'


def _sources(systems: list[dict[str, str]], sources: dict[str, dict[str, str]]) -> str:
    lines = ["# Where the codes come from", "", "Written by `write.py`; see `README.md`.", ""]
    lines += ["| code system | canonical url | what is here | source |", "|---|---|---|---|"]
    for system in systems:
        count = len(rows(f"codes/{system['id']}"))
        what = f"all {count} codes" if system["content"] == _WHOLE else f"{count} codes, those in use"
        lines.append(f"| {system['title']} | `{system['url']}` | {what} | {system['source']} |")
    lines += ["", "| source | publisher | licence |", "|---|---|---|"]
    lines += [f"| {key} | {row['publisher']} | {row['licence']} |" for key, row in sources.items()]
    lines += ["", "## Notices", ""]
    lines += [f"- **{key}**: {row['copyright']}" for key, row in sources.items() if row["copyright"]]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
