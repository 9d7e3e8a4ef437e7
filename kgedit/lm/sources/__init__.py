"""Where a model comes from when it is neither bundled nor on the hub: a package index, or a GGUF file."""
