"""TensorFlow with the Keras that tensorflow-recommenders is written for."""

from __future__ import annotations

import os
import sys

# Read when `tf.keras` is first touched, not when TensorFlow is imported.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
if "tensorflow" not in sys.modules:
    # What TensorFlow says of the machine while it loads helps nobody who asked for a model.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

# tf_keras does not say its version here; Keras 3 does.
if hasattr(tf.keras, "__version__"):
    raise ImportError(
        f"funnel: got Keras {tf.keras.__version__} as tf.keras, expected tf-keras 2.21, which tensorflow-recommenders needs. "
        "Import funnel before anything that uses tf.keras, or set the environment variable TF_USE_LEGACY_KERAS=1 "
        f"(now {os.environ['TF_USE_LEGACY_KERAS']!r}) before Python starts."
    )

import tensorflow_recommenders as tfrs

keras = tf.keras

__all__ = ["keras", "tf", "tfrs"]
