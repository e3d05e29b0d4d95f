"""Runs every benchmark, one after the other, and writes ``benchmarks/results/``: ``python -m benchmarks``."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = ("supernet_step", "input_pipeline", "memory", "spaces", "latency_table", "toolbox")


def main() -> None:
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        out = HERE / "results" / f"{name}.json"
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--out", str(out)], check=True)


if __name__ == "__main__":
    main()
