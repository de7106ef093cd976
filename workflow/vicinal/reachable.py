"""Whether files can be downloaded: their servers are asked for all of them at once."""

import time
from collections.abc import Iterable
from http.client import HTTPException
from threading import Thread
from urllib.error import HTTPError, URLError

from vicinal.https import open_https

# A server that is there answers sooner.
PROBE_SECONDS = 10.0


def unreachable(urls: Iterable[str]) -> dict[str, str]:
    """Return the addresses, https only, that give no file within ``PROBE_SECONDS``, each with the reason."""
    answers: dict[str, str] = {}
    # Daemons: one that still waits does not keep the process from ending.
    threads = {url: Thread(target=_ask, args=(url, answers), daemon=True) for url in urls}
    for thread in threads.values():
        thread.start()
    until = time.monotonic() + PROBE_SECONDS
    for thread in threads.values():
        thread.join(max(0.0, until - time.monotonic()))
    late = f"no answer in {PROBE_SECONDS:g} s"
    return {url: reason for url in threads if (reason := answers.get(url, late))}


def _ask(url: str, answers: dict[str, str]) -> None:
    """Ask for a file and read none of it; leave why it does not come, nothing where it does."""
    try:
        open_https(url).close()
        answers[url] = ""
    except (OSError, HTTPException) as error:
        wrapped = isinstance(error, URLError) and not isinstance(error, HTTPError)
        answers[url] = str(error.reason if wrapped else error) or type(error).__name__
