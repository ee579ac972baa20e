"""The tables of `bench/speed`."""

import datetime
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import speed_machine as machine

OURS, EAGER = "warmstart", "eager"
ONNXRUNTIME, OPENVINO, OPENVINO_BF16 = "onnxruntime", "OpenVINO", "OpenVINO bf16"
# PyTorch in float32, which *best* is of.
PYTORCH = [EAGER, "eager + jemalloc", "compile", "compile + jemalloc"]
# What computes something else than training in float32: engines that only infer, and bfloat16.
OTHERS = [ONNXRUNTIME, OPENVINO, OPENVINO_BF16, "eager bf16", "eager bf16 + jemalloc", "compile bf16",
          "compile bf16 + jemalloc"]
PEERS = [OURS, *PYTORCH, *OTHERS]
# More than this much of a core is worth a word; less is within what /proc can tell in half a second.
NOTABLE_CORES = 0.1


@dataclass(frozen=True)
class Cell:
    """One thing to measure: `what` is `forward` or `step`."""

    what: str
    model: str
    batch: int
    threads: int
    compiled: bool

    def row(self) -> list[str]:
        """The columns that name it."""
        return [self.model, str(self.batch), str(self.threads), self.what]


@dataclass(frozen=True)
class Turn:
    """One peer's turn: seconds and minor page faults of a pass, and who else used the machine: peers that should be
    idle, the foreign processes of --busy, and all others."""

    seconds: float
    page_faults: float
    peak_mb: float
    idle_cores: float
    other_cores: float
    busy_cores: float


@dataclass(frozen=True)
class Result:
    """The turns of every peer of a cell, in the order of the rounds; and why others have none."""

    cell: Cell
    turns: dict[str, list[Turn]]
    failures: dict[str, str]

    def is_measured(self) -> bool:
        """Whether there is anything to compare."""
        return OURS in self.turns and len(self.turns) > 1

    def is_beside_pytorch(self) -> bool:
        """Whether there is a time of ours and one of PyTorch's in float32."""
        return OURS in self.turns and any(peer in self.turns for peer in PYTORCH)

    def median(self, peer: str, figure: Callable[[Turn], float]) -> float:
        """The median of a figure over the rounds."""
        return statistics.median(figure(turn) for turn in self.turns[peer])

    def milliseconds(self, peer: str) -> float:
        """The median time of an image."""
        return 1e3 * self.median(peer, lambda turn: turn.seconds) / self.cell.batch

    def best(self) -> str:
        """The fastest way of running PyTorch in float32."""
        return min((peer for peer in PYTORCH if peer in self.turns), key=self.milliseconds)

    def ratios(self, peer: str) -> list[float]:
        """Our time over the peer's in each round."""
        return [ours.seconds / theirs.seconds for ours, theirs in zip(self.turns[OURS], self.turns[peer])]

    def cores(self, figure: Callable[[Turn], float]) -> float:
        """The mean over all turns."""
        return statistics.mean(figure(turn) for turns in self.turns.values() for turn in turns)


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column is text."""
    lines = [columns, ["---"] + ["--:"] * (len(columns) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(ratios: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def ratio_row(result: Result) -> list[str]:
    """Ours over PyTorch's, in time."""
    best = result.best()
    eager = ["", ""]
    if EAGER in result.turns:
        eager = [f"{result.milliseconds(EAGER):.2f}", spread(result.ratios(EAGER))]
    return [*result.cell.row(), f"{result.milliseconds(OURS):.2f}", *eager, f"{result.milliseconds(best):.2f}",
            spread(result.ratios(best)), best, str(len(result.turns[OURS])),
            f"{result.cores(lambda turn: turn.other_cores):.2f}"]


def other_rows(result: Result) -> list[list[str]]:
    """Ours over the time of each engine and of bfloat16, a row each; one that failed has its reason there."""
    rows = []
    for peer in OTHERS:
        figures = None
        if peer in result.turns:
            figures = [f"{result.milliseconds(peer):.2f}", spread(result.ratios(peer)), str(len(result.turns[peer]))]
        elif peer in result.failures:
            figures = ["not measured", one_line(result.failures[peer]), ""]
        if figures:
            rows.append([*result.cell.row(), peer, f"{result.milliseconds(OURS):.2f}", *figures])
    return rows


def one_line(reason: str) -> str:
    """A reason as a cell of a table."""
    return " ".join(reason.replace("|", "/").split())


def time_row(result: Result, peers: list[str]) -> list[str]:
    """Every peer's milliseconds an image."""
    return result.cell.row() + [f"{result.milliseconds(peer):.2f}" if peer in result.turns else ""
                                for peer in peers]


def memory_row(result: Result) -> list[str]:
    """Peak memory and page faults of a training step."""
    peak = {peer: turns[-1].peak_mb for peer, turns in result.turns.items()}
    eager = [f"{peak[EAGER]:.0f}", f"{peak[OURS] / peak[EAGER]:.2f}"] if EAGER in peak else ["", ""]
    faults = [f"{result.median(peer, lambda turn: turn.page_faults):.0f}" if peer in peak else ""
              for peer in (OURS, EAGER, result.best())]
    return [*result.cell.row()[:3], f"{peak[OURS]:.0f}", *eager, *faults]


def left_out(results: list[Result]) -> str:
    """The peers that failed with their reasons, a line each; empty if none did."""
    cells = defaultdict(list)
    for result in results:
        for peer, reason in result.failures.items():
            cells[peer, reason].append(" ".join(result.cell.row()))
    lines = [f"- {peer}: {reason} ({'; '.join(rows)})" for (peer, reason), rows in cells.items()]
    return "\n".join(["**These peers failed and are left out** (in brackets model, batch, threads, pass):", "", *lines]
                     if lines else [])


