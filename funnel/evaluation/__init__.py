"""How good the probabilities are: their order and their calibration."""
