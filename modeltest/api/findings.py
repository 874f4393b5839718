"""What is said of a result as values: a code and numbers. The sentences are in `modeltest.findings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class FindingCode(str, Enum):
    """Everything that is said of a result; `modeltest/sentences/` has the words and values of each."""

    __hash__ = str.__hash__  # so that a code read from a file is found in a set of members

    TEXT = "text"
    """What somebody else says in words of their own: an engine, a library, a plug-in."""

    # Where something was found; `about` is the finding.
    IN_CASE = "in_case"
    IN_SEARCH = "in_search"
    IN_TRIAL = "in_trial"
    IN_PROMPT = "in_prompt"

    # Of the questions, their answers and the journal.
    BELOW_GUESSING = "below_guessing"
    JOURNAL_WITHOUT_DIGESTS = "journal_without_digests"
    ONE_ANSWER = "one_answer"
    QUESTIONS_AMONG_SHOTS = "questions_among_shots"
    REPEATED_QUESTIONS = "repeated_questions"

    # Why a run has the verdict that it has.
    RUN_UNFINISHED = "run_unfinished"
    GIVEN_UP = "given_up"
    NO_QUESTION_ASKED = "no_question_asked"
    QUESTIONS_CUT_SHORT = "questions_cut_short"
    QUESTIONS_FAILED = "questions_failed"
    WORSE_THAN_GUESSING = "worse_than_guessing"
    PROMPT_FAILED = "prompt_failed"
    PROMPTS_FAILED = "prompts_failed"
    PROMPTS_CUT_SHORT = "prompts_cut_short"
    NO_METRIC = "no_metric"
    NO_ANSWER_TO_PACK = "no_answer_to_pack"
    PACK_CUT_SHORT = "pack_cut_short"
    PACK_QUESTIONS_FAILED = "pack_questions_failed"

    # What an acceptance test rests on.
    TEST_PASSES = "test_passes"
    TEST_FAILS = "test_fails"
    TEST_OPEN = "test_open"
    PROMPTS_AGREE = "prompts_agree"
    PROMPTS_DIFFER = "prompts_differ"
    PROMPTS_NOT_TOLD = "prompts_not_told"
    NO_PROMPTS_IN_PACK = "no_prompts_in_pack"
    ENDS_NOT_TOLD = "ends_not_told"
    NO_TOKENS_TOLD = "no_tokens_told"
    NO_TEXTS_IN_PACK = "no_texts_in_pack"
    OTHER_TOKENIZER = "other_tokenizer"
    UNKNOWN_TOKENIZER = "unknown_tokenizer"
    NO_TWIN_TO_JUDGE_BY = "no_twin_to_judge_by"
    NO_TWIN_IN_DTYPE = "no_twin_in_dtype"
    UNKNOWN_DTYPE = "unknown_dtype"
    NO_MARGINS = "no_margins"
    PORT_DIFFERS = "port_differs"
    ACCURACY_LOST = "accuracy_lost"
    LOCATE_NEXT = "locate_next"
    PORT_ACCEPTED = "port_accepted"
    ANSWERS_ALONE = "answers_alone"
    TESTS_OPEN = "tests_open"
    TESTS_NOT_RUN = "tests_not_run"

    # Of timed trials.
    TRIALS_CUT_SHORT = "trials_cut_short"
    SMALLER_BATCH_OUT_OF_MEMORY = "smaller_batch_out_of_memory"
    BATCH_OUT_OF_MEMORY = "batch_out_of_memory"
    ROWS_MISSING = "rows_missing"
    ROWS_FAILED = "rows_failed"
    ROWS_OF_WRONG_LENGTH = "rows_of_wrong_length"
    ROWS_UNTIMED = "rows_untimed"
    ROWS_WITHOUT_END_ALONE = "rows_without_end_alone"
    TIMES_BACKWARDS = "times_backwards"
    VARIES = "varies"
    DRIFTS = "drifts"
    DECODE_IMPLAUSIBLE = "decode_implausible"
    PREFILL_IMPLAUSIBLE = "prefill_implausible"
    WARMUP_ALONE = "warmup_alone"
    WARMUP_UNSETTLED = "warmup_unsettled"
    INTERVALS_WIDE = "intervals_wide"
    INTERVAL_WIDTH = "interval_width"
    TIMING_COSTS = "timing_costs"
    TOKENS_TOGETHER = "tokens_together"

    # How a max-batch search ended.
    SEARCH_ENDED = "search_ended"
    END_OF_RANGE = "end_of_range"
    EASIER_CASE_OUT_OF_MEMORY = "easier_case_out_of_memory"
    BATCH_WITHOUT_READING = "batch_without_reading"
    BATCH_EXCEEDS_LIMIT = "batch_exceeds_limit"
    BATCH_PREDICTED_NOT_TO_FIT = "batch_predicted_not_to_fit"
    SEARCH_CUT_SHORT = "search_cut_short"
    BATCH_UNDECIDED = "batch_undecided"
    BATCHES_LOST_IN_SCATTER = "batches_lost_in_scatter"
    QUICK_SEARCH = "quick_search"

    # Of the outputs of a precision run.
    NOT_MEASURED = "not_measured"
    ROW_MISSING = "row_missing"
    ROW_FAILED = "row_failed"
    ROW_OF_WRONG_LENGTH = "row_of_wrong_length"
    ROWS_DIFFER = "rows_differ"
    OUTPUT_DIFFERS_BY_BATCH = "output_differs_by_batch"
    LOGPROBS_UNMEASURED = "logprobs_unmeasured"
    LOGPROBS_FAILED = "logprobs_failed"
    LOGPROB_MISSING = "logprob_missing"
    TOKEN_OUTSIDE_VOCABULARY = "token_outside_vocabulary"

    # What a mark of a dashboard rests on.
    NOT_COMPARABLE = "not_comparable"
    NOT_IN_BOTH_RUNS = "not_in_both_runs"
    RIGHT_BEFORE_AND_NOW = "right_before_and_now"
    ONE_DECIDES_NOTHING = "one_decides_nothing"

    # Why a run of a dashboard has no numbers.
    COPY_OF_RUN = "copy_of_run"
    PART_OF_ANOTHER_NODE = "part_of_another_node"

    # What stopped a run before its end, and when.
    INTERRUPTED = "interrupted"
    WORKER_HUNG = "worker_hung"
    WORKER_KILLED = "worker_killed"
    WORKER_KILLED_FOR_MEMORY = "worker_killed_for_memory"
    WORKER_EXITED = "worker_exited"
    DEVICE_FAILED = "device_failed"
    SUPERVISOR_VANISHED = "supervisor_vanished"
    LINES_LOST = "lines_lost"
    WITH_HINT = "with_hint"
    BEFORE_FIRST_BATCH = "before_first_batch"
    AFTER_SOME = "after_some"
    WHEN_ALL_WAS_DONE = "when_all_was_done"
    NO_EXIT = "no_exit"
    NOT_LOADED = "not_loaded"
    NO_HEARTBEAT = "no_heartbeat"
    NO_BATCH_ENDED = "no_batch_ended"

    # Of the runs of a suite.
    RUN_OF_SUITE_ENDED = "run_of_suite_ended"
    RUN_OF_SUITE_INVALID = "run_of_suite_invalid"
    RUN_OF_SUITE_DECIDED = "run_of_suite_decided"

    # What a gate of a comparison rests on.
    CANDIDATE_FAILED = "candidate_failed"
    CANDIDATE_ANSWERED_ALL = "candidate_answered_all"
    SAME_TOKENS = "same_tokens"
    OTHER_TOKENS = "other_tokens"
    OTHER_TOKENS_OF_ONE_CHECKPOINT = "other_tokens_of_one_checkpoint"
    NO_TWIN = "no_twin"
    FEW_SHIFTS = "few_shifts"
    TWIN_MOVES_NOTHING = "twin_moves_nothing"
    SHIFT_AS_TWIN = "shift_as_twin"
    SHIFT_FROM_TWIN = "shift_from_twin"
    SHIFT_OPEN = "shift_open"
    OUTLIERS_BESIDE_TWINS = "outliers_beside_twins"
    ACCURACY_BESIDE_TWINS = "accuracy_beside_twins"
    DROP_LIKE_ROUNDING = "drop_like_rounding"
    ANSWERS_BESIDE_TWINS = "answers_beside_twins"
    GUESSING_BEATS_A_RUN = "guessing_beats_a_run"
    NO_COMMON_ANSWER = "no_common_answer"
    ALL_ANSWERS_IDENTICAL = "all_answers_identical"
    ANY_DROP_EXCLUDED = "any_drop_excluded"
    DROP_EXCLUDED = "drop_excluded"
    ACCURACY_DROPS = "accuracy_drops"
    DROP_NOT_EXCLUDED = "drop_not_excluded"
    MANY_UNANSWERED = "many_unanswered"
    SUBJECTS_WORSE = "subjects_worse"
    NO_SUBJECT_WORSE = "no_subject_worse"
    ANSWERS_DIFFER = "answers_differ"
    ANSWERS_DIFFER_WIDELY = "answers_differ_widely"
    MORE_QUESTIONS_WOULD_TELL = "more_questions_would_tell"
    TOO_FEW_QUESTIONS = "too_few_questions"
    CHOICES_DIVERGE = "choices_diverge"
    TOKENS_DIVERGE = "tokens_diverge"
    TOKENS_DIVERGE_AT_LEAST = "tokens_diverge_at_least"
    WHOLE_DISTRIBUTIONS_WOULD_TELL = "whole_distributions_would_tell"
    OUTPUTS_IDENTICAL = "outputs_identical"
    OUTPUTS_ASKED_FOR = "outputs_asked_for"
    OUTPUTS_ALONE_CANNOT_TELL = "outputs_alone_cannot_tell"
    LATENCY_CHANGE = "latency_change"
    SLOWER_BEYOND_DOUBT = "slower_beyond_doubt"
    TOO_NOISY = "too_noisy"
    NUMBERS_DECIDE_NOTHING = "numbers_decide_nothing"
    MAX_BATCHES = "max_batches"
    NO_BATCH_TO_KEEP_TO = "no_batch_to_keep_to"

    # What else there is to know of a comparison.
    CHOICES_ALONE = "choices_alone"
    ON_A_SIDE = "on_a_side"
    MORE_WARNINGS = "more_warnings"
    ONE_SESSION = "one_session"

    # What about the machine disturbs times.
    MACHINE_BUSY = "machine_busy"
    GOVERNOR_CHANGES_CLOCK = "governor_changes_clock"
    LITTLE_MEMORY = "little_memory"
    THREADS_TAKE_TURNS = "threads_take_turns"
    THREADS_WANDER = "threads_wander"
    CPU_QUOTA = "cpu_quota"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know of a result, as a code and values: `modeltest.findings` has the words.

    Decide on the code and the values, never on a sentence. A code that is not in `FindingCode`, of a plug-in
    or a later version, is shown by its values.
    """

    code: str
    values: Mapping[str, FindingValue] = field(default_factory=dict)


FindingValue = str | int | float | Finding | tuple[str, ...] | tuple[int, ...] | tuple[Finding, ...] | None
"""`None`: there is none, and the part of the sentence that has it is left out."""
