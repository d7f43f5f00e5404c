"""How far something is and what a value is, shown to a person: in a terminal, a log, a notebook.

It knows no other room's values: those say themselves how far they are (`HowFar`), and what they
look like in a notebook is registered with it. All rooms may use it; it uses wording.
"""
