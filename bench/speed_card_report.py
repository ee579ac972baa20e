"""The tables of `bench/speed --device gpu`."""

import datetime
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from speed_report import spread, table

# Ours, and the numbers that PyTorch computes with. A card's tensor cores take float32 only as TF32, of 10 bits.
COMPARED = [("f32", "f32"), ("f32", "tf32"), ("bf16", "bf16")]
PEERS = ["ours f32", "ours bf16", *(f"{mode} {precision}" for mode in ("eager", "compile")
                                    for precision in ("f32", "tf32", "bf16"))]


@dataclass(frozen=True)
class Card:
    """What was measured on, and with what."""

    feature: str
    processor: str
    versions: list[str]
    no_peer: str
    compiled: bool


@dataclass(frozen=True)
class Turn:
    """One peer's turn: seconds of a pass, memory that it has reserved on the card and used of it, and the card."""

    seconds: float
    card_mb: float
    used_mb: float | None
    device: str


@dataclass(frozen=True)
class Result:
    """The turns of every peer of a pass, in the order of the rounds; and why others have none."""

    model: str
    batch: int
    what: str
    turns: Mapping[str, list[Turn]]
    failures: Mapping[str, str]

    def row(self) -> list[str]:
        """The columns that name it."""
        return [self.model, str(self.batch), self.what]

    def milliseconds(self, peer: str) -> float:
        """The median time of an image."""
        return 1e3 * statistics.median(turn.seconds for turn in self.turns[peer]) / self.batch

    def cell(self, peer: str) -> str:
        """The median time of an image as a cell of a table."""
        return f"{self.milliseconds(peer):.3f}" if self.turns.get(peer) else ""

    def ratios(self, ours: str, theirs: str) -> list[float]:
        """Our time over theirs in each round."""
        pairs = zip(self.turns[ours], self.turns[theirs])
        return [mine.seconds / other.seconds for mine, other in pairs]


def ratio_rows(result: Result) -> list[list[str]]:
    """Ours over PyTorch's, one row for each pair of numbers."""
    rows = []
    for our_precision, precision in COMPARED:
        ours, eager = f"ours {our_precision}", f"eager {precision}"
        peers = [peer for peer in (eager, f"compile {precision}") if result.turns.get(peer)]
        if not result.turns.get(ours) or not peers:
            continue
        best = min(peers, key=result.milliseconds)
        of_eager = spread(result.ratios(ours, eager)) if eager in peers else ""
        rows.append([*result.row(), our_precision, precision, result.cell(ours), result.cell(eager), of_eager,
                     result.cell(best), spread(result.ratios(ours, best)), best, str(len(result.turns[ours]))])
    return rows


def memory_cell(result: Result, peer: str) -> str:
    """MB that a peer has reserved on the card, and used of it at most where it tells."""
    if not result.turns.get(peer):
        return ""
    last = result.turns[peer][-1]
    used = f" ({last.used_mb:.0f})" if last.used_mb is not None else ""
    return f"{last.card_mb:.0f}{used}"


def left_out(results: list[Result], late: list[str]) -> str:
    """The peers that failed, a line each, and the networks that no time was left for; empty if there are none."""
    reasons = {f"- {result.model} {result.batch}, {peer}: {reason}": None
               for result in results for peer, reason in result.failures.items()}
    lines = ["**These failed and are left out** (model, batch, peer):", "", *reasons] if reasons else []
    if late:
        lines += ["", f"**No time was left for** {', '.join(late)}."]
    return "\n".join(lines).strip()


def report(results: list[Result], card: Card, late: list[str]) -> str:
    """The whole output."""
    failures = left_out(results, late)
    measured = [result for result in results if result.turns]
    if not measured:
        return f"Nothing was measured.\n\n{failures}"
    # PyTorch's name of a card is that of its driver as well.
    titles = [turn.device for result in measured for name, turns in result.turns.items() if name.startswith("ours")
              for turn in turns]
    title = titles[0] if titles else "no pass of ours"
    columns = [peer for peer in PEERS if any(result.turns.get(peer) for result in measured)]
    ratios = [row for result in measured for row in ratio_rows(result)]
    passes = ["model", "batch", "pass"]
    compiled = "" if card.compiled else " torch.compile was left out."
    return "\n\n".join(part for part in [
        f"{title}, by {card.feature}; {card.processor}.  \n"
        f"{'; '.join(card.versions)}.  \n"
        f"{datetime.date.today()}.",
        f"**There is no peer**: {card.no_peer}. What follows is ours alone." if card.no_peer else "",
        failures,
        "### Time on the card: ours ÷ PyTorch's\n"
        "Below 1 warmstart is faster. Median of the rounds (lowest–highest); ms are medians an image. *Best* is the "
        f"faster of eager and torch.compile.{compiled} PyTorch's f32 is exact; tf32 lets its convolutions and products "
        "round their operands to 10 bits." if ratios else "",
        table([*passes, "ours in", "PyTorch in", "ours, ms", "eager, ms", "÷ eager", "best, ms", "÷ best", "best is",
               "rounds"], ratios) if ratios else "",
        "### Milliseconds an image of every peer",
        table([*passes, *columns], [[*result.row(), *(result.cell(peer) for peer in columns)] for result in measured]),
        "### Memory of a training step on the card\n"
        "MB (10⁶ bytes) that the allocator has taken from the driver after steps alone; in brackets what PyTorch used of "
        "it at most.",
        table(["model", "batch", *columns],
              [[result.model, str(result.batch), *(memory_cell(result, peer) for peer in columns)]
               for result in measured if result.what == "step"]),
    ] if part)
