"""One stack in a process of its own: `python -m tests.benchmarks.stacks JOB`, with a `workload.Job` as JSON.

Loads, warms up, and then trains a block for every order that comes in, or the whole training at once.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.pace import BlockPace, Orders, Pace, WholePace, peak_memory
from tests.benchmarks.workload import Job, Rows, read_rows, test_file


def main(job: Job) -> None:
    """Do one stack's work until the orders end."""
    orders = Orders()
    if job.stack == "limit":
        _measure_limit(job, orders)
        return
    rows = read_rows(Path(job.data))
    if job.whole:
        _train_whole(job, rows, orders)
        return
    _train(job, rows, BlockPace(orders, _wait_for(job.device)))
    orders.reply(peak_mib=peak_memory(job.device))


def _wait_for(device: str) -> Callable[[], None]:
    def wait() -> None:
        if device == "cuda":
            import torch

            torch.cuda.synchronize()

    return wait


def _train(job: Job, rows: Rows, pace: Pace) -> object:
    if job.stack.startswith("tutorial"):
        from tests.benchmarks.baselines import train_tutorial as train
    elif job.stack.startswith("trainer"):
        from tests.benchmarks.baselines import train_trainer as train
    else:
        # Before torch, as in the app: OpenMP reads its settings when torch loads it.
        import core.learning  # noqa: F401
        from tests.benchmarks.engine import train_engine as train
    return train(job, rows, pace)


def _train_whole(job: Job, rows: Rows, orders: Orders) -> None:
    pace = WholePace()
    model = _train(job, rows, pace)
    peak = peak_memory(job.device)
    if job.stack.startswith("engine"):
        from tests.benchmarks.engine import predict
    else:
        from tests.benchmarks.baselines import predict
    held_out = read_rows(test_file(Path(job.data)), rows.label2id)
    answers = predict(model, job, held_out)
    right = sum(answer == label for answer, label in zip(answers, held_out.labels, strict=True))
    orders.reply(accuracy=right / len(answers), seconds=pace.seconds, peak_mib=peak)


def _measure_limit(job: Job, orders: Orders) -> None:
    from core.learning.hardware import use_all_cores
    from core.learning.tokenizer import TextTokenizer
    from tests.benchmarks.limit import measure

    use_all_cores()
    ids, _ = TextTokenizer(Path(job.model), job.max_length).encode(read_rows(Path(job.data)).texts)
    mean_tokens = sum(map(len, ids)) / len(ids)
    while True:
        orders.reply(mean_tokens=mean_tokens, step_seconds=measure(job, mean_tokens))
        if not orders.wait()["seconds"]:
            break
    orders.reply(peak_mib=peak_memory(job.device))


if __name__ == "__main__":
    main(Job(**json.loads(sys.argv[1])))
