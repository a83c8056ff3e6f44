"""Which attention the batched engine computes, told from a model's configuration alone."""

from transformers import PreTrainedConfig

KNOWN = "It knows the Llama, Qwen 2 and Gemma 3 families; use the vllm engine for this verbalizer."


def unknown_attention(config: PreTrainedConfig, *, tokens: int) -> str | None:
    """Why the engine would compute attention wrongly; None where it would not.

    Args:
        config: of the text part.
        tokens: of prompt and explanation together.
    """
    if getattr(config, "attn_logit_softcapping", None) is not None:
        return f"{config.model_type} caps its attention scores; the engine does not. {KNOWN}"
    window = getattr(config, "sliding_window", None)
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()) and window is not None and window < tokens:
        return (
            f"The model's sliding window holds {window} tokens, prompt and explanation need {tokens}: lower "
            f"`max_new_tokens` by at least {tokens - window}."
        )
    return None
