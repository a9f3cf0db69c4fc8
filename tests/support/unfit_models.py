"""Models whose rows influence one another when packed."""

from transformers import FalconH1Config, Lfm2Config, MistralConfig, MptConfig, PhimoeConfig

from tests.support.reference_loss import VOCABULARY

SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip

UNFIT = {
    "a convolution": Lfm2Config(**SMALL, layer_types=["conv", "full_attention"]),
    "a state beside attention": FalconH1Config(
        **SMALL, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_d_state=8, mamba_n_groups=1, mamba_d_conv=4
    ),
    "a window": MistralConfig(**SMALL, sliding_window=6),
    "a window in the mask alone": PhimoeConfig(**SMALL, sliding_window=6, num_local_experts=2),
    "attention of its own": MptConfig(vocab_size=VOCABULARY, d_model=32, n_layers=2, n_heads=4),
}
