"""Many stores, one dataset: what must fit, which store holds what, one coordinate of all of theirs.

A *member* is one store of the dataset, a *stretch* what it holds of an array along the joined
dimension, a *misfit* what keeps two stores apart, a *kept array* one that is read from the stores,
joined, and held inline. Integers and documents but for `values` and `patterns`, which read. Uses
keys, metadata and stores.
"""
