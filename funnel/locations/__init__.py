"""Where things are: a path on this machine, or a URL of any filesystem that `fsspec` reaches."""
