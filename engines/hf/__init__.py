"""Models of transformers: the reference on the CPU, and the engines `hf` and `hf_paged`."""
