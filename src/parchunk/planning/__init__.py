"""From Zarr metadata to a plan: split, regions, record size; what becomes of it when arrays grow.

A *region* is a range of the split dimension, a *partition* one array's chunks in one region.
Integers but for `from_source` and `source_again`. Uses keys, metadata and stores.
"""
