"""What the user declares. Imports neither TensorFlow nor any data frame."""
