"""The tables of `bench/speed`."""

import datetime
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import speed_machine as machine

OURS, EAGER = "warmstart", "eager"
PEERS = [OURS, EAGER, "eager + jemalloc", "compile", "compile + jemalloc"]
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
    """One peer's turn: seconds and minor page faults of a pass, and who else used the machine."""

    seconds: float
    page_faults: float
    peak_mb: float
    idle_cores: float
    other_cores: float


@dataclass(frozen=True)
class Result:
    """The turns of every peer of a cell, in the order of the rounds; and why others have none."""

    cell: Cell
    turns: dict[str, list[Turn]]
    failures: dict[str, str]

    def is_measured(self) -> bool:
        """Whether there is anything to compare."""
        return OURS in self.turns and len(self.turns) > 1

    def median(self, peer: str, figure: Callable[[Turn], float]) -> float:
        """The median of a figure over the rounds."""
        return statistics.median(figure(turn) for turn in self.turns[peer])

    def milliseconds(self, peer: str) -> float:
        """The median time of an image."""
        return 1e3 * self.median(peer, lambda turn: turn.seconds) / self.cell.batch

    def best(self) -> str:
        """The fastest way of running PyTorch."""
        return min((peer for peer in self.turns if peer != OURS), key=self.milliseconds)

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


def time_row(result: Result) -> list[str]:
    """Every peer's milliseconds an image."""
    return result.cell.row() + [f"{result.milliseconds(peer):.2f}" if peer in result.turns else ""
                                for peer in PEERS]


def memory_row(result: Result) -> list[str]:
    """Peak memory and page faults of a training step."""
    peak = {peer: turns[-1].peak_mb for peer, turns in result.turns.items()}
    eager = [f"{peak[EAGER]:.0f}", f"{peak[OURS] / peak[EAGER]:.2f}"] if EAGER in peak else ["", ""]
    faults = [f"{result.median(peer, lambda turn: turn.page_faults):.0f}" if peer in peak else ""
              for peer in (OURS, EAGER, result.best())]
    return [*result.cell.row()[:3], f"{peak[OURS]:.0f}", *eager, *faults]


def left_out(results: list[Result]) -> str:
    """The peers that failed, a line each; empty if none did."""
    lines = [f"- {' '.join(result.cell.row())}, {peer}: {reason}"
             for result in results for peer, reason in result.failures.items()]
    return "\n".join(["**These peers failed and are left out** (model, batch, threads, pass, peer):", "", *lines]
                     if lines else [])


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


def report(results: list[Result], layers: str | None, simd: str | None, versions: list[str], jemalloc: str | None,
           load: float) -> str:
    """The whole output."""
    measured = [result for result in results if result.is_measured()]
    failures = left_out(results)
    if not measured:
        return f"Nothing was measured.\n\n{failures}"
    of_machine = f"{machine.cpu_model()}, {machine.cores()} cores, {machine.memory_gb():.0f} GB"
    if simd:
        of_machine += f"; both sides held to {simd}"
    level, layer_tables = layers.split("\n", 1) if layers else ("", "")
    if level:
        of_machine += f"; {level.split(';')[0]}"
    cell = ["model", "batch", "threads"]
    passes = [*cell, "pass"]
    return "\n\n".join(part for part in [
        f"{of_machine}.  \n"
        f"{'; '.join(versions)}.  \n"
        f"{datetime.date.today()}. {load_words(measured, load)}",
        failures,
        "### Time: ours ÷ PyTorch's\n"
        "Below 1 warmstart is faster. Median of the rounds (lowest–highest); ms are medians an image. *Best* is the "
        "fastest of eager and torch.compile, each with and without jemalloc; torch.compile is measured at batch 16 "
        "on all threads only." + ("" if jemalloc else " **jemalloc was not found: its columns are missing.**"),
        table([*passes, "ours, ms", "eager, ms", "÷ eager", "best, ms", "÷ best", "best is", "rounds",
               "others' load, cores"],
              [ratio_row(result) for result in measured]),
        "### Milliseconds an image of every peer",
        table([*passes, *PEERS], [time_row(result) for result in measured]),
        "### Memory of a training step\n"
        "Highest resident MB (10⁶ bytes) of a process that did only steps, and minor page faults a step once warm.",
        table([*cell, "ours, MB", "eager, MB", "÷ eager", "faults, ours", "faults, eager", "faults, best"],
              [memory_row(result) for result in measured if result.cell.what == "step"]),
        "### Layers, batch 16\n"
        "GFLOP/s of our kernels and their share of the measured peak; ← marks the smallest share of a pass. Operations "
        "are the direct convolution's, so Winograd's algorithm, which needs fewer, may exceed 100 %." if layers else "",
        layer_tables.strip(),
    ] if part)
