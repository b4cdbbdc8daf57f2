"""How good the probabilities are: their order, their calibration, and what they are worth in bits."""
