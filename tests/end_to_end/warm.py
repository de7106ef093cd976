"""A ``python`` that starts with torch, pandas, matplotlib and Snakemake loaded, for tests that start many processes.

It hands its arguments, folder, environment and open files to a server, which has loaded these modules and forks; the
fork runs the script, module or code that the arguments name. Signals and the exit status are passed on. The fork is in
no process group of its caller: where a test sends signals to a group, it takes sys.executable.

Modules whose import took place in the server cannot be replaced by ``PYTHONPATH``; ``sitecustomize`` is imported there.
"""

import atexit
import fcntl
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

MODULES = ("torch", "pandas", "pyarrow.parquet", "scipy.stats", "sklearn.datasets", "matplotlib.pyplot", "seaborn")
MODULES += ("fontTools.subset", "snakemake.cli", "pydantic", "rich.progress", "jinja2", "safetensors.torch", "psutil")
CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.connect({address!r})
files = []
for name in os.listdir("/proc/self/fd"):
    try:
        os.fstat(int(name))
    except OSError:
        continue  # that of the listing
    files += [int(name)] if int(name) != server.fileno() else []
request = [files, sys.argv, os.getcwd(), dict(os.environ)]
def pass_on(number, frame):
    try:
        server.send(str(number).encode())
    except OSError:
        pass  # it has ended
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, pass_on)
socket.send_fds(server, [json.dumps(request).encode()], files)
for number in files:
    os.close(number)
status = int(server.recv(100) or -signal.SIGKILL)
if status < 0:
    if -status != signal.SIGKILL:  # no handler of it can be set
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


@cache
def warm_python() -> str:
    """Start the server of this process, and return the path of its ``python``."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(folder / "server"))
    listening.listen(100)
    client = folder / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=str(folder / "server")))
    client.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # Libraries that read these at their import; jobs set the number of threads themselves.
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-P", __file__, str(listening.fileno()), str(client)]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, env=environment, pass_fds=[listening.fileno()], start_new_session=True
    )
    listening.close()
    # It ends when its standard input does, also where this process is killed.
    atexit.register(server.communicate)
    return str(client)


def serve(listening: socket.socket, client: str) -> Callable[[], Any] | None:
    """Answer requests until standard input ends; return in each fork what it shall run."""
    running: dict[socket.socket, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    return None
                if key.fileobj is listening:
                    connection, _ = listening.accept()
                    request, files, *_ = socket.recv_fds(connection, 1 << 20, 253)
                    if not request:
                        connection.close()
                        continue
                    pid = os.fork()
                    if not pid:
                        for own in (listening, selector, connection, *running):
                            own.close()
                        return become(client, files, *json.loads(request))
                    for number in files:
                        os.close(number)
                    running[connection] = pid
                    selector.register(connection, selectors.EVENT_READ)
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, connection)
                elif key.data is None:
                    if key.fileobj not in running:
                        continue  # its fork ended at the same moment
                    # A signal, or the end of the client: then it was killed.
                    number = int(key.fileobj.recv(100) or signal.SIGKILL)
                    with suppress(ProcessLookupError):
                        os.kill(running[key.fileobj], number)
                    if number == signal.SIGKILL:
                        selector.unregister(key.fileobj)
                else:
                    status = os.waitstatus_to_exitcode(os.waitpid(running.pop(key.data), 0)[1])
                    selector.unregister(key.fileobj)
                    os.close(key.fileobj)
                    with suppress(KeyError):
                        selector.unregister(key.data)
                    with suppress(BrokenPipeError):
                        key.data.send(str(status).encode())
                    key.data.close()


def become(
    client: str, files: list[int], numbers: list[int], arguments: list[str], folder: str, environment: dict[str, str]
) -> Callable[[], Any]:
    """Take over a client's files, folder, environment and arguments; return what runs them."""
    away = [fcntl.fcntl(file, fcntl.F_DUPFD, 500) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(away, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.executable = client
    what, *rest = arguments[1:]
    sys.orig_argv = ["python", what, *rest]
    first = "" if what == "-c" else folder if what == "-m" else str(Path(what).resolve().parent)
    sys.path[:0] = [first, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    importlib.invalidate_caches()
    sys.modules.pop("sitecustomize", None)
    with suppress(ModuleNotFoundError):
        importlib.import_module("sitecustomize")
    if what == "-m":
        sys.argv = rest
        return lambda: runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    if what == "-c":
        sys.argv = ["-c", *rest[1:]]
        return lambda: exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    sys.argv = [what, *rest]
    return lambda: runpy.run_path(what, run_name="__main__")


def run_and_leave(run: Callable[[], Any]) -> None:
    """Run a fork's part, and end the process without taking torch apart, which takes a second."""
    status: Any = 0
    try:
        run()
    except SystemExit as end:
        status = end.code or 0
    if not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    listening = socket.socket(fileno=int(sys.argv[1]))
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()
    run = serve(listening, sys.argv[2])
    if run is not None:
        run_and_leave(run)


if __name__ == "__main__":
    main()
