"""Object stores and folders: opening one, reading one object, saying what went wrong.

A *store* is what obstore opens for a URL; a *source* is a store with the prefix at which its Zarr
hierarchy begins. Uses no other room.
"""
