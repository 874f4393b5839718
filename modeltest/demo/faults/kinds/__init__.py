"""The faults as code, by the part of a model they are in; what each is stands in `catalogue.toml`."""
