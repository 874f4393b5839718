"""Several whole models, each with its own vLLM in a process of its own, asked as one."""
