"""Documents."""


def documents(row):
    return []
