"""The name of a browser, as its user knows it: for the list of sessions, and for telling of a new one."""

from __future__ import annotations

import re

#: The first that is in the header names it: many claim to be others, too.
_BROWSERS = (
    (r"Edg(e|A|iOS)?/", "Edge"),
    (r"OPR/|Opera", "Opera"),
    (r"SamsungBrowser/", "Samsung Internet"),
    (r"Firefox/|FxiOS/", "Firefox"),
    (r"Chrome/|CriOS/|Chromium/", "Chrome"),
    (r"Safari/", "Safari"),
)
_SYSTEMS = (
    (r"iPhone", "iPhone"),
    (r"iPad", "iPad"),
    (r"Android", "Android"),
    (r"Windows", "Windows"),
    (r"Mac OS X|Macintosh", "macOS"),
    (r"CrOS", "ChromeOS"),
    (r"Linux|X11", "Linux"),
)


def name_of(user_agent: str) -> str:
    """
    The browser and the system that a User-Agent header names; empty when it names neither.  RFC 9110 s. 10.1.5

    >>> name_of("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
    'Firefox · Linux'
    """
    found = (
        next((name for pattern, name in known if re.search(pattern, user_agent[:512])), "")
        for known in (_BROWSERS, _SYSTEMS)
    )
    return " · ".join(filter(None, found))
