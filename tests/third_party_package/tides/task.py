"""The task of the dataset `tides`: questions with two to four options."""

from modeltest.tasks import MultipleChoice


class Tides(MultipleChoice):
    """Questions about the sea."""

    name = "tides"
    title = "Tides"
    dataset = "tides"
    word = "Tides"
