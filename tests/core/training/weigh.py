"""A program of its own for test_memory.py: weighs real steps in a fresh process, prints JSON."""

import json
import sys
from dataclasses import asdict

from core.data.registry import load_dataset
from core.training.recipe import load_recipe
from core.training.run import open_backbone
from core.training.trial import run_trial


def main(cases: list[str]) -> None:
    """Each case is a mode, a micro-batch and more `--set` values, joined by commas."""
    dataset, weighed = load_dataset("movielens"), []
    backbone = open_backbone(load_recipe("demo-cpu", ["model.compute=fp32"]))
    for case in cases:
        mode, rows, *more = case.split(",")
        sizes = [f"optimizer.micro_batch={rows}", f"optimizer.batch_size={rows}"]
        recipe = load_recipe("demo-cpu", [*sizes, "model.compute=fp32", *more], mode=mode, method="ilora")
        weighed.append(asdict(run_trial(recipe, backbone, dataset)))
    print(json.dumps(weighed))


if __name__ == "__main__":
    main(sys.argv[1:])
