"""How well the per-operation latency table ranks architectures: rank correlation with the clock, over 30 of them.

python -m benchmarks.latency_table --out benchmarks/results/latency_table.json
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from benchmarks.machine import spread, write

from tailornas.metrics import kendall_tau, spearman_rho
from tailornas.spaces import LatencyTable, build_space, compare, space_config

SPACES = {"nasbench201": 32, "nats-size": 32, "resnet": 32, "darts": 32, "mobilenet": 96}
"""Space -> image size."""


def correlation(name: str, image_size: int, architectures: int, table: LatencyTable) -> dict[str, Any]:
    """Builds the table for a sample of a space and compares it with the clock."""
    config, rng = space_config(name, {}), torch.Generator().manual_seed(0)
    space = build_space(config, 10, rng, image_size)
    networks = [config.network(space, space.sample(rng), 10, rng) for _ in range(architectures)]
    before, start = len(table.times), time.perf_counter()
    for network in networks:
        table.predict(network, image_size)
    seconds = time.perf_counter() - start
    predicted, measured = compare(networks, table, image_size)
    return {
        "image_size": image_size,
        "architectures": architectures,
        "operations": len(table.times) - before,
        "seconds_to_build": round(seconds, 1),
        "spearman_rho": spearman_rho(predicted, measured),
        "kendall_tau": kendall_tau(predicted, measured),
        "measured_ms": spread(measured),
        "table_ms": spread(predicted),
        "table_over_measured": spread([table / clock for table, clock in zip(predicted, measured, strict=True)]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write; printed in any case")
    parser.add_argument("--architectures", type=int, default=30, help="how many of each space")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        table = LatencyTable.cached(torch.device("cpu"), Path(folder))
        write(
            {name: correlation(name, size, arguments.architectures, table) for name, size in SPACES.items()},
            arguments.out,
        )


if __name__ == "__main__":
    main()
