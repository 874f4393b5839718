"""One file per output format; each report is a pure function of a `RunResult`."""
