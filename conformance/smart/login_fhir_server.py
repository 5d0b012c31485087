"""How a person gets through the pages of this project's server: the login script of the SMART checklist.

    authorize(browser, page, person, decision)   from the first page of an authorization request to the redirect URI
    launch(suite, encounter=False)               an EHR launch: {"launch", "patient", "encounter"}

A script for another server has the same two functions (the second only where there are EHR launches), and no more of
the checklist knows how the pages of that server look.
"""

from __future__ import annotations

import re

#: What the boxes of the page of consent that open a type begin with.
SECTIONS = {
    "Observation": ("MESURES", "RESULTATS", "HABITUDES_VIE", "GROUPE_SANGUIN"),
    "Condition": ("MALADIES", "HANDICAPS"),
}


def authorize(browser, page, person, decision):
    """The URL that the browser leaves for, once the person has signed in and decided."""
    for _ in range(12):
        if page.left:
            return page.left
        assert page.status == 200, f"{page.url}: {page.status} {' '.join(page.text.split())[:500]}"
        page = _next(browser, page, person, decision)
    raise AssertionError(f"the pages do not end: {page.url}")


def _next(browser, page, person, decision):
    form = page.forms[0]
    wanted = {field.autocomplete for field in form.fields}
    names = {field.name for field in form.fields}
    if "current-password" in wanted:
        return browser.submit(page, form, {"login": person["login"], "password": person["password"]})
    if "one-time-code" in wanted:
        return browser.submit(page, form, {"code": _code(browser, person)})
    if "patient" in names:
        return browser.submit(page, form, {"patient": decision.patient})
    if "encounter" in names:
        return browser.submit(page, form, {"encounter": "none"})
    if "row" in names:
        if decision.refuse:
            refused = browser.open(page.url.removesuffix("/consent") + "/refuse", _hidden(form), referer=page.url)
            return _leaving(browser, refused)
        values = {"row": lambda box: _ticked(box.value, decision.without)}
        return browser.submit(page, form, values | ({"lasting": "year"} if "lasting" in names else {}))
    raise AssertionError(f"a page that is not known: {page.url} {' '.join(page.text.split())[:300]}")


def _ticked(row, without):
    """Whether the person ticks a box: each, but those of the types that are to be left out."""
    return not any(row.startswith(prefix) for type in without for prefix in SECTIONS.get(type, (type,)))


def _code(browser, person):
    """The latest one-time code in the outbox of the demonstration."""
    page = browser.open(person["outbox"])
    return re.search(r"\b(\d{6})\b", page.text)[1]


def _hidden(form):
    return [(field.name, field.value) for field in form.fields if field.type == "hidden"]


def _leaving(browser, page):
    """The page after a refusal has a link back to the app."""
    found = next(link for link in page.links if "error=" in link)
    page.left = found
    return page
