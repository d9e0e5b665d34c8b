"""Two small finished runs as `ilora train` leaves them: recipe, summary and TensorBoard events."""

import json
from pathlib import Path

import yaml
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from core.training.recipe import load_recipe

ALARM = "The gate ignores its input: shares differ between people by 0.0098 only."


def write_runs(folder: Path) -> Path:
    """A pair of runs, iLoRA with an alarm and LoRA without."""
    for method in ("ilora", "lora"):
        run = folder / f"demo-{method}"
        run.mkdir(parents=True)
        recipe = load_recipe("demo-cpu", [], method=method).model_dump(mode="json")
        (run / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        told = {"steps": 40, "best_step": 30, "best_validation_hr1": 0.25, "training_seconds": 120}
        alarms = [ALARM] if method == "ilora" else []
        (run / "summary.json").write_text(json.dumps(told | {"alarms": alarms}), encoding="utf-8")
        writer = EventFileWriter(str(run / "runs" / "session"))
        tags = {"train/loss": 7.5, "train/accuracy": 0.1, "eval/hr1": 0.2, "train/gate_entropy": 1.3}
        for step in range(1, 41):
            values = [
                Summary.Value(tag=tag, simple_value=start + (start / 2 - start) * step / 40)
                for tag, start in tags.items()
            ]
            writer.add_event(Event(wall_time=1e9 + step, step=step, summary=Summary(value=values)))
        writer.close()
    return folder
