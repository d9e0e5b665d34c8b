"""The tokenizer that comes out of the GGUF is the one the model was trained with."""

import pytest

from quant.backbone import Backbone

TEXTS = [
    "Toy Story (1995)",
    "It's 12 Monkeys (1995), isn't it?",
    "  two  spaces\tand\na tab ",
    "Amélie, Ünïcödé, 七人の侍, Ἀχιλλεύς 🎬",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_decoding_gives_the_text_back(bf16: Backbone, text: str) -> None:
    assert bf16.tokenizer.decode(bf16.tokenizer(text).input_ids) == text


def test_no_token_is_added_on_its_own(bf16: Backbone) -> None:
    ids = bf16.tokenizer("Toy Story").input_ids
    assert bf16.tokenizer.convert_ids_to_tokens(ids) == ["T", "oy", "ĠStory"]


def test_special_tokens(bf16: Backbone) -> None:
    tokenizer = bf16.tokenizer
    (a,), (b,) = tokenizer("a").input_ids, tokenizer("b").input_ids
    named = {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}
    assert (tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert tokenizer.pad_token_id == 2
    for text, token in named.items():
        assert tokenizer(f"a{text}b").input_ids == [a, token, b]
    assert tokenizer.decode(tokenizer("a<|im_end|>").input_ids, skip_special_tokens=True) == "a"
    assert len(tokenizer) == bf16.model.config.vocab_size


def test_digits_are_split_before_spaces_are_joined(bf16: Backbone) -> None:
    """As SmolLM was trained: digits first, so both spaces before one stay together."""
    tokenizer = bf16.tokenizer
    assert tokenizer.convert_ids_to_tokens(tokenizer("a  1999").input_ids) == ["a", "ĠĠ", "1", "9", "9", "9"]


def test_same_tokenizer_in_every_precision(nf4: Backbone, bf16: Backbone, paragraph: str) -> None:
    assert nf4.tokenizer.backend_tokenizer.to_str() == bf16.tokenizer.backend_tokenizer.to_str()
    assert nf4.tokenizer(paragraph).input_ids == bf16.tokenizer(paragraph).input_ids
