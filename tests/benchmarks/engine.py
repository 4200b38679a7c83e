"""This project's engine, as the app's trainer process runs it."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from core.learning import batching
from core.learning.config import TrainingConfig
from core.learning.evaluation import inference
from core.learning.hardware import choose_hardware, keep_freed_memory, use_all_cores
from core.learning.models import interface
from core.learning.models.interface import Network
from core.learning.tokenizer import TextTokenizer
from core.learning.training.step import Stepper
from tests.benchmarks.pace import Pace
from tests.benchmarks.workload import Job, Rows, spread


def train_engine(job: Job, rows: Rows, pace: Pace) -> Network:
    """Train the network as `fit` does, and keep the last weights."""
    use_all_cores()
    keep_freed_memory()
    torch.manual_seed(job.seed)
    hardware = choose_hardware(job.precision)
    config = TrainingConfig(
        epochs=job.epochs,
        batch_size=job.batch,
        learning_rate=job.learning_rate,
        max_length=job.max_length,
        warmup=job.warmup,
        seed=job.seed,
        precision=job.precision,
    )
    dataset = _encode(job, rows)
    network = interface.load_for_training(Path(job.model), rows.label2id, hardware, job.seed)
    stepper = Stepper(network, dataset, config, job.epochs * -(-len(dataset) // job.batch))

    pace.begin()
    for epoch in range(job.epochs):
        for batch in _batches(job, dataset, epoch):
            stepper.step(batch)
            if not pace.step_done(len(batch), int(dataset.lengths[batch].sum())):
                return network
    return network


def predict(network: Network, job: Job, rows: Rows) -> list[int]:
    """The class number of each text, by the network's weights in float32."""
    with tempfile.TemporaryDirectory() as folder:
        network.save(Path(folder))
        exact = interface.load_finetuned(Path(folder), choose_hardware("fp32"))
    return inference.predict_probabilities(exact, _encode(job, rows)).argmax(axis=1).tolist()


def _encode(job: Job, rows: Rows) -> batching.EncodedDataset:
    return batching.encode(rows.texts, rows.labels, TextTokenizer(Path(job.model), job.max_length))


def _batches(job: Job, dataset: batching.EncodedDataset, epoch: int) -> list[np.ndarray]:
    batches = batching.training_batches(dataset.lengths, job.batch, job.seed, epoch)
    return batches if job.whole else spread(batches, dataset.lengths)
