"""The main job: pending partitions are listed, written and receipted, and then published.

A *ready job* has all that building it needs, and pickles; a *task* is a stretch of partitions that
any machine can do which reaches the source and OUT. Uses writing, listing, cover, out, planning,
metadata, keys and stores.
"""
