"""Chunk keys and chunk numbers: integers and spelling, no I/O.

A *chunk number* is a chunk's index ravelled in C order, a *rank* its key's place in text order,
a *tail* what its key has behind the array's name. Uses no other room.
"""
