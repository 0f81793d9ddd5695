"""How fast a scorer is trained: decisions per second of forward, backward and optimiser step, on one process.

    OMP_NUM_THREADS=1 python benchmarks/training.py --num_frozen_layers 0 3 6 --output_json benchmarks/training.json
    python benchmarks/training.py --device cuda --precision fp32 bf16 fp16

The decisions are a demonstrator's on the embedded catalogue. With a whole encoder frozen its encodings are kept, so the
first pass encodes and the later ones do not; both are shown. Peak memory on a CPU is that of the whole process so far,
on a GPU that of one measurement.
"""

import argparse
import platform
import resource
import time
from itertools import islice, product
from pathlib import Path
from typing import Any

import torch

from recrl.episodes.decisions import LabelledDecision
from recrl.files import write_json
from recrl.policies.loading import load_policy
from recrl.rollouts.rollout import rollout
from recrl.scoring.collator import ChoiceCollator
from recrl.scoring.model import BertForChoiceScoring
from recrl.training.imitation import decisions_of
from recrl.training.tuning import TuningArguments, prepare_for_training
from recrl.webshop.catalog import load_catalog

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def demonstrated_decisions(count: int) -> list[LabelledDecision]:
    """The first decisions of demonstrations on training goals."""
    catalog = load_catalog()
    episodes = rollout(load_policy("demonstrator"), catalog, catalog.split("train"), seed=0)
    return decisions_of(list(islice(episodes, count)))[:count]


def measure(
    rows: list[LabelledDecision],
    *,
    model: str | None,
    num_frozen_layers: int,
    batch_size: int,
    passes: int,
    device: torch.device,
    precision: str,
) -> dict[str, Any]:
    """Trains on the rows, several passes; returns decisions per second and the mean loss of each pass."""
    scorer, tokenizer = BertForChoiceScoring.from_encoder(model)
    scorer = prepare_for_training(scorer, TuningArguments(num_frozen_layers=num_frozen_layers)).eval().to(device)
    collator = ChoiceCollator(tokenizer, scorer.config)
    optimizer = torch.optim.AdamW([one for one in scorer.parameters() if one.requires_grad], lr=1e-5)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    rates, losses = [], []
    for _ in range(passes):
        started, total = time.perf_counter(), torch.zeros((), device=device)
        for start in range(0, len(rows), batch_size):
            shown = rows[start : start + batch_size]
            batch = collator.labelled(shown).to(device)
            with torch.autocast(device.type, dtype=PRECISIONS[precision], enabled=precision != "fp32"):
                loss = scorer(**batch.tensors()).loss
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            total += loss.detach() * len(shown)
        losses.append(round(float(total) / len(rows), 4))  # waits for the device
        rates.append(round(len(rows) / (time.perf_counter() - started), 2))
    peak = (
        torch.cuda.max_memory_allocated(device) / 2**20
        if on_gpu
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    return {
        "num_frozen_layers": num_frozen_layers,
        "precision": precision,
        "decisions_per_second_by_pass": rates,
        "loss_by_pass": losses,
        "peak_mb": round(peak),
    }


def main() -> None:
    """Parses, measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_name_or_path", help="encoder; without it MiniLM-L6")
    parser.add_argument("--num_frozen_layers", type=int, nargs="+", default=[0, 3, 6], help="one measurement of each")
    parser.add_argument("--num_decisions", type=int, default=128, help="decisions of a pass")
    parser.add_argument("--batch_size", type=int, default=32, help="decisions of a step")
    parser.add_argument("--passes", type=int, default=2, help="passes over the decisions")
    parser.add_argument("--device", default="cpu", type=torch.device, help="cpu, cuda or mps")
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=PRECISIONS, help="one measurement of each")
    parser.add_argument("--output_json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    rows = demonstrated_decisions(arguments.num_decisions)
    found = []
    device = arguments.device
    for precision, frozen in product(arguments.precision, arguments.num_frozen_layers):
        found.append(
            measure(
                rows, model=arguments.model_name_or_path, num_frozen_layers=frozen, batch_size=arguments.batch_size,
                passes=arguments.passes, device=device, precision=precision,
            )
        )  # fmt: skip
        print(found[-1], flush=True)
    if arguments.output_json:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
        machine = {"machine": name, "threads": torch.get_num_threads(), "torch": torch.__version__}
        settings = {name: getattr(arguments, name) for name in ("num_decisions", "batch_size")}
        write_json(arguments.output_json, {**machine, **settings, "measurements": found})


if __name__ == "__main__":
    main()
