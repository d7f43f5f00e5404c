"""Arguments of the Python functions as people write them. All rooms may use it; it uses errors."""
