"""Connections over https, and over nothing else."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping

TIMEOUT = 30  # seconds without a byte; a cluster's compute node would wait for ever


class _HttpsOnly(urllib.request.BaseHandler):
    """Refuses every address that is not https, those that a server redirects to as well."""

    def default_open(self, request: urllib.request.Request) -> None:
        if request.type != "https":
            raise urllib.error.URLError(f"{request.full_url}: not an https address")


def open_https(url: str, headers: Mapping[str, str] | None = None) -> http.client.HTTPResponse:
    """Return the answer to a request; certificates are checked.

    Raises:
        OSError: it failed, was redirected to another protocol, or the server answered with an error.
        http.client.HTTPException: the server does not speak HTTP.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "vicinal", **(headers or {})})
    return urllib.request.build_opener(_HttpsOnly).open(request, timeout=TIMEOUT)
