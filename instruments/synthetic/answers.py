"""Requests and answers of the synthetic server, as far as no dialect says them otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from instruments.synthetic.faults import Fault

BUCKET = "formula"

REASONS = {
    200: "OK",
    206: "Partial Content",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    416: "Range Not Satisfiable",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_CODES = {
    401: ("Unauthorized", "Invalid Credentials"),
    403: ("AccessDenied", "Access Denied"),
    404: ("NoSuchKey", "The specified key does not exist."),
    408: ("RequestTimeout", "Your socket connection was not read from in time."),
    429: ("TooManyRequests", "Too many requests."),
    500: ("InternalError", "We encountered an internal error. Please try again."),
    501: ("NotImplemented", "A header or parameter implies what is not implemented."),
    503: ("SlowDown", "Please reduce your request rate."),
}


@dataclass
class Request:
    """What is asked for, and what befalls it; ``json``: a listing in Google's words."""

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    range: str
    fault: Fault | None = None
    json: bool = False

    @property
    def kind(self) -> str:
        """LIST, GET, HEAD, or the method itself."""
        if self.method == "GET" and not self.key and self.query.get("list-type") == "2":
            return "LIST"
        return self.method


@dataclass
class Answer:
    """A status, a body, and the lines of the head that are not of every answer."""

    status: int
    body: bytes
    head: str = "Content-Type: application/xml\r\n"


def error(status: int, code: str = "", message: str = "") -> Answer:
    """Return an error as S3 says it, in the usual words of its status unless others are given."""
    code, message = (code, message) if code else _CODES[status]
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message>"
        "<RequestId>0</RequestId></Error>"
    )
    return Answer(status, text.encode())
