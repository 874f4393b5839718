import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.common import memory
from engines.common.device import peak_memory_bytes
from engines.common.memory import attempt, free_bytes, in_halves, memory_limit_bytes, out_of_memory_text

GIB = 1 << 30


def test_the_limit_on_the_cpu_is_what_the_process_has_and_what_is_free(monkeypatch):
    monkeypatch.setattr(memory, "resident_bytes", lambda: GIB)
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 4 * GIB)
    assert (free_bytes("cpu"), memory_limit_bytes("cpu")) == (4 * GIB, 5 * GIB)


@pytest.mark.parametrize("silent", ["resident_bytes", "free_memory_bytes"])
def test_a_system_that_does_not_tell_has_no_limit(monkeypatch, silent):
    monkeypatch.setattr(memory, silent, lambda: None)
    assert memory_limit_bytes("cpu") is None


def test_the_limit_of_this_machine_is_above_the_peak_of_this_process():
    limit, peak = memory_limit_bytes("cpu"), peak_memory_bytes("cpu")
    assert limit is not None
    assert peak is None or limit > 0.5 * peak


def test_what_fits_is_returned_and_there_is_nothing_to_say():
    released = []
    done = attempt(lambda: 7, device="cpu", what="2 rows", release=lambda: released.append(1))
    assert (done, released) == ((7, ""), [])


def test_what_does_not_fit_is_let_go_of_and_told_in_one_line():
    released = []

    def fail():
        raise MemoryError("no\nroom " + "x" * 1000)

    result, problem = attempt(fail, device="cpu", what="2 rows", release=lambda: released.append(1))
    assert result is None
    assert problem.startswith("out of memory with 2 rows: no room xxx")
    assert len(problem) == 400
    assert released == [1]


def test_any_other_error_is_raised():
    with pytest.raises(ValueError, match="wrong"):
        attempt(lambda: (_ for _ in ()).throw(ValueError("wrong")), device="cpu", what="a row")
    assert out_of_memory_text("a row", MemoryError("so")) == "out of memory with a row: so"


@given(count=st.integers(1, 40), room=st.integers(1, 40), bad=st.sets(st.integers(0, 39), max_size=3))
def test_every_item_comes_back_once_and_only_what_does_not_fit_alone_fails(count, room, bad):
    failures, asked = [], []

    def work(items):
        asked.append(list(items))
        fits = len(items) <= room and not bad & set(items)
        return (list(items), "") if fits else (None, f"{len(items)} do not fit")

    parts = list(in_halves(range(count), work, lambda: failures.append(1)))
    assert [item for part in parts for item in part.items] == list(range(count))
    assert {part.items[0] for part in parts if part.error} == {item for item in bad if item < count}
    assert all(part.error == "1 do not fit" for part in parts if part.error)
    assert all(part.result == list(part.items) for part in parts if not part.error)
    assert len(failures) == len(asked) - sum(not part.error for part in parts)
