import threading

from asking import ask_raw, events
from running_servers import timed_server


def test_tokens_are_sent_at_their_times_and_written_down(tmp_path):
    options = ("--first-ms", "20", "--gap-ms", "5")
    with timed_server(tmp_path, *options) as server:
        body = {
            "model": "made",
            "max_tokens": 8,
            "stream": True,
            "ignore_eos": True,
            "return_token_ids": True,
        }
        answers = {}

        def ask_one(row):
            answers[row] = ask_raw(server.port, "/v1/completions", {**body, "prompt": [row, 7, 8]})[1]

        threads = [threading.Thread(target=ask_one, args=(row,)) for row in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = server.lines()
    assert len(lines) == 3
    for line in lines:
        before = [sent[0] for sent in line["sent"]]
        after = [sent[1] for sent in line["sent"]]
        assert len(before) == 8
        assert all(begin <= end for begin, end in zip(before, after, strict=True))
        due = [line["received_ns"] + 20_000_000 + place * 5_000_000 for place in range(8)]
        assert all(at >= earliest for at, earliest in zip(before, due, strict=True))
    for row, data in answers.items():
        chunks = [event for event in events(data)[:-1] if event["choices"]]
        assert chunks[0]["choices"][0]["prompt_token_ids"] == [row, 7, 8]
        assert [len(chunk["choices"][0]["token_ids"]) for chunk in chunks] == [1] * 8
