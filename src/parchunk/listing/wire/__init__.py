"""Pages read from the answers of S3 and of Google Cloud Storage as they come over the wire.

`page_reader` reads an answer with vector kernels where it looks like every other one, and
`strict_reader` any; `server` fetches answers, and `choosing` says when they are read here.
"""
