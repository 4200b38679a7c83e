import numpy as np
import torch

from core.learning import pretrained
from core.learning.batching import (
    WIDTH_STEP,
    collate,
    encode,
    ordered_batches,
    padding_share,
    training_batches,
)
from core.learning.tokenizer import TextTokenizer

LENGTHS = np.random.default_rng(0).integers(3, 60, size=1000)


def test_every_text_is_in_exactly_one_batch():
    for batches in (training_batches(LENGTHS, 16, seed=1, epoch=0), ordered_batches(LENGTHS, 16)):
        assert sorted(np.concatenate(batches)) == list(range(1000))
        assert max(map(len, batches)) == 16


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return np.concatenate(training_batches(LENGTHS, 16, seed, epoch)).tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_texts_of_like_length_share_a_batch():
    plain = [np.arange(i, min(i + 16, 1000)) for i in range(0, 1000, 16)]
    assert padding_share(LENGTHS, training_batches(LENGTHS, 16, 0, 0)) < 0.1
    assert padding_share(LENGTHS, plain) > 0.3


def test_batches_are_not_sorted_by_length():
    means = [LENGTHS[rows].mean() for rows in training_batches(LENGTHS, 16, 0, 0)]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.4


def test_encode_cuts_and_counts(tiny):
    dataset = encode(["a fine day", "good " * 50, ""], [0, 1, 0], TextTokenizer(pretrained.resolve(tiny), 8))
    assert dataset.lengths.tolist() == [5, 8, 2]
    assert dataset.truncated == 1
    assert dataset.tokens(0)[0] == 2
    assert all(dataset.tokens(row)[-1] == 3 for row in range(3))
    assert dataset.ids.size == 15


def test_encode_takes_no_texts_at_all(tiny):
    dataset = encode([], [], TextTokenizer(pretrained.resolve(tiny), 8))
    assert (len(dataset), dataset.ids.size) == (0, 0)


def test_collate_pads_to_one_width(tiny):
    texts = ["a fine day", "day", "a fine good day we like"]
    dataset = encode(texts, [0, 1, 0], TextTokenizer(pretrained.resolve(tiny), 64))
    batch = collate(dataset, np.array([1, 0]))
    assert batch.ids.shape == (2, 2 * WIDTH_STEP)
    assert batch.ids.dtype == batch.labels.dtype == torch.int64
    assert batch.ids[0].tolist() == [*dataset.tokens(1), 0, 0, 0, 0, 0]
    assert batch.padding.sum(dim=1).tolist() == [5, 3]
    assert batch.labels.tolist() == [1, 0]


def test_collate_of_equal_lengths_has_no_padding_and_no_text_is_wider_than_the_max_length(tiny):
    dataset = encode(["good " * 9, "bad " * 9], [0, 1], TextTokenizer(pretrained.resolve(tiny), 7))
    batch = collate(dataset, np.array([0, 1]))
    assert batch.ids.shape == (2, 7)
    assert batch.padding is None
