"""Foreign processes that compute while `bench/speed` measures: `--busy N`."""

import os
import subprocess
import sys
from types import TracebackType

import speed_machine as machine

# Ends with its parent even where that is killed and can clean up nothing. The buffer stays in a core's own cache.
COMPUTE = """
import hashlib, os, sys
parent, buffer = int(sys.argv[1]), bytes(1 << 20)
while os.getppid() == parent:
    hashlib.sha256(buffer)
"""


class Busy:
    """So many processes, one thread each and pinned nowhere, that compute for as long as the `with` lasts."""

    def __init__(self, count: int):
        self.count = count
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Busy":
        try:
            for _ in range(self.count):
                self.processes.append(subprocess.Popen([sys.executable, "-c", COMPUTE, str(os.getpid())],
                                                       stdin=subprocess.DEVNULL))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Kills them all."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        self.processes.clear()

    def seconds(self) -> float:
        """CPU seconds of them all so far. One that ended early would falsify the table, so it ends the benchmark."""
        for process in self.processes:
            if process.poll() is not None:
                sys.exit(f"--busy: a foreign process ended early with status {process.returncode}; expected all of "
                         f"the {self.count} to compute until the end")
        return sum(machine.process_seconds(process.pid) for process in self.processes)
