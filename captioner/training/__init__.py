"""Training: the loop, and around it what watches, saves and stops it.

A run's folder holds `best.safetensors` (the averaged weights with the best validation score),
`last.safetensors`, `resume.safetensors` (everything needed to go on at the very step), `log.csv`
and TensorBoard's event files.

`loop` knows nothing of captions; `captioning` says what its batches, its losses and its scores are.
"""

from captioner.training.callbacks import Interrupted
from captioner.training.captioning import train

__all__ = ["Interrupted", "train"]
