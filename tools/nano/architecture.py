"""Shapes of the nano target and drafter, and the files that go beside their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import (
    Gemma4UnifiedAssistantConfig,
    Gemma4UnifiedConfig,
    PreTrainedTokenizerFast,
)
from transformers.models.gemma4_unified import (
    feature_extraction_gemma4_unified as audio_features,
)
from transformers.models.gemma4_unified import (
    image_processing_gemma4_unified as image_processing,
)
from transformers.models.gemma4_unified import processing_gemma4_unified as processing
from transformers.models.gemma4_unified import (
    video_processing_gemma4_unified as video_processing,
)

from tools.nano.vocabulary import CONTROL_TOKEN_IDS, MEDIA_TOKENS

SOFT_TOKENS_PER_IMAGE = 70
"""Gemma 4's smallest image budget: trained on it, and the default when served."""

HIDDEN_SIZE = 128
DRAFTER_HIDDEN_SIZE = 96
MAX_POSITIONS = 8192
SLIDING_WINDOW = 512
END_TOKENS = ("<eos>", "<turn|>", "<|tool_response>")
NEVER_GENERATED = ("<image|>", "<audio|>")


def _attention(vocab_size: int) -> dict[str, Any]:
    # The drafter reads the target's keys and values, so both share these.
    return {
        "vocab_size": vocab_size,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "global_head_dim": 64,
        "num_global_key_value_heads": 1,
        "attention_k_eq_v": True,
        "sliding_window": SLIDING_WINDOW,
        "max_position_embeddings": MAX_POSITIONS,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
        # vLLM's CPU attention is causal everywhere; saying so keeps every backend in agreement.
        "use_bidirectional_attention": None,
    }


def target_config(tokenizer: PreTrainedTokenizerFast) -> Gemma4UnifiedConfig:
    """Config of the target: five sliding layers and a full one, as Gemma 4 repeats eight times."""
    ids = {t: tokenizer.convert_tokens_to_ids(t) for t in (*CONTROL_TOKEN_IDS, *MEDIA_TOKENS)}
    vision = {
        "patch_size": 16,
        "pooling_kernel_size": 3,
        "mm_embed_dim": HIDDEN_SIZE,
        "mm_posemb_size": 128,
        "output_proj_dims": HIDDEN_SIZE,
        # vLLM counts placeholders with this field; transformers keeps unknown fields.
        "num_soft_tokens": SOFT_TOKENS_PER_IMAGE,
    }
    return Gemma4UnifiedConfig(
        text_config={
            **_attention(len(tokenizer)),
            "hidden_size": HIDDEN_SIZE,
            "intermediate_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "final_logit_softcapping": 30.0,
        },
        vision_config=vision,
        audio_config={"audio_embed_dim": 640},
        boi_token_id=ids["<|image>"],
        eoi_token_id=ids["<image|>"],
        image_token_id=ids["<|image|>"],
        video_token_id=ids["<|video|>"],
        boa_token_id=ids["<|audio>"],
        eoa_token_index=ids["<audio|>"],
        audio_token_id=ids["<|audio|>"],
        eos_token_id=[ids[token] for token in END_TOKENS],
    )


def drafter_config(tokenizer: PreTrainedTokenizerFast) -> Gemma4UnifiedAssistantConfig:
    """Config of the MTP drafter: three sliding layers and a full one, no keys of its own."""
    return Gemma4UnifiedAssistantConfig(
        text_config={
            **_attention(len(tokenizer)),
            "model_type": "gemma4_unified_text",
            "hidden_size": DRAFTER_HIDDEN_SIZE,
            "intermediate_size": 256,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
        },
        backbone_hidden_size=HIDDEN_SIZE,
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> processing.Gemma4UnifiedProcessor:
    """Processor whose image budget is the one that the checkpoint is trained on."""
    return processing.Gemma4UnifiedProcessor(
        feature_extractor=audio_features.Gemma4UnifiedAudioFeatureExtractor(),
        image_processor=image_processing.Gemma4UnifiedImageProcessor(
            max_soft_tokens=SOFT_TOKENS_PER_IMAGE
        ),
        tokenizer=tokenizer,
        video_processor=video_processing.Gemma4UnifiedVideoProcessor(),
        chat_template=tokenizer.chat_template,
        image_seq_length=SOFT_TOKENS_PER_IMAGE,
    )


def write_generation_config(folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write greedy defaults; transformers' own writer refuses a temperature without sampling."""
    ids = tokenizer.convert_tokens_to_ids
    content = {
        "bos_token_id": ids("<bos>"),
        "do_sample": False,
        "eos_token_id": [ids(token) for token in END_TOKENS],
        "pad_token_id": ids("<pad>"),
        "suppress_tokens": [ids(token) for token in NEVER_GENERATED],
        "temperature": 0.0,
    }
    path = folder / "generation_config.json"
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
