"""The loss of packed rows."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pipeline.finetune.loss import PairLoss
from pipeline.model.chat_template import Encoded
from pipeline.model.packed_attention import (
    CANNOT_PACK,
    DO_NOT_PACK,
    PACKING,
    cannot_pack_error,
    make_layout,
    pack_rows,
    use_packed_attention,
)


class PackedLoss(PairLoss):
    """The loss of a batch whose rows are one sequence.

    Every token of the rows, and of their shared prefix once, goes through the model; no padding does, and the output
    layer runs only on the places that predict a supervised token. Loss and gradients equal the plain computation's.

    Args:
        model: A causal language model of transformers, with or without an adapter, all of whose layers mix tokens
            through transformers' attention interface and no other way. It stays set to packed attention.
        prefix: Token ids that every row begins with; may be empty.
        more: What `PairLoss` takes.
    """

    error_param, error_message, error_remedy = PACKING, CANNOT_PACK, DO_NOT_PACK

    def __init__(self, model: Any, prefix: Sequence[int], **more: Any) -> None:
        super().__init__(model, prefix, **more)
        use_packed_attention(model)

    def make_batch(self, rows: Sequence[Encoded]) -> dict[str, Tensor]:
        """Make a batch of rows, as `forward` takes it."""
        return pack_rows(rows, self.prefix[0].tolist(), every_logit=self.every_logit)

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        lengths: Tensor,
        predicts: Tensor,
        labels: Tensor,
        num_items_in_batch: Tensor | int | None = None,
    ) -> dict[str, Tensor]:
        """Compute the cross-entropy of the supervised tokens, as `PairLoss` does, of what `pack_rows` returns.

        Raises:
            UserError: If tokens of the model saw each other past its attention.
        """
        layout = make_layout(lengths, self.prefix.shape[1], self.model.dtype)
        output = self.model(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=layout.mask,  # of a shape that models take for complete and hand on as it is
            use_cache=False,
            logits_to_keep=predicts,
            layout=layout,
        )
        layers = self.config.get_text_config().num_hidden_layers
        if layout.attention_calls != layers:
            raise cannot_pack_error(
                f"{layout.attention_calls} of its {layers} layers use transformers' attention interface"
            )
        return {"loss": self.cross_entropy(output.logits[0], labels[1:], num_items_in_batch)}
