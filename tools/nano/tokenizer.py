"""The nano tokenizer: whole task words, single letters, and bytes for everything else."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from tools.nano.vocabulary import CONTROL_TOKEN_IDS, MEDIA_TOKENS, SPACE, build_vocabulary

CHAT_TEMPLATE_PATH = Path(__file__).with_name("chat_template.jinja")


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer with its chat template.

    Byte tokens stay ordinary tokens: a special token is dropped from the text that vLLM streams.
    """
    vocabulary = build_vocabulary()
    unknown = CONTROL_TOKEN_IDS["<unk>"]
    backend = Tokenizer(
        models.Unigram(list(vocabulary.entries), unk_id=unknown, byte_fallback=True)
    )
    backend.normalizer = normalizers.Replace(" ", SPACE)
    backend.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    special = [*CONTROL_TOKEN_IDS, *MEDIA_TOKENS]
    backend.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in special]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        extra_special_tokens={
            "image_token": "<|image|>",
            "boi_token": "<|image>",
            "eoi_token": "<image|>",
            "audio_token": "<|audio|>",
            "boa_token": "<|audio>",
            "eoa_token": "<audio|>",
        },
        model_max_length=4096,
    )
    tokenizer.chat_template = CHAT_TEMPLATE_PATH.read_text(encoding="utf-8")
    return tokenizer
