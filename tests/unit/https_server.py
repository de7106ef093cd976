"""A server over https on this machine, for tests of downloads. It answers requests for a part of a file."""

import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Site:
    """What a server has, and what it was asked for.

    ``files``: path → content. ``cut``: bytes after which it breaks off. ``ranges``: whether it sends parts.
    ``redirect``: address to send everybody to instead.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = True
    redirect: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


def make_certificate(folder: Path) -> Path:
    """Return a self-signed certificate of 127.0.0.1 and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not there: install it to test downloads over https")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key").read_bytes() + (folder / "certificate").read_bytes())
    return both


@contextmanager
def serving(site: Site, certificate: Path | None) -> Iterator[Site]:
    """Serve a site while the block runs; without a certificate over http."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            """Keep the test's output clean."""

        def do_GET(self):
            part = self.headers.get("Range")
            site.asked.append((self.path, part))
            if site.redirect:
                self.send_response(302)
                self.send_header("Location", site.redirect + self.path[1:])
                return self.end_headers()
            if self.path not in site.files:
                return self.send_error(404)
            content = site.files[self.path]
            start = int(part.removeprefix("bytes=").removesuffix("-")) if part and site.ranges else 0
            if start >= len(content) > 0:
                return self.send_error(416)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            return self.wfile.write(content[start : site.cut])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield site
    server.shutdown()
    server.server_close()
