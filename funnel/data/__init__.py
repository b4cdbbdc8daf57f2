"""Files and frames -> encoded stars -> star batches. Never sees a model."""
