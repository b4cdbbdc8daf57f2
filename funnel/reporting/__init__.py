"""The report of a run: one page that needs nothing else, made from the run folder alone, without TensorFlow."""
