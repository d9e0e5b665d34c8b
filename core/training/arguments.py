"""The recipe in the words of HF's Trainer."""

import os
from pathlib import Path

import torch
from transformers import TrainingArguments

from core.training.recipe import Recipe

TRACKERS_AT_HOME = {"WANDB_MODE": "offline", "WANDB_PROJECT": "ilora", "MLFLOW_EXPERIMENT_NAME": "ilora"}
"""What trackers are told by the environment unless it says something already: an on-prem product reports to
nobody by itself."""


def training_arguments(recipe: Recipe, folder: Path) -> TrainingArguments:
    """The arguments of a run; batches are per process, a step's rows the same for any number of them."""
    optimizer, run = recipe.optimizer, recipe.run
    if run.report_to:
        for name, value in {**TRACKERS_AT_HOME, "WANDB_DIR": str(folder)}.items():
            os.environ.setdefault(name, value)
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=run.max_steps,
        per_device_train_batch_size=optimizer.micro_batch,
        gradient_accumulation_steps=optimizer.batch_size // (optimizer.micro_batch * run.processes),
        learning_rate=optimizer.adapter_lr,
        warmup_steps=round(optimizer.warmup * run.max_steps),
        lr_scheduler_type="cosine",
        max_grad_norm=optimizer.max_grad_norm,
        eval_strategy="steps",
        eval_steps=run.evaluate_every,
        save_strategy="steps",
        save_steps=run.save_every,
        metric_for_best_model="hr1",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,
        logging_steps=min(10, run.save_every),
        logging_nan_inf_filter=False,
        report_to=["tensorboard", *run.report_to],
        seed=run.seed,
        data_seed=run.seed,
        remove_unused_columns=False,
        disable_tqdm=True,
        log_level_replica="error",  # of the processes beside the first
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
        # What trains in a mode has a part in each of its losses, prompts without item tokens included.
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,  # constants, and as large as the catalogue
    )
    # One process on a machine of several GPUs would split its batches over all of them (DataParallel).
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
