"""Grids and spellings for property tests: small enough to enumerate, awkward enough to matter."""

from hypothesis import strategies as st

STYLES = [("", "."), ("", "/"), ("c", "/"), ("c", ".")]
"""Each a prefix and a separator, of v2 and of v3."""

styles = st.sampled_from(STYLES)
grids = st.one_of(
    st.just(()),
    st.tuples(st.integers(1, 1200)),
    st.tuples(st.integers(1, 130), st.integers(1, 13)),
    st.tuples(st.integers(1, 13), st.integers(1, 130)),
    st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12)),
    st.tuples(*[st.integers(1, 11)] * 2, st.integers(1, 3), st.integers(1, 12)),
)
