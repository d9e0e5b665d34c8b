"""`ilora serve` in a process of its own, for tests that come from outside: browsers and programs."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READY = re.compile(r"Ready: (http://\S+)")


@dataclass
class Server:
    """A running `ilora serve`."""

    address: str
    process: subprocess.Popen[str]
    said: list[str]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def stop(self) -> None:
        """As an operator does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@contextmanager
def running_server(repository: Path, *arguments: str, port: int = 0) -> Iterator[Server]:
    """Start it, wait until it answers, and stop it at the end if nobody has."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli.main", "serve", "--port", str(port), *arguments],
        cwd=repository,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")},
    )
    said: list[str] = []
    address = None
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if match := READY.search(line):
            address = match[1]
            break
    assert address is not None, f"the server did not start: {''.join(said)}"
    # Nobody reads on, and a full pipe would stop the server.
    threading.Thread(target=said.extend, args=(process.stderr,), daemon=True).start()
    server = Server(address, process, said)
    yield server
    if process.poll() is None:
        server.stop()
