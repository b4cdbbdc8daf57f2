"""Whether an export says what its run says, found out as a service would: raw rows, a process of its own, TensorFlow alone."""
