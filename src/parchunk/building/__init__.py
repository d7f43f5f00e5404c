"""The main job: pending partitions are listed, written and receipted, and then published.

A *task* is a job with all that building it needs, picklable. Uses writing, listing, cover, out,
planning, metadata, keys and stores.
"""
