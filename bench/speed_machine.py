"""What Linux tells about the machine and its processes, for the benchmarks beside PyTorch."""

import glob
import os
import resource
import subprocess
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
JEMALLOC_PLACES = ["/usr/lib/*-linux-gnu/libjemalloc.so.2", "/usr/lib64/libjemalloc.so.2",
                   "/usr/lib/libjemalloc.so.2", "/usr/local/lib/libjemalloc.so.2"]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def cpu_model() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return os.uname().machine


def memory_gb() -> float:
    """Memory of the machine in GB (10⁹ bytes)."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def process_seconds(pid: int) -> float:
    """CPU seconds of a process so far, of all threads: fields 14 and 15 of proc(5)'s `stat`."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def busy_seconds() -> float:
    """CPU seconds of the whole machine so far; what a hypervisor took for others counts as busy."""
    user, nice, system, _idle, _wait, interrupts, soft, steal = (
        int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + interrupts + soft + steal) / TICKS


def own_peak_mb() -> float:
    """The highest resident memory of this process so far, in MB (10⁶ bytes)."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def own_page_faults() -> int:
    """Minor page faults of this process so far, of all threads."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def has_bf16() -> bool:
    """Whether the processor computes with bfloat16: x86 and ARM name it differently."""
    names = ("flags", "Features")
    lines = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(names))
    found = set(next(lines, "").split())
    return not found.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def has_loaded(pid: int, library: str) -> bool:
    """Whether a process has mapped a file of that name."""
    return library in Path(f"/proc/{pid}/maps").read_text()


def find_jemalloc() -> str | None:
    """The library of Debian's libjemalloc2 or its like."""
    return next((path for place in JEMALLOC_PLACES for path in glob.glob(place)), None)


def preloaded(jemalloc: str) -> dict[str, str]:
    """The environment of a process that allocates with jemalloc and gives nothing back to the system."""
    return {"LD_PRELOAD": jemalloc, "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1"}


def versions(root: Path) -> list[str]:
    """The commit that is measured, the compiler and the kernel."""
    def answer(*command: str) -> str:
        return subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    try:
        commit = answer("git", "describe", "--always", "--dirty")
    except (OSError, subprocess.CalledProcessError):
        commit = "of no known commit"
    return [f"warmstart {commit}", answer("rustc", "--version"), f"Linux {os.uname().release}"]
