"""The requests that one rank and two must answer alike."""

from modeltest.api import ModelInfo, Request, RunSpec, TextPrompt, TokenPrompt

SHARED = "The sea is salt and deep and wide. " * 6


def spec_of(weights: object) -> RunSpec:
    return RunSpec(
        engine="hf_fp32",
        mode="test",
        task="test",
        model="m",
        weights=str(weights),
        dtype="float32",
    )


def info_of(weights: object) -> ModelInfo:
    family = str(weights).rsplit("/", maxsplit=1)[-1]
    return ModelInfo("m", "m", str(weights), family, "float32", None, 8192, 128, 1, None)


def requests_of(kind: str) -> list[Request]:
    prompts = [
        TextPrompt("", (), f"{SHARED * (i % 2)}Question {i}: is it {i * 7}?\nAnswer:") for i in range(10)
    ]
    if kind == "one token":
        return [Request(f"o{i}", prompt, choices=(" A", " B", " C")) for i, prompt in enumerate(prompts)]
    if kind == "several tokens":
        return [Request(f"s{i}", prompt, choices=(" yes indeed", " no")) for i, prompt in enumerate(prompts)]
    if kind == "each token":
        return [
            Request(
                f"e{i}",
                TokenPrompt(tuple(60 + (place * i) % 31 for place in range(4 + i))),
                choices=(tuple(60 + (place * place + i) % 31 for place in range(12)),),
                each_token=True,
            )
            for i in range(10)
        ]
    if kind == "generation":
        return [Request(f"g{i}", prompt, max_new_tokens=6) for i, prompt in enumerate(prompts)]
    return [
        Request(f"t{i}", TokenPrompt(tuple(range(60 + i, 76 + i))), max_new_tokens=5, ignore_eos=True)
        for i in range(4)
    ]


KINDS = ("one token", "several tokens", "each token", "generation", "timed")
