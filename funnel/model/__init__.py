"""Tensors only: the likelihood, embeddings, towers, and the model that is trained. Never sees a file or a frame."""
