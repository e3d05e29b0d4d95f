"""Peak memory: of a whole run on CIFAR-10 in memory, and of an epoch over a folder that is larger than its cap.

python -m benchmarks.memory --data-dir DIR --out benchmarks/results/memory.json
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from multiprocessing import Process, Queue
from pathlib import Path

from benchmarks.machine import write

SHORT = ("pretrain.epochs=1", "adapt.epochs=1", "search.generations=1", "search.population=4", "train.epochs=1")


def cifar_run(data_dir: str | None, folder: Path) -> float:
    """Peak resident MiB of ``tailornas run``, every stage included, one epoch each."""
    options = [*(f"--set={key}" for key in SHORT), *([f"--data-dir={data_dir}"] if data_dir else [])]
    command = [
        "run",
        "--space=nasbench201",
        "--data=cifar10",
        "--imbalance-factor=100",
        "--out",
        str(folder),
        "--quiet",
        *options,
    ]
    program = "import sys, tailornas.cli; sys.argv[0] = 'tailornas'; tailornas.cli.main()"
    subprocess.run([sys.executable, "-c", program, *command], check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def folder_epoch(images: int, cap_mb: int, answer: "Queue[tuple[float, float]]") -> None:
    """Writes a folder of JPEG files, prepares it under a memory cap and reads one epoch of it.

    Answers with the peak resident MiB once the libraries are loaded, and at the end.
    """
    import numpy as np
    import torch
    from PIL import Image

    from tailornas.data import SAMPLERS, AugmentConfig, Batches, DataConfig, prepare

    libraries = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        for label in range(10):
            Path(place, str(label)).mkdir()
        for number in range(images):
            pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((96, 96)).save(f"{place}/{number % 10}/{number}.jpg")
        dataset = prepare(DataConfig(data=place, memory_cap_mb=cap_mb), seed=0)
        batches = Batches(
            dataset.train,
            128,
            dataset.normalization,
            AugmentConfig(flip=True),
            SAMPLERS["instance"],
            0,
            "bench",
            torch.device("cpu"),
        )
        seen = sum(len(labels) for _, labels in batches.epoch(0, 1))
    assert seen >= len(dataset.train) - 1
    answer.put((libraries, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write; printed in any case")
    parser.add_argument("--data-dir", help="folder with CIFAR-10; default: where it is downloaded to, once")
    parser.add_argument("--images", type=int, default=100_000, help="images in the folder")
    parser.add_argument("--cap", type=int, default=64, help="its memory cap in MiB")
    arguments = parser.parse_args()
    answer: Queue[tuple[float, float]] = Queue()
    process = Process(target=folder_epoch, args=(arguments.images, arguments.cap, answer))
    process.start()
    libraries, folder = answer.get()
    process.join()
    with tempfile.TemporaryDirectory() as place:
        cifar = cifar_run(arguments.data_dir, Path(place) / "run")
    write(
        {
            "cifar10_run_peak_mib": round(cifar),
            "folder_epoch": {
                "images": arguments.images,
                "image_size": 64,
                "decoded_mib": round(arguments.images * 3 * 64 * 64 / 2**20),
                "cap_mib": arguments.cap,
                "libraries_mib": round(libraries),
                "peak_mib": round(folder),
            },
        },
        arguments.out,
    )


if __name__ == "__main__":
    main()
