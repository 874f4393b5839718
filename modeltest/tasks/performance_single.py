"""`performance_single`: latency and throughput of the prompts one gives."""

from __future__ import annotations

from modeltest.api import RunSpec, modes_named
from modeltest.tasks.performance import Performance
from modeltest.tasks.shapes import check_prompt_input


class PerformanceSingle(Performance):
    """Measures as `performance` does, but every trial submits the given prompts, one in each row in turn."""

    name = "performance_single"
    title = "Latency and throughput of given prompts"
    modes = modes_named("performance_single")

    def check(self, spec: RunSpec) -> None:
        """Refuse shapes that cannot be timed and prompts that are none.

        Raises: SpecError, PrerequisiteError.
        """
        super().check(spec)
        check_prompt_input(spec)
