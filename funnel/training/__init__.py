"""The fit: a loop that yields what happens, and leaves printing and saving to its caller."""
