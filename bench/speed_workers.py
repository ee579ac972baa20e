"""The processes that `bench/speed` compares: each times forward passes or training steps on request."""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

TURN_SECONDS = 0.5


def say(text: str) -> None:
    """Progress, beside the output."""
    print(text, file=sys.stderr, flush=True)


class PeerError(Exception):
    """A peer did not start, or ended before it answered; the text is its last line."""


class Worker:
    """A process that times forward passes or training steps on request."""

    def __init__(self, command: list[str], environment: dict[str, str]):
        self.command = command
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command, env=os.environ | environment, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)

    def ask(self, what: str, count: int) -> dict[str, float]:
        """Has `count` passes done: seconds, peak_mb and page_faults."""
        try:
            self.process.stdin.write(f"{what} {count}\n")
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise PeerError(self.last_words())
        return json.loads(answer)

    def last_words(self) -> str:
        """How an ended process explains itself; all of it is shown beside the output."""
        status = self.process.wait()
        self.errors.seek(0)
        errors = self.errors.read().strip()
        say(f"{' '.join(self.command)} ended early:\n{errors[-2000:]}")
        return errors.splitlines()[-1] if errors else f"it ended with status {status}"

    def stop(self) -> None:
        """Ends the process by closing its input."""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait()


class Workers:
    """Running peers by name, and the reasons why others do not run."""

    def __init__(self):
        self.workers: dict[str, Worker] = {}
        self.failures: dict[str, str] = {}

    def start(self, commands: dict[str, tuple[list[str], dict[str, str]]]) -> None:
        """Starts peers by their commands and environments."""
        for name, (command, environment) in commands.items():
            try:
                self.workers[name] = Worker(command, environment)
            except OSError as error:
                self.failures[name] = str(error)

    def each(self, task: Callable[[str], None]) -> None:
        """Does something with every peer by its name; one that fails is left out, with its reason."""
        for name in list(self.workers):
            try:
                task(name)
            except PeerError as error:
                self.failures[name] = str(error)
                self.workers.pop(name).stop()

    def stop(self) -> None:
        """Ends them all; their names stay."""
        for worker in self.workers.values():
            worker.stop()


def warm_up(worker: Worker, what: str) -> int:
    """At least two passes; returns how many make a turn long enough."""
    worker.ask(what, 1)
    count = 1
    for _ in range(2):
        seconds = worker.ask(what, count)["seconds"]
        if seconds >= TURN_SECONDS:
            break
        count = math.ceil(1.1 * TURN_SECONDS * count / seconds)
    return count
