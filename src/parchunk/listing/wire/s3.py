"""The dialect of S3: requests, their signatures, and what errors mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote

from parchunk.extras import require
from parchunk.listing.pages import PageError
from parchunk.listing.wire.connection import Answer
from parchunk.listing.wire.page_reader import PageReader
from parchunk.listing.wire.s3_place import S3Place
from parchunk.listing.wire.server import Limits, Origin
from parchunk.listing.wire.wire_pages import refusal
from parchunk.stores.answering import answer
from parchunk.stores.explaining import in_region, region_in
from parchunk.stores.redaction import redact

_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,60})</Code>")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
#: The hash of no body at all, which every request here has.
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True)
class S3:
    """The dialect of S3: ListObjectsV2."""

    place: S3Place
    signer: Signer | None = field(default=None, repr=False)
    #: Whether objects are wanted with their entity tags.
    tagged: bool = False

    @property
    def origin(self) -> Origin:
        """The server."""
        return self.place.origin

    @property
    def limits(self) -> Limits:
        """How long its answers are waited for."""
        return self.place.limits

    def ready(self) -> S3:
        """Return the dialect with what signs its requests.

        Raises
        ------
        MissingExtraError
            When botocore is needed, and not there.
        """
        return self if self.place.kind == "anonymous" else replace(self, signer=Signer(self.place))

    def target(self, prefix: str, after: str | None, token: str | None) -> str:
        """Return the path and query that ask for a page."""
        query = {
            "continuation-token": token,
            "list-type": "2",
            "prefix": prefix,
            "start-after": after,
        }
        # In this order, as signatures want it.
        text = "&".join(f"{key}={quote(value, safe='~')}" for key, value in query.items() if value)
        return f"{self.place.path}?{text}"

    def headers(self, target: str) -> dict[str, str]:
        """Return what is sent with a request, the signature included."""
        payer = {"x-amz-request-payer": "requester"} if self.place.payer else {}
        return payer if self.signer is None else self.signer.headers(self.place, target, payer)

    def reader(self, after: str | None) -> PageReader:
        """Return what reads the pages of one listing."""
        return PageReader(self.tagged)

    def refused(self, answer: Answer, unsigned: str) -> PageError:
        """Return the error that an answer is."""
        found = _CODE.search(answer.body)
        code = found[1].decode() if found else ""
        if 300 <= answer.status < 400:
            region = answer.headers.get("x-amz-bucket-region", "")
            if _REGION.fullmatch(region):
                return PageError(in_region(region), True)
            return PageError(
                f"the bucket is elsewhere ({code or answer.status}): give its endpoint, or "
                "--listing obstore, which goes there",
                True,
            )
        if region_named := region_in(answer.body.decode(errors="replace")):
            return PageError(in_region(region_named), True)
        return refusal(answer, code, unsigned)


class Signer:
    """Signs requests with botocore, whose credentials are static ones or those that it finds."""

    def __init__(self, place: S3Place) -> None:
        """Check that botocore is there; credentials are looked for when they are needed."""
        require("botocore", "wire")
        self._place = place

    @cached_property
    def _credentials(self) -> Any:
        from botocore.credentials import Credentials
        from botocore.session import Session

        place = self._place
        if place.key_id:
            return Credentials(place.key_id, place.secret, place.session or None)
        try:
            if place.provider is not None:
                return _provided(place.provider, place.limits.whole)
            session = Session()
            session.set_config_variable("region", place.region)
            if place.kind == "web identity":
                chain = session.get_component("credential_provider")
                found = chain.get_provider("assume-role-with-web-identity").load()
            else:
                found = session.get_credentials()
        except Exception as error:
            final = place.provider is None  # whose next answer may be another one
            raise PageError(f"no credentials: {_one_line(error)}", final) from None
        if found is None:
            raise PageError(
                "no credentials were found: set them in the environment or in a profile, or give "
                "--store-option skip_signature=true for public data",
                True,
            )
        return found

    def headers(self, place: S3Place, target: str, others: Mapping[str, str]) -> dict[str, str]:
        """Return the headers that sign a GET of ``target``, with the others that it has."""
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest("GET", f"{place.origin.url}{target}", headers=dict(others))
        request.headers["X-Amz-Content-SHA256"] = _EMPTY
        try:
            credentials = self._credentials
            frozen = credentials.get_frozen_credentials()
            S3SigV4Auth(frozen, "s3", place.region).add_auth(request)
        except PageError:
            raise
        except Exception as error:
            raise PageError(f"credentials cannot be had: {_one_line(error)}") from None
        return dict(request.headers.items())


def _provided(provider: Callable[[], Any], quiet: float) -> Any:
    """Return the credentials that a provider gives, which is asked again before they end."""
    from botocore.credentials import Credentials, RefreshableCredentials

    def asked() -> dict[str, Any]:
        found = answer(provider, quiet)
        ends = found.get("expires_at")
        return {
            "access_key": found["access_key_id"],
            "secret_key": found["secret_access_key"],
            "token": found.get("token"),
            "expiry_time": ends and ends.isoformat(),
        }

    first = asked()
    if first["expiry_time"] is None:
        return Credentials(first["access_key"], first["secret_key"], first["token"])
    return RefreshableCredentials.create_from_metadata(first, asked, "provider")


def _one_line(error: BaseException) -> str:
    return redact(str(error).strip().partition("\n")[0])[:300]
