"""The environment variables by which a supervisor names pipes and folders to its worker."""

EVENTS = "MODELTEST_EVENTS"
"""The pipe for what the worker tells; not set: events go nowhere."""

NEXT_RUNS = "MODELTEST_NEXT_RUNS"
"""The pipe that names further runs to a worker which is kept."""

TRACE_FOLDER = "MODELTEST_TRACE_FOLDER"
"""Where traces are written; empty or not set: there are none."""

TEMPORARY_FOLDER = "MODELTEST_TEMPORARY_FOLDER"
"""The worker's own, for temporary files: whichever of the two lives longer removes it."""

ENGINE_PYTHON = "MODELTEST_ENGINE_PYTHON"
"""The user's: the interpreter that workers run in. `run.sh` adds ModelTest to it."""
