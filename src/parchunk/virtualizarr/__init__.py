"""A parser for VirtualiZarr, and the store that it reads inlined chunks from.

Importing this room does not import virtualizarr, which is an optional extra. Uses reading, out,
planning, metadata, keys and stores, and icechunk_import's locations.
"""

from parchunk.virtualizarr.parser import RegionParser

__all__ = ["RegionParser"]
