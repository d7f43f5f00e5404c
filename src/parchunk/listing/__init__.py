"""The source's chunks, listed: the only room that asks a store which chunks it holds.

Walks become batches of keys, batches a *tally* (sizes by chunk number), and what is no chunk a
*stray*. Uses cover, metadata, keys and stores.
"""
