"""What the encoders of the BERT family have in common on the CPU and on a GPU."""
