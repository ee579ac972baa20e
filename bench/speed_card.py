"""`bench/speed --device gpu`: training steps and frozen passes on a graphics card, beside PyTorch on the same card."""

import argparse
import re
import shutil
import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import speed_machine as machine
from speed_card_report import Card, Result, Turn, report
from speed_python import ROOT, TARGET
from speed_workers import Workers, say, warm_up

MODELS = ["mobilenet_v2", "resnet50", "vit_small_patch16_224"]
BATCHES, QUICK_BATCHES = [16, 64], [64]
QUICK_MINUTES = 6.0
# A process's first steps are its only memory, so that the steps come before the forward passes.
PASSES = ["step", "forward"]
FEATURES = ["cuda", "rocm", "vulkan", "metal"]
# A slow cell ends early.
CELL_SECONDS = 60
FEWEST_ROUNDS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The part of the command line that is about cards."""
    group = parser.add_argument_group("graphics cards")
    group.add_argument("--device", type=device, default="cpu", help="cpu, gpu, or a certain card such as gpu:1 (cpu)")
    group.add_argument("--card-feature", choices=FEATURES, help="the interface that our side is built for; default: "
                       "cuda where nvidia-smi is found, else vulkan")
    group.add_argument("--minutes", type=float, metavar="M", help="start no further network after so many; what is left "
                       f"out is named (with --quick {QUICK_MINUTES:g}, else no limit)")
    group.add_argument("--alone", action="store_true", help="one process at a time, where the card's memory is too small "
                       "for all; their turns are then not interleaved")


def device(text: str) -> str:
    """A device's name as warmstart has it."""
    if re.fullmatch(r"cpu|gpu(:\d+)?", text):
        return text
    raise argparse.ArgumentTypeError(f"expected cpu, gpu or gpu:N, found {text}")


def usual_feature() -> str:
    """The interface that a machine most likely has."""
    return "cuda" if shutil.which("nvidia-smi") else "vulkan"


@dataclass(frozen=True)
class Plan:
    """What all cells share."""

    device: str
    python: Path | None
    compiled: bool
    rounds: int
    alone: bool

    def commands(self, model: str, batch: int) -> dict[str, tuple[list[str], dict[str, str]]]:
        """Command and environment of every peer by name, ours first."""
        arguments = [model, str(batch), str(machine.cores())]
        ours = [str(TARGET / "release/examples/speed"), *arguments, self.device]
        found = {f"ours {precision}": ([*ours, precision], {}) for precision in ["f32", "bf16"]}
        if self.python:
            cache = {"TORCHINDUCTOR_CACHE_DIR": str(TARGET / "bench-inductor")}
            theirs = [str(self.python), str(ROOT / "bench/speed_pytorch.py"), *arguments]
            on_card = self.device.replace("gpu", "cuda")
            for mode in ["eager", "compile"] if self.compiled else ["eager"]:
                for precision in ["f32", "tf32", "bf16"]:
                    found[f"{mode} {precision}"] = ([*theirs, mode, on_card, precision], cache)
        return found


class Cells(Workers):
    """The running peers of a network and a batch, and what was measured of each pass."""

    def __init__(self):
        super().__init__()
        self.turns: dict[str, dict[str, list[Turn]]] = defaultdict(lambda: defaultdict(list))

    def take_turns(self, what: str, rounds: int) -> None:
        """Warms every peer up, then goes round."""
        counts: dict[str, int] = {}

        def start(name: str) -> None:
            counts[name] = warm_up(self.workers[name], what)

        def turn(name: str) -> None:
            answer = self.workers[name].ask(what, counts[name])
            self.turns[what][name].append(Turn(seconds=answer["seconds"] / counts[name], card_mb=answer["card_mb"],
                                               used_mb=answer.get("used_mb"), device=answer["device"]))

        self.each(start)
        started = time.perf_counter()
        for done in range(rounds):
            if time.perf_counter() - started > CELL_SECONDS and done >= FEWEST_ROUNDS:
                break
            self.each(turn)

    def run(self, commands: dict[str, tuple[list[str], dict[str, str]]], rounds: int) -> None:
        """Starts these peers, has them take their turns, and ends them."""
        self.start(commands)
        for what in PASSES:
            self.take_turns(what, rounds)
        self.stop()
        # Those of the next group are asked without them.
        self.workers.clear()


def run_cells(plan: Plan, model: str, batch: int) -> list[Result]:
    """The passes of a network at a batch."""
    cells = Cells()
    commands = plan.commands(model, batch)
    groups = [{name: command} for name, command in commands.items()] if plan.alone else [commands]
    for group in groups:
        cells.run(group, plan.rounds)
    return [Result(model, batch, what, cells.turns[what], cells.failures) for what in PASSES]


def build(feature: str) -> None:
    """Compiles our side for an interface."""
    say(f"building for {feature}")
    subprocess.run(["cargo", "build", "--release", "--quiet", "--package", "warmstart-train", "--features",
                    f"warmstart-nn/{feature}", "--example", "speed"], cwd=ROOT, check=True)


def peer_version(python: Path) -> str:
    """PyTorch, the libraries that it computes with, and the card as it names it."""
    code = """
import platform, timm, torch, torchvision
cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
print(f"PyTorch {torch.__version__} ({cuda}, cuDNN {torch.backends.cudnn.version()}), torchvision "
      f"{torchvision.__version__}, timm {timm.__version__}, Python {platform.python_version()}")
"""
    return subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def driver() -> list[str]:
    """What NVIDIA's driver says of the cards, where there is one."""
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,power.limit", "--format=csv,noheader"]
    answer = subprocess.run(query, stdout=subprocess.PIPE, text=True)
    return [f"nvidia-smi: {line}" for line in answer.stdout.splitlines()]


def progress(result: Result) -> str:
    """One line on a pass."""
    times = [f"{peer} {result.milliseconds(peer):.3f}" for peer in result.turns]
    return f"{result.model} batch {result.batch} {result.what}: {', '.join(times) or 'nothing'} ms an image"


def measure(arguments: argparse.Namespace, python: Path | None, no_peer: str) -> str:
    """Measures every network and batch, and returns the tables; `no_peer` says why PyTorch is missing, if it is."""
    feature = arguments.card_feature or usual_feature()
    batches = arguments.batches or (QUICK_BATCHES if arguments.quick else BATCHES)
    minutes = arguments.minutes or (QUICK_MINUTES if arguments.quick else None)
    plan = Plan(arguments.device, python, not arguments.quick, arguments.rounds, arguments.alone)
    if no_peer:
        say(f"no peer: {no_peer}")
    build(feature)
    versions = [*([peer_version(python)] if python else []), *machine.versions(ROOT), *driver()]
    started = time.perf_counter()
    results: list[Result] = []
    late: list[str] = []
    # The larger batches first: they are what a card is bought for.
    for batch in sorted(batches, reverse=True):
        for model in arguments.models:
            if minutes and time.perf_counter() - started > 60 * minutes:
                late.append(f"{model} at batch {batch}")
                continue
            for result in run_cells(plan, model, batch):
                results.append(result)
                say(f"{time.perf_counter() - started:5.0f} s  {progress(result)}")
    of_machine = Card(feature, f"{machine.cpu_model()}, {machine.cores()} cores", versions, no_peer, plan.compiled)
    return report(results, of_machine, late)
