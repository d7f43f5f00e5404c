"""What requests cost and take, for forecasts: S3 Standard in us-east-1; others are near it."""

from __future__ import annotations

from parchunk.wording import duration

#: US dollars for 1,000 LIST requests.
LIST_PRICE = 0.005
#: Seconds for one LIST request of 1,000 keys on S3 (icechunk#2371).
LIST_SECONDS = 0.15
#: US dollars for 1,000 GET requests there, and seconds for one that returns a few kilobytes: the
#: better end of the 100 to 200 ms that AWS gives for small objects.
GET_PRICE = 0.0004
GET_SECONDS = 0.1


def price_text(dollars: float) -> str:
    """Return a price for people: ``about $0.56``."""
    return f"about ${dollars:,.2f}" if dollars >= 0.01 else "less than $0.01"


def costs_text(dollars: float, seconds: float) -> str:
    """Return what requests cost and take for people: ``about $0.56 and 28 min``."""
    return f"{price_text(dollars)} and {time_text(seconds)}"


def time_text(seconds: float) -> str:
    """Return what is forecast to take so many seconds, for people."""
    return duration(seconds) if seconds >= 1 else "less than a second"
