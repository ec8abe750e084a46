"""Answers botocore's requests from moto's backends in this process, so that a call costs no socket."""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto import backend_index, backends
from moto.core.base_backend import BackendDict
from moto.core.request import normalize_request
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.awsrequest import AWSPreparedRequest
    from botocore.client import BaseClient

    Handler = Callable[[Any, str, Any], tuple[int, dict[str, str], str | bytes]]
    Route = tuple[re.Pattern[str], Handler]


class InProcessTransport:
    """Takes the place of the network for the clients that it is attached to, and for no other."""

    def __init__(self, account: str, region: str) -> None:
        self._account, self._region = account, region
        self._routes: dict[str, list[Route]] = {}  # by host

    def attach(self, client: BaseClient) -> None:
        """Send every request of `client` to moto."""
        client.meta.events.register_first("before-send", self._send)  # type: ignore[arg-type]  # it may answer

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        address = urlsplit(request.url)
        clean = f"{address.scheme}://{address.netloc}{address.path or '/'}"
        for pattern, handler in self._routes_of(address.netloc):
            if pattern.match(clean):
                status, headers, body = _call(handler, request)
                content = body.encode() if isinstance(body, str) else body
                return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), _Raw(content))
        # Nothing may leave the machine, so what moto does not know is an error here and no request.
        raise ConnectionError(f"{request.method} {clean}: the embedded AWS has no such service")

    def _routes_of(self, host: str) -> list[Route]:
        """moto compiles its patterns anew for each request; they depend on nothing but the host."""
        if host not in self._routes:
            base = f"https://{host}"
            services = [name for name, pattern in backend_index.backend_url_patterns if pattern.match(base)]
            self._routes[host] = [
                (re.compile(url), handler) for name in services for url, handler in self._urls(name).items()
            ]
        return self._routes[host]

    def _urls(self, service: str) -> dict[str, Handler]:
        find: Callable[[str], Any] = backends.get_backend  # type: ignore[assignment]  # known by literal names only
        backend = find(service)
        if not isinstance(backend, BackendDict):
            return dict(backend["global"].urls)
        regions = backend[self._account]
        return dict(regions[self._region if self._region in regions else "aws"].urls)


class _Raw(BytesIO):
    """The part of urllib3's response that botocore reads."""

    def stream(self, amt: int = 65536, **_: Any) -> Iterator[bytes]:
        """Yield the body in pieces of `amt` bytes."""
        while data := self.read(amt):
            yield data


def _call(handler: Handler, request: AWSPreparedRequest) -> tuple[int, dict[str, str], str | bytes]:
    normalized = normalize_request(request)
    try:
        return handler(normalized, normalized.raw_url, normalized.headers)
    except HTTPException as error:
        return error.code or 500, dict(error.get_headers()), str(error.get_body())
