"""The nano tokenizer: Gemma 4's ids, and text that comes back whole."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from tools.nano.tokenizer import build_tokenizer
from tools.nano.vocabulary import CONTROL_TOKEN_IDS, MEDIA_TOKENS

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


def test_control_tokens_have_the_ids_of_gemma_when_built(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    for token, token_id in CONTROL_TOKEN_IDS.items():
        assert tokenizer.convert_tokens_to_ids(token) == token_id


@pytest.mark.parametrize(
    "text",
    [
        "Repeat after me: apple river",
        "na\u00efve \u65e5\u672c \U0001f680!",
        "1 2 3\n{a:b}",
        "zqx  ?",
    ],
)
def test_text_comes_back_when_encoded(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_emoji_takes_four_tokens_when_encoded(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer.encode("\U0001f680", add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(ids) == ["<0xF0>", "<0x9F>", "<0x9A>", "<0x80>"]
    assert not set(ids) & set(tokenizer.all_special_ids)


def test_special_tokens_stay_whole_when_inside_text(tokenizer: PreTrainedTokenizerFast) -> None:
    for token in (*CONTROL_TOKEN_IDS, *MEDIA_TOKENS):
        assert len(tokenizer.encode(f"a{token}b", add_special_tokens=False)) == 3
