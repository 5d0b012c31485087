"""How people get through the pages of this project's server: the login script of the SMART checklist.

    authorize(browser, page, person, decision)   from the first page of an authorization request to the redirect URI
    launch(suite, encounter=False)               an EHR launch: {"launch", "patient", "encounter"}

A script for another server has the same two functions (the second only where there are EHR launches); no more of the
checklist knows how the pages of a server look.
"""

from __future__ import annotations

import re

#: What the boxes of the page of consent that open a type begin with.
SECTIONS = {
    "Observation": ("MESURES", "RESULTATS", "HABITUDES_VIE", "GROUPE_SANGUIN"),
    "Condition": ("MALADIES", "HANDICAPS"),
}
#: The boxes for what is in none of the categories.
REST = ("RESULTATS-", "MALADIES-")


def authorize(browser, page, person, decision):
    """The URL that the browser leaves for, once the person has signed in and decided."""
    for _ in range(12):
        if page.left:
            return page.left
        assert page.status == 200, f"{page.url}: {page.status} {' '.join(page.text.split())[:500]}"
        page = _next(browser, page, person, decision)
    raise AssertionError(f"the pages do not end: {page.url}")


def launch(suite, encounter=False):
    """A launch of the app `launched`, made by the software that has the record of a patient open."""
    software, app = suite.app("software"), suite.app("launched")
    opened = software.connect()
    bearer = {"Authorization": f"Bearer {opened['access_token']}"}
    context = {"client_id": app.client_id, "patient": opened["patient"]}
    if encounter:
        found = software.get(f"Encounter?patient={opened['patient']}&_count=1", opened["access_token"]).json()
        context |= {"encounter": found["entry"][0]["resource"]["id"]} if found.get("entry") else {}
    made = suite.http.post(suite.settings["launch_endpoint"], json=context, headers=bearer, timeout=30)
    assert made.status_code == 201, made.text
    return context | {"launch": made.json()["launch"]}


def _next(browser, page, person, decision):
    """The page after this one."""
    form = next((form for form in page.forms if any(field.type != "hidden" for field in form.fields)), page.forms[0])
    names = {field.name: field for field in form.fields}
    wanted = {field.autocomplete for field in form.fields}
    if "current-password" in wanted:
        there = next((link for link in page.links if "/sign-in/psc" in link), None)
        if person.get("professional") and there:
            return browser.open(there)
        return browser.submit(page, form, {"login": person["login"], "password": person["password"]})
    if "one-time-code" in wanted:
        return browser.submit(page, form, {"code": _code(browser, person)})
    if "notice" in names or "activity" in names:
        return browser.submit(page, form, {"notice": True, "activity": "0"})
    if "family" in names:
        return browser.submit(page, form, person["patient"], button="traits")
    if "patient" in names:
        hidden = names["patient"].type == "hidden"
        return browser.submit(page, form, {} if hidden else {"patient": decision.patient})
    if "encounter" in names:
        return browser.submit(page, form, {"encounter": "none"})
    if page.url.endswith("/consent"):
        return _decide(browser, page, form, decision)
    raise AssertionError(f"a page that is not known: {page.url} {' '.join(page.text.split())[:300]}")


def _decide(browser, page, form, decision):
    """The page of consent: each box ticked, but those of the types that are to be left out."""
    if decision.refuse:
        hidden = [(field.name, field.value) for field in form.fields if field.type == "hidden"]
        refused = browser.open(page.url.removesuffix("/consent") + "/refuse", hidden, referer=page.url)
        refused.left = next(link for link in refused.links if "error=" in link)
        return refused
    prefixes = tuple(prefix for type in decision.without for prefix in SECTIONS.get(type, (type,)))
    prefixes += REST if decision.by_category else ()
    return browser.submit(
        page, form, {"row": lambda box: not box.value.startswith(prefixes or ("-",)), "lasting": "year"}
    )


def _code(browser, person):
    """The latest one-time code in the outbox of the demonstration."""
    return re.search(r"\b(\d{6})\b", browser.open(person["outbox"]).text)[1]
