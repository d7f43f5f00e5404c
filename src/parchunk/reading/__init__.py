"""OUT read back: as a dataset, as SQL views, as rows, as a status.

Uses out, planning, metadata, keys and stores.
"""
