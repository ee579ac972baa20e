"""The peers of `bench/speed`: which there are for a cell, their commands, and their running processes."""

import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

import speed_machine as machine
from speed_python import ROOT, TARGET
from speed_report import ONNXRUNTIME, OPENVINO, OPENVINO_BF16, OURS, Cell
from speed_workers import PeerError, Workers, say

# What --peers selects: PyTorch in float32 and by autocast to bfloat16, and the engines that only infer.
PYTORCH, PYTORCH_BF16, OF_ONNXRUNTIME, OF_OPENVINO = "pytorch", "pytorch-bf16", "onnxruntime", "openvino"
GROUPS = [PYTORCH, PYTORCH_BF16, OF_ONNXRUNTIME, OF_OPENVINO]

# A command, and what its environment has besides ours.
Command = tuple[list[str], dict[str, str]]


@dataclass(frozen=True)
class Wanted:
    """The peers that all cells have, and what they need."""

    python: Path
    jemalloc: str | None
    groups: list[str]
    simd: str | None

    def without_bf16(self) -> str | None:
        """Why nothing is measured in bfloat16, if so."""
        if self.simd:
            return f"{self.simd} has no bfloat16"
        return None if machine.has_bf16() else "this processor does not compute in bfloat16"


def of_pytorch(cell: Cell, wanted: Wanted) -> tuple[dict[str, Command], dict[str, str]]:
    """The commands of PyTorch by peer, and why other peers have none."""
    # g++ compiles what torch.compile writes; the second peer finds it there.
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(TARGET / "bench-inductor")}
    preloaded = cache | machine.preloaded(wanted.jemalloc) if wanted.jemalloc else None
    found: dict[str, Command] = {}
    absent: dict[str, str] = {}
    for mode in ["eager", "compile"] if cell.compiled else ["eager"]:
        command = [str(wanted.python), str(ROOT / "bench/speed_pytorch.py"), cell.model, str(cell.batch),
                   str(cell.threads), mode]
        if PYTORCH in wanted.groups:
            found[mode] = (command, cache)
            if preloaded:
                found[f"{mode} + jemalloc"] = (command, preloaded)
        if PYTORCH_BF16 not in wanted.groups:
            continue
        if reason := wanted.without_bf16():
            absent[f"{mode} bf16"] = reason
        else:
            # With jemalloc alone, where it is found: a process less in every cell.
            name = f"{mode} bf16 + jemalloc" if preloaded else f"{mode} bf16"
            found[name] = ([*command, "cpu", "bf16"], preloaded or cache)
    return found, absent


def of_engines(cell: Cell, wanted: Wanted) -> tuple[dict[str, Command], dict[str, str]]:
    """The commands of onnxruntime and OpenVINO by peer, and why others have none."""
    engines = {ONNXRUNTIME: (OF_ONNXRUNTIME, "f32"), OPENVINO: (OF_OPENVINO, "f32"),
               OPENVINO_BF16: (OF_OPENVINO, "bf16")}
    engines = {name: engine for name, engine in engines.items() if engine[0] in wanted.groups}
    if cell.what != "forward" or not engines:
        return {}, {}
    if wanted.simd:
        return {}, dict.fromkeys(engines, f"it cannot be held to {wanted.simd}")
    try:
        file = export(wanted.python, cell.model, cell.batch)
    except (OSError, PeerError) as error:
        return {}, dict.fromkeys(engines, f"no ONNX file: {error}")
    found: dict[str, Command] = {}
    absent: dict[str, str] = {}
    for name, (engine, precision) in engines.items():
        reason = wanted.without_bf16() if precision == "bf16" else None
        if reason:
            absent[name] = reason
        else:
            found[name] = ([str(wanted.python), str(ROOT / "bench/speed_onnx.py"), engine, str(file), str(cell.batch),
                            str(cell.threads), precision], {})
    return found, absent


@functools.cache
def export(python: Path, model: str, batch: int) -> Path:
    """The ONNX file of PyTorch's network for a batch, written once a run."""
    file = TARGET / "bench-onnx" / f"{model}-{batch}.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [str(python), str(ROOT / "bench/speed_onnx.py"), "export", model, str(batch), str(file)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if answer.returncode != 0:
        words = answer.stdout.strip()
        say(f"{' '.join(command)} failed:\n{words[-2000:]}")
        raise PeerError(words.splitlines()[-1] if words else f"it ended with status {answer.returncode}")
    return file


class Peers(Workers):
    """The running peers of a cell; one that fails is left out, with its reason."""

    def __init__(self, cell: Cell, wanted: Wanted):
        super().__init__()
        ours = [str(TARGET / "release/examples/speed"), cell.model, str(cell.batch), str(cell.threads)]
        commands: dict[str, Command] = {OURS: (ours, {})}
        for peers, absent in [of_pytorch(cell, wanted), of_engines(cell, wanted)]:
            commands |= peers
            self.failures |= absent
        self.start(commands)
