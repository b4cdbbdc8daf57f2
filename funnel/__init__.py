"""Multi-stage funnels: P(stage | the one before) and P(stage) for every impression, learnt over the entire space."""

__version__ = "0.1.0"
