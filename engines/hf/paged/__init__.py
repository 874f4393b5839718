"""The paged cache with continuous batching, and the engine `hf_paged` that uses it."""
