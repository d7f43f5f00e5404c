"""Kerchunk Parquet references from the listing of a native Zarr store, region by region."""

__version__ = "0.1.0"
