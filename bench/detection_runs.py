"""What the benchmarks of detectors share: the program, sets of sprites, and runs with what they cost."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "quickstart-data"


def say(text: str) -> None:
    """Progress, beside the output."""
    print(text, file=sys.stderr, flush=True)


def target() -> Path:
    """The folder of release builds."""
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release"


def warmstart() -> str:
    """The binary."""
    return os.environ.get("WARMSTART", str(target() / "warmstart"))


def records(path: Path) -> list[dict]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def answer(*arguments: object) -> str:
    """What a command of warmstart prints."""
    command = [warmstart(), *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def train(run: Path, *arguments: object) -> dict:
    """Trains into the folder, unless that is done; seconds and most memory of the process, which its parent sees."""
    cache, cost = (run.with_name(run.name + suffix) for suffix in (".cache", ".json"))
    if not cost.exists():
        for folder in (run, cache):
            shutil.rmtree(folder, ignore_errors=True)
        # A cache of its own, or features of an earlier run would come for nothing.
        command = [warmstart(), "train", *map(str, arguments), "--cache", str(cache), "--out", str(run)]
        say(" ".join(command))
        run.parent.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        child = subprocess.Popen(command, stdout=sys.stderr)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        shutil.rmtree(cache, ignore_errors=True)
        if status != 0:
            sys.exit(f"'{' '.join(command)}' failed; its error is above")
        cost.write_text(json.dumps({"seconds": seconds, "peak_mb": usage.ru_maxrss / 1024}))
    return json.loads(cost.read_text())


def draw_sprites(folder: Path, python: str, train: int, val: int, seed: int,
                 categories: list[str] | None = None) -> None:
    """Draws a set of sprites (scripts/sprite_dataset.py), unless it is there; `python` has Pillow."""
    if folder.exists():
        return
    vendors = {vendor: PACKAGES / f"emoji-datasource-{vendor}" for vendor in ("google", "twitter")}
    for needed in vendors.values():
        if not needed.exists():
            sys.exit(f"{needed} is not there: './quickstart --data-only' fetches it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    chosen = ["--categories", *categories] if categories else []
    subprocess.run([python, str(ROOT / "scripts/sprite_dataset.py"), "--google", str(vendors["google"]),
                    "--twitter", str(vendors["twitter"]), "--out", str(folder), "--train", str(train),
                    "--val", str(val), "--seed", str(seed), *chosen], stdout=sys.stderr, check=True)
