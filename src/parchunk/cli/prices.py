"""What requests cost and take, for forecasts: S3 Standard in us-east-1; others are near it."""

from __future__ import annotations

#: US dollars for 1,000 LIST requests.
LIST_PRICE = 0.005
#: Seconds for one LIST request of 1,000 keys on S3 (icechunk#2371).
LIST_SECONDS = 0.15
#: US dollars for 1,000 GET requests there, and seconds for one that returns a few kilobytes: the
#: better end of the 100 to 200 ms that AWS gives for small objects.
GET_PRICE = 0.0004
GET_SECONDS = 0.1
