"""From a fitted model to one SavedModel that takes raw values."""
