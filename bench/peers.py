"""What the stages of the data are measured against, each in a process of its own: python -m bench.peers PEER ..."""

import os
import sys
from typing import Any

CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f�]"
MARKUP = r"<\|[^|<>\s]{1,40}\|>|</?s>|\[/?INST\]|<<?/?SYS>>|<(start|end)_of_turn>"
E_MAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
KEY = r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bA[KS]IA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,}|\bsk-[A-Za-z0-9_-]{20,}"


def load(pairs: str, cache: str) -> Any:
    """Read the pairs as `datasets` does, into its own Arrow files; once they are there, they are only opened."""
    from datasets import disable_progress_bars, load_dataset  # noqa: PLC0415 -- seconds, and each peer pays for its own

    disable_progress_bars()
    return load_dataset("json", data_files=pairs, split="train", cache_dir=cache)


def encode(pairs: str, cache: str, base: str, system: str) -> None:
    """Make the tokens that `tokenize` makes: in batches, on all cores, into Arrow files."""
    from transformers import AutoTokenizer  # noqa: PLC0415

    rows = load(pairs, cache)
    rows.map(
        tokens, batched=True, num_proc=os.cpu_count(), remove_columns=rows.column_names, load_from_cache_file=False,
        fn_kwargs={"tokenizer": AutoTokenizer.from_pretrained(base), "system": system},
    )  # fmt: skip


def tokens(rows: dict[str, list[str]], tokenizer: Any, system: str) -> dict[str, Any]:
    """Encode some rows through what transformers offers for several, with a ChatML template."""
    talks = [[{"role": "system", "content": system}, {"role": "user", "content": text}] for text in rows["prompt"]]
    asked = tokenizer.apply_chat_template(talks, tokenize=False, add_generation_prompt=True)
    said = [text + "<|im_end|>" for text in rows["completion"]]
    prompts, answers = (
        tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"] for texts in (asked, said)
    )
    return {
        "input_ids": [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)],
        "completion_start": [len(prompt) for prompt in prompts],
    }


def check(pairs: str) -> None:
    """Hold the texts themselves against Great Expectations, row by row: what expectations on text columns can say."""
    import great_expectations as gx  # noqa: PLC0415
    import great_expectations.expectations as gxe  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    frame = pd.read_json(pairs, lines=True, dtype=False)
    columns = ("prompt", "completion")
    expectations = [
        *(gxe.ExpectColumnValuesToNotBeNull(column=column) for column in columns),
        *(gxe.ExpectColumnValueLengthsToBeBetween(column=column, min_value=1, max_value=4000) for column in columns),
        *(
            gxe.ExpectColumnValuesToNotMatchRegex(column=column, regex=regex)
            for column in columns
            for regex in (CONTROLS, MARKUP, E_MAIL, KEY)
        ),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=list(columns)),
    ]
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    batches = context.data_sources.add_pandas("pairs").add_dataframe_asset("pairs")
    batch = batches.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    told = {"result_format": "COMPLETE", "unexpected_index_column_names": ["prompt"]}
    results = batch.validate(gx.ExpectationSuite(name="pairs", expectations=expectations), result_format=told).results
    raised = [result for result in results if result.exception_info.get("raised_exception")]
    if raised:
        sys.exit(f"error: {raised[0].exception_info}")


PEERS = {"load": load, "encode": encode, "check": check}

if __name__ == "__main__":
    PEERS[sys.argv[1]](*sys.argv[2:])
