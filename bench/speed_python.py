"""The interpreters that have PyTorch, for `bench/speed`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from speed_workers import say

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
PINNED = ["torch==2.15.0", "torchvision==0.29.2", "timm==1.0.31", "onnx==1.23.2", "onnxruntime==1.32.0",
          "openvino==2026.4.1"]


def pinned_python() -> Path:
    """The interpreter of our own virtual environment, which is made if need be."""
    folder = TARGET / "bench-venv"
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != "\n".join(PINNED):
        say(f"installing {' '.join(PINNED)} into {folder}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", *PINNED], check=True)
        stamp.write_text("\n".join(PINNED))
    return folder / "bin/python"


def pytorch_version(python: Path) -> str:
    """Also tells whether the interpreter can be used, and which instructions PyTorch uses."""
    code = """
import importlib.util, platform, torch, torchvision
found = f"PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), torchvision {torchvision.__version__}"
if importlib.util.find_spec("timm"):
    import timm
    found += f", timm {timm.__version__}"
print(f"{found}, Python {platform.python_version()}")
"""
    answer = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True)
    if answer.returncode != 0:
        sys.exit(f"--python {python}: expected an interpreter with torch and torchvision; its error is above")
    return answer.stdout.strip()


def engine_versions(python: Path) -> str:
    """Which engines for inference an interpreter has, and which it has not."""
    code = """
from importlib import metadata
found = []
for name in ["onnxruntime", "openvino", "onnx"]:
    try:
        found.append(f"{name} {metadata.version(name)}")
    except metadata.PackageNotFoundError:
        found.append(f"no {name}")
print(", ".join(found))
"""
    return subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def computes_on_a_card(python: Path) -> bool:
    """Whether an interpreter has what the peers need, and its PyTorch finds a graphics card."""
    code = "import timm, torch, torchvision; assert torch.cuda.is_available()"
    try:
        return subprocess.run([python, "-c", code], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def card_python(given: Path | None) -> tuple[Path | None, str]:
    """An interpreter whose PyTorch computes on a graphics card; else `None`, and why there is none."""
    if given:
        found = computes_on_a_card(given)
        return (given, "") if found else (None, f"{given} has no torch, torchvision and timm that find a card")
    if computes_on_a_card(own := Path(sys.executable)):
        return own, ""
    # What is downloaded computes on NVIDIA's cards alone.
    if not shutil.which("nvidia-smi"):
        return None, "python3 has no PyTorch that finds a card, and there is no driver of NVIDIA's to install one for"
    try:
        python = pinned_python()
    except subprocess.CalledProcessError:
        return None, "PyTorch could not be installed; what pip said is above"
    return (python, "") if computes_on_a_card(python) else (None, f"the PyTorch in {python} finds no card")
