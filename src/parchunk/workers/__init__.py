"""Where work runs that is not this process's: processes beside it, an executor of the caller's.

It uses errors.
"""
