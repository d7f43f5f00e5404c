"""Which listings meet every chunk wanted: jobs, their walks, what they cost and hold. No I/O.

A *walk* is one listing over an interval of ranks, a *job* what is listed together. Uses planning,
metadata, keys and stores.
"""
