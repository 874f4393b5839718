"""JSON and TOML to plain values, contracts to plain values and back."""
