"""Terminology: code systems, value sets, and what is asked of them, over values alone.

    concepts.py    what a code system says of a code
    systems.py     a code system, in memory or in a store: one protocol; and where systems and value sets come from
    conditions.py  the filters of a value set, held against a concept
    value_sets.py  a value set, read: who is in, and all who are
    expansion.py   $expand          membership.py  $validate-code
    relations.py   $subsumes, and what search asks: members, descendants, ancestors
    carried.py     the terminologies that come with the project, and those of R4's required bindings

R4: terminology-service.html, valueset.html, codesystem.html
"""
