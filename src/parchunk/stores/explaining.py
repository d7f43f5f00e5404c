"""What obstore's exceptions mean: in one line for people, and whether trying again can help.

Their messages run over many lines and repeat the request: keys, durations, and signed URLs, in
which any number and any word may stand. So only what a server said is looked at, by its place.
"""

from __future__ import annotations

import re

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from parchunk.stores.redaction import redact

_STATUS = re.compile(r"\bstatus(?: code)?: (\d{3})\b(?: [A-Z][A-Za-z ]+)?")
_CODE = re.compile(r"<Code>([A-Za-z0-9]+)</Code>")
_NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound"})
_CERTIFICATE = re.compile(r"\bInvalidCertificate\(\s*([A-Za-z]+)")
#: What is said of a server whose certificate nobody vouches for; a reason belongs into it.
DISTRUSTED = (
    "the certificate of the store is not believed ({}): check the endpoint, or name the file of "
    "its authority in SSL_CERT_FILE"
)
#: What obstore says of an answer that the bucket is elsewhere, which it does not follow.
_REDIRECT = "redirect without LOCATION"
#: What obstore says of a key that it does not take: one with control characters, or not in UTF-8.
_KEY = re.compile(
    r'object with invalid path: (?:Error parsing )?Path "(.*?)"(?:: Encountered| contained)', re.S
)
_REGION = re.compile(r"<Region>([a-z0-9-]{1,40})</Region>")


def in_region(region: str) -> str:
    """Return what is said of a bucket that is in another region than was asked."""
    return f"the bucket is in region {region}: give --store-option region={region}"


def region_in(body: str) -> str | None:
    """Return the region that an answer of S3 says a bucket is in, if it says so."""
    found = _REGION.search(body)
    elsewhere = _code(body) in ("AuthorizationHeaderMalformed", "PermanentRedirect")
    return found[1] if found and elsewhere else None


def is_final(error: BaseException) -> bool:
    """Whether trying again cannot help: no permission, no bucket, a loop, a key that none takes."""
    if isinstance(error, PermissionError | TypeError | ValueError):
        return True
    text = _without_urls(error)
    if _is_denied(error, text) or _code(text) in _NO_BUCKET:
        return True
    if _REDIRECT in text or region_in(text) or _KEY.search(text):
        return True
    return "inner: Loop {" in text or _CERTIFICATE.search(text) is not None


def explain(error: BaseException, unsigned: str = "") -> str:
    """Return what went wrong in one line without secrets, from an obstore exception.

    ``unsigned`` says why the request carried no credentials, where it did not.
    The system's own errors (of a local folder) say it themselves: they know no credentials.
    """
    text = _without_urls(error)
    answer = _STATUS.search(text)
    if _code(text) in _NO_BUCKET:
        return "no such bucket: check the URL"
    if region := region_in(text):
        return in_region(region)
    if _REDIRECT in text:
        return (
            "the bucket is in another region than was asked: give --store-option region=REGION, "
            "which AWS names to curl -sI https://s3.amazonaws.com/BUCKET (x-amz-bucket-region)"
        )
    if found := _KEY.search(text):
        return (
            f"there is an object or folder of the key {redact(repr(found[1]))[:300]}, which has "
            "empty segments, control characters or what is no UTF-8, and cannot be asked for: "
            "rename it"
        )
    if answer is None and (found := _CERTIFICATE.search(text)):
        return DISTRUSTED.format(found[1])
    if _is_denied(error, text) and getattr(error, "errno", None) is None:
        what = "permission denied"
        hint = (
            unsigned
            or "check the credentials, or --store-option skip_signature=true for public data"
        )
    elif answer is None and re.search(r"dns error|\bkind: Connect\b|[Cc]onnection", text):
        what, hint = "no connection to the store", "check the endpoint and the network"
    else:
        first = text.strip().partition("\n")[0]
        return redact(first)[:300]
    said = answer.group().partition(": ")[2] if answer else type(error).__name__
    return f"{what} ({_code(text) or said}): {hint}"


def status(error: BaseException) -> str | None:
    """Return the status of the answer that an obstore exception tells of, or None."""
    found = _STATUS.search(_without_urls(error))
    return found.group(1) if found else None


def _is_denied(error: BaseException, text: str) -> bool:
    if isinstance(error, PermissionError | PermissionDeniedError | UnauthenticatedError):
        return True
    answer = _STATUS.search(text)
    return answer is not None and answer.group(1) in ("401", "403")


def _code(text: str) -> str | None:
    """Return the code in the body of an answer of S3, Google Cloud Storage or Azure."""
    found = _CODE.search(text)
    return found.group(1) if found else None


def _without_urls(error: BaseException) -> str:
    return re.sub(r"[a-z]+://[^\s,]+", "URL", str(error))
