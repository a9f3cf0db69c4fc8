"""Claims evaluate-short and evaluate-labels: rows answered per second, against transformers' generate in batches."""

import time
from collections.abc import Callable

import torch

from bench.banking77 import messages, rows, systems
from bench.claims import Claim, in_turn
from pipeline.generation.generate import GenerationConfig, answer_prompts, generate_with_transformers
from pipeline.generation.label_trie import LabelTrie
from pipeline.model.adapters import load_base, seed_everything
from pipeline.model.base_model import fetch_base_model
from pipeline.model.chat_template import PromptEncoder, load_tokenizer
from pipeline.params import Params

ROWS = 64


def claim(name: str, params: Params, rounds: int) -> Claim:
    """Measure one of the two claims; we are held to the labels, `generate` once with and once without."""
    base = fetch_base_model(params.model)
    seed_everything(params.model, 1)
    model = load_base(base.folder, params.model).eval()
    renderer = PromptEncoder(load_tokenizer(base.folder), systems()[name.removeprefix("evaluate-")])
    found = rows("test")
    labels = sorted({label for _, label in found})
    manner = GenerationConfig(labels, 1, params.evaluate.batch_size)
    trie, stop = LabelTrie([renderer.encode_completion(label) for label in labels]), renderer.end_of_turn_ids[-1]

    def prompts(turn: int) -> list[list[int]]:
        return [renderer.encode_prompt(messages(text)) for text, _ in found[turn * ROWS : (turn + 1) * ROWS]]

    def peer(held_to: LabelTrie | None) -> Callable[[int], float]:
        def run(turn: int) -> float:
            asked = prompts(turn)
            started = time.perf_counter()
            with torch.inference_mode():
                for start in range(0, ROWS, manner.batch_size):
                    generate_with_transformers(
                        model, asked[start : start + manner.batch_size], held_to, stop, trie.max_label_tokens
                    )
            return ROWS / (time.perf_counter() - started)

        return run

    def own(turn: int) -> float:
        asked = prompts(turn)
        started = time.perf_counter()
        answer_prompts(model, renderer, asked, manner)
        return ROWS / (time.perf_counter() - started)

    answer_prompts(model, renderer, prompts(0)[:4], manner)  # the first products of a process are slow
    peers = {"generate": peer(None), "generate, held to the labels": peer(trie)}
    measured = in_turn(name, "rows", own, peers, rounds)
    measured.write(torch=torch.__version__)
    return measured
