"""What lies in OUT, each whole: plan, record files, receipts, root, and the lease to write them.

A *receipt* says that a partition is done, and what it came to; the *root* makes the record files
a store. Uses planning, metadata and stores.
"""
