"""One module per task: what to ask of a model and how to judge it.

What a package imports that adds a task is here, and stays: `MultipleChoice` for questions with options,
`YesNo` for those answered yes or no, `QuestionTask` for those answered in words, and what they are made of.
"""

from modeltest.summary import summarize_accuracy
from modeltest.tasks.multiple_choice import ENGLISH, MultipleChoice, Wording, options_of
from modeltest.tasks.prompts import WorkedExample, lay_out
from modeltest.tasks.question_task import QuestionTask
from modeltest.tasks.yes_no import YesNo

__all__ = [
    "ENGLISH",
    "MultipleChoice",
    "QuestionTask",
    "Wording",
    "WorkedExample",
    "YesNo",
    "lay_out",
    "options_of",
    "summarize_accuracy",
]
