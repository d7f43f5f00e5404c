"""What was listed becomes record files: sizes become rows, rows become Parquet.

Uses listing, out, metadata, keys and stores.
"""
