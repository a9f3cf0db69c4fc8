"""The chat template, special tokens and system message of the tiny model."""

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)

SPECIAL = ["<|pad|>", "<|im_start|>", "<|im_end|>"]

SYSTEM = "Name the colour."
