"""What is wrong with the data, told before any training: `funnel check`."""
