"""The section `accuracy`: whole trainings beside the Trainer in float32, scored with the last weights."""

import statistics
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from tests.benchmarks.children import Child
from tests.benchmarks.gpu_setup import QUICK_FACTOR, Report, Settings
from tests.benchmarks.workload import Job

EPOCHS = {"sst2": 1, "trec6": 2}
SEEDS, QUICK_SEEDS = (1, 2, 3), (1,)
STACKS = ("engine", "trainer")
BATCH = 16
LIMIT = 90
"""Seconds for one training, others beside it."""


def measure(settings: Settings, report: Report) -> None:
    """Report each training, then the means by data set and what the engine's is above the Trainer's."""
    jobs = [
        _job(settings, stack, data_set, seed)
        for data_set in EPOCHS
        for seed in (QUICK_SEEDS if settings.quick else SEEDS)
        for stack in STACKS
    ]
    found: list[dict[str, Any]] = []
    with ThreadPoolExecutor(2 if settings.quick else settings.at_once) as pool:
        for future in as_completed([pool.submit(_train, job, name, settings) for name, job in jobs]):
            result = future.result()
            report(result)
            found.append(result)
    for data_set in EPOCHS:
        report({"data": data_set, **_means([row for row in found if row["data"] == data_set])})


def _job(settings: Settings, stack: str, data_set: str, seed: int) -> tuple[str, Job]:
    more = {"data": str(settings.rows(data_set)), "epochs": EPOCHS[data_set], "warmup": 0.1}
    return data_set, settings.job(stack, "minilm", BATCH, seed=seed, whole=True, **more)


def _train(job: Job, data_set: str, settings: Settings) -> dict[str, Any]:
    result: dict[str, Any] = {"data": data_set, "stack": job.stack, "seed": job.seed, "epochs": job.epochs}
    # The others need the cores too.
    child = Child(job, settings.environment(OMP_NUM_THREADS="2"))
    try:
        return result | child.answer(QUICK_FACTOR * LIMIT if settings.quick else LIMIT)
    except SystemExit as error:
        child.kill()
        return result | {"error": str(error)[-1500:]}
    finally:
        child.close()


def _means(rows: list[dict[str, Any]]) -> dict[str, Any]:
    by_stack = {
        stack: [row["accuracy"] for row in rows if row["stack"] == stack and "accuracy" in row]
        for stack in STACKS
    }
    means = {stack: statistics.mean(values) for stack, values in by_stack.items() if values}
    found: dict[str, Any] = {f"mean_{stack}": round(mean, 5) for stack, mean in means.items()}
    if len(means) == len(STACKS):
        found["points_above_trainer"] = round(100 * (means["engine"] - means["trainer"]), 2)
    return found
