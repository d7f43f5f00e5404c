"""Inventories: tables of objects that stand in for a listing, recognised, sorted and looked into.

An *inventory* is what its maker wrote, in one of many formats; *sorted objects* are its rows below
one folder of a store, in the order of their keys, in a file of the system's temporary directory.
Uses no other room.
"""
