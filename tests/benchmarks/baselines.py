"""What others train with: the loop of the usual tutorial, and transformers' Trainer.

Nothing of this project's engine is imported here, since importing it changes the environment.
"""

import os
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler, TensorDataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils import logging as transformers_logging

from tests.benchmarks.pace import Pace
from tests.benchmarks.workload import Job, Rows, spread, wants_bf16

SCORING_BATCH = 64

BEST = ("trainer-best", "trainer-compiled")
"""Stacks of the Trainer with its best settings; the second one's model is compiled by torch besides."""

LOADERS = 4
"""Processes that make batches ahead, where a GPU would wait for them."""

Counts = deque[tuple[int, int]]
"""Texts and real tokens of each batch, which is made ahead of its step; in the order of the steps."""

transformers_logging.set_verbosity_error()


def train_tutorial(job: Job, rows: Rows, pace: Pace) -> PreTrainedModel:
    """The loop that tutorials show: all texts padded to the longest, float32, torch's AdamW as it comes."""
    torch.manual_seed(job.seed)
    tokenizer = AutoTokenizer.from_pretrained(job.model)
    encoded = tokenizer(
        rows.texts, padding=True, truncation=True, max_length=job.max_length, return_tensors="pt"
    )
    dataset = TensorDataset(encoded["input_ids"], encoded["attention_mask"], torch.tensor(rows.labels))
    loader = DataLoader(dataset, batch_size=job.batch, shuffle=True)
    model = _model(job, rows)
    optimizer = torch.optim.AdamW(model.parameters(), lr=job.learning_rate)

    model.train()
    pace.begin()
    for _ in range(job.epochs):
        total_loss = 0.0
        for input_ids, attention_mask, labels in loader:
            optimizer.zero_grad()
            tokens = int(attention_mask.sum())
            moved = {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}
            output = model(**{name: tensor.to(job.device) for name, tensor in moved.items()})
            output.loss.backward()
            optimizer.step()
            total_loss += output.loss.item()
            if not pace.step_done(len(labels), tokens):
                return model
    return model


def train_trainer(job: Job, rows: Rows, pace: Pace) -> PreTrainedModel:
    """transformers' Trainer as it comes, or, for the stacks `BEST`, with its best settings."""
    even = job.stack in BEST and not job.whole
    # Before the model, as `model_init` would: it decides the new head.
    torch.manual_seed(job.seed)
    tokenizer = AutoTokenizer.from_pretrained(job.model)
    encoded = tokenizer(rows.texts, truncation=True, max_length=job.max_length)
    dataset = [
        {**{name: encoded[name][i] for name in encoded}, "labels": label}
        for i, label in enumerate(rows.labels)
    ]
    counts: Counts = deque()
    multiple = 8 if even and job.device == "cuda" else None
    collate = DataCollatorWithPadding(tokenizer, pad_to_multiple_of=multiple)
    with tempfile.TemporaryDirectory() as folder:
        trainer = (_EvenTrainer if even else Trainer)(
            model=_model(job, rows),
            args=_arguments(job, folder),
            train_dataset=dataset,
            processing_class=tokenizer,
            data_collator=collate if even else _Counting(collate, counts),
            callbacks=[_Pacing(pace, counts)],
        )
        trainer.counts = counts
        trainer.train()
    return trainer.model


def predict(model: PreTrainedModel, job: Job, rows: Rows) -> list[int]:
    """The class number of each text, by the model in float32."""
    tokenizer = AutoTokenizer.from_pretrained(job.model)
    model.eval()
    answers: list[int] = []
    with torch.inference_mode():
        for start in range(0, len(rows.texts), SCORING_BATCH):
            batch = tokenizer(
                rows.texts[start : start + SCORING_BATCH],
                padding=True,
                truncation=True,
                max_length=job.max_length,
                return_tensors="pt",
            )
            answers += model(**batch.to(model.device)).logits.argmax(dim=-1).tolist()
    return answers


class _Counting:
    """A collator that writes down texts and real tokens of each batch it makes."""

    def __init__(self, collate: DataCollatorWithPadding, counts: Counts) -> None:
        self._collate = collate
        self._counts = counts

    def __call__(self, features: list[dict[str, Any]]) -> Any:
        self._counts.append((len(features), sum(len(feature["input_ids"]) for feature in features)))
        return self._collate(features)


class _Pacing(TrainerCallback):
    """Lets the Trainer wait between two steps of one training."""

    def __init__(self, pace: Pace, counts: Counts) -> None:
        self._pace = pace
        self._counts = counts

    def on_train_begin(self, args, state, control, **others) -> None:  # noqa: ANN001, ANN003
        self._pace.begin()

    def on_step_end(self, args, state, control, **others) -> None:  # noqa: ANN001, ANN003
        control.should_training_stop |= not self._pace.step_done(*self._counts.popleft())


class _EvenTrainer(Trainer):
    """The Trainer with its own grouped batches in another order: see `spread`."""

    counts: Counts

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler:
        sampler = super()._get_train_sampler(train_dataset)
        return _EvenSampler(sampler, self.args.train_batch_size, sampler.lengths, self.counts)


class _EvenSampler(Sampler):
    """Counts here, where batches are chosen: other processes may make them."""

    def __init__(self, grouped: Sampler, batch: int, lengths: list[int], counts: Counts) -> None:
        self._grouped = grouped
        self._batch = batch
        self._lengths = lengths
        self._counts = counts

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        rows = list(self._grouped)
        batches = [rows[start : start + self._batch] for start in range(0, len(rows), self._batch)]
        for batch in spread(batches, self._lengths):
            self._counts.append((len(batch), sum(self._lengths[row] for row in batch)))
            yield from batch


def _model(job: Job, rows: Rows) -> PreTrainedModel:
    return AutoModelForSequenceClassification.from_pretrained(
        job.model, num_labels=len(rows.label2id), dtype=torch.float32
    ).to(job.device)


def _arguments(job: Job, folder: str | Path) -> TrainingArguments:
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": job.batch,
        "num_train_epochs": job.epochs,
        "learning_rate": job.learning_rate,
        "warmup_steps": job.warmup,
        "seed": job.seed,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": job.device == "cpu",
    }
    if job.stack in BEST:
        settings |= {
            "train_sampling_strategy": "group_by_length",
            "bf16": wants_bf16(job.precision),
            "optim": "adamw_torch_fused",
        }
        if job.device == "cuda" and not job.whole:
            settings |= _gpu_settings()
    if job.stack == "trainer-compiled":
        settings["torch_compile"] = True
        # Read by accelerate: one kernel for all widths, instead of one compilation for each.
        os.environ["ACCELERATE_DYNAMO_USE_DYNAMIC"] = "true"
    return TrainingArguments(**settings)


def _gpu_settings() -> dict[str, Any]:
    """Batches made ahead by other processes, and nothing that waits for the GPU after a step."""
    return {
        "dataloader_num_workers": LOADERS,
        "dataloader_persistent_workers": True,
        "dataloader_prefetch_factor": 4,
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,
    }
