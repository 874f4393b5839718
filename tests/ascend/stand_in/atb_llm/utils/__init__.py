"""A stand-in for the package of this name in MindIE's atb_models; see tests/ascend/README.md."""
