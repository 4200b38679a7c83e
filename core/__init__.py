"""Textuner's engine: a table of texts and labels becomes a fine-tuned classifier.

file → Table → LabeledTexts → Splits → EncodedDataset → batches → weights → predictions
"""
