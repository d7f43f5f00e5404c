"""Histories of datasets that are compared at every quiet moment: see `benchmarks.quiet_histories`.

``store`` is one Zarr store that changes, ``shapes`` are the datasets that stores make, ``truth`` is
what stock zarr reads of them, ``readers`` what stock fsspec and zarr read of OUT, ``manners`` how
commands are given, ``course`` what happens in which order, and ``judging`` what may be.
"""
