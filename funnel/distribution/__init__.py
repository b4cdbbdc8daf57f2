"""Several processes, or several devices, that fit together, on the engines that TensorFlow has for it."""