def processes(count: int) -> str:
    """So many foreign processes."""
    return f"{count} foreign process" if count == 1 else f"{count} foreign processes"


def busy_words(results: list[Result], busy: int) -> str:
    """How many foreign processes computed meanwhile, and how much of the machine they got."""
    cores = [result.cores(lambda turn: turn.busy_cores) for result in results]
    return (f"**{processes(busy)} computed all the while** (SHA-256 of a buffer, a thread each, pinned nowhere), and "
            f"used {statistics.median(cores):.2f} cores in the median cell, {min(cores):.2f} to {max(cores):.2f} in all.")


def load_words(results: list[Result], load: float) -> str:
    """Whether anything else used the machine."""
    other = [result.cores(lambda turn: turn.other_cores) for result in results]
    idle = max(result.cores(lambda turn: turn.idle_cores) for result in results)
    disturbed = sum(cores > NOTABLE_CORES for cores in other)
    verdict = f"**seen in {disturbed} of {len(other)} cells**" if disturbed else "none seen"
    words = (f"Other load: {verdict}; others used {statistics.median(other):.2f} cores in the median cell, "
             f"{max(other):.2f} in the worst. Load average before the start: {load:.2f}. ")
    if idle > NOTABLE_CORES:
        return words + f"**Peers that should have been idle used up to {idle:.2f} cores.**"
    return words + "Idle peers slept."


@dataclass(frozen=True)
class Circumstances:
    """What the whole run had: instructions that both sides are held to, versions, the path of jemalloc, the load
    average before the start, and the number of foreign processes."""

    simd: str | None
    versions: list[str]
    jemalloc: str | None
    load: float
    busy: int

    def beside(self) -> str:
        """The end of a table's heading."""
        return f", beside {processes(self.busy)}" if self.busy else ""


def compiled_words(results: list[Result]) -> str:
    """Where torch.compile was measured."""
    batches = sorted({result.cell.batch for result in results if result.cell.compiled})
    if not batches:
        return "torch.compile is not measured"
    return f"torch.compile is measured at batch {', '.join(map(str, batches))} on all threads only"


def time_parts(results: list[Result], run: Circumstances) -> list[str]:
    """The tables of times."""
    passes = ["model", "batch", "threads", "pass"]
    beside = [result for result in results if result.is_beside_pytorch()]
    others = [row for result in results for row in other_rows(result)]
    peers = [peer for peer in PEERS if any(peer in result.turns for result in results)]
    no_jemalloc = "" if run.jemalloc else " **jemalloc was not found: its columns are missing.**"
    parts = []
    if beside:
        parts += [
            f"### Time: ours ÷ PyTorch's{run.beside()}\n"
            "Below 1 warmstart is faster. Median of the rounds (lowest–highest); ms are medians an image. *Best* is "
            "the fastest of eager and torch.compile in float32, each with and without jemalloc; "
            f"{compiled_words(beside)}.{no_jemalloc}",
            table([*passes, "ours, ms", "eager, ms", "÷ eager", "best, ms", "÷ best", "best is", "rounds",
                   "others' load, cores"], [ratio_row(result) for result in beside])]
    if others:
        parts += [
            f"### Engines for inference, and bfloat16: ours ÷ theirs{run.beside()}\n"
            "Below 1 warmstart is faster. Ours is in float32 in every row. onnxruntime and OpenVINO compute in float32 "
            "too, on the network that torch.onnx writes. The rows with bf16 compute most layers in bfloat16, of 8 bits "
            "of precision: OpenVINO by its hint, PyTorch by autocast.",
            table([*passes, "peer", "ours, ms", "theirs, ms", "ours ÷ theirs", "rounds"], others)]
    return [*parts, f"### Milliseconds an image of every peer{run.beside()}",
            table([*passes, *peers], [time_row(result, peers) for result in results])]


def memory_parts(results: list[Result]) -> list[str]:
    """The table of memory, if steps were measured beside PyTorch's."""
    steps = [result for result in results if result.cell.what == "step" and result.is_beside_pytorch()]
    if not steps:
        return []
    return ["### Memory of a training step\n"
            "Highest resident MB (10⁶ bytes) of a process that did only steps, and minor page faults a step once warm.",
            table(["model", "batch", "threads", "ours, MB", "eager, MB", "÷ eager", "faults, ours", "faults, eager",
                   "faults, best"], [memory_row(result) for result in steps])]


def report(results: list[Result], layers: str | None, run: Circumstances) -> str:
    """The whole output."""
    measured = [result for result in results if result.is_measured()]
    failures = left_out(results)
    if not measured:
        return f"Nothing was measured.\n\n{failures}"
    of_machine = f"{machine.cpu_model()}, {machine.cores()} cores, {machine.memory_gb():.0f} GB"
    if run.simd:
        of_machine += f"; both sides held to {run.simd}"
    level, layer_tables = layers.split("\n", 1) if layers else ("", "")
    if level:
        of_machine += f"; {level.split(';')[0]}"
    return "\n\n".join(part for part in [
        f"{of_machine}.  \n"
        f"{'; '.join(run.versions)}.  \n"
        f"{datetime.date.today()}. {load_words(measured, run.load)}",
        busy_words(measured, run.busy) if run.busy else "",
        failures,
        *time_parts(measured, run),
        *memory_parts(measured),
        f"### Layers, batch 16{run.beside()}\n"
        "GFLOP/s of our kernels and their share of the measured peak; ← marks the smallest share of a pass. Operations "
        "are the direct convolution's, so Winograd's algorithm, which needs fewer, may exceed 100 %." if layers else "",
        layer_tables.strip(),
    ] if part)
