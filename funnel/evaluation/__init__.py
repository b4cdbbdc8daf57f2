"""How good a model is: exact metrics, predictions, and the report."""
