"""ModelTest's engine `vllm` and lm-evaluation-harness's model `vllm`, side by side in one environment."""
