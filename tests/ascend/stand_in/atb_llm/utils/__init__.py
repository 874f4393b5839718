"""A stand-in for the package of this name in MindIE's atb_models; see docs/ascend.md."""
