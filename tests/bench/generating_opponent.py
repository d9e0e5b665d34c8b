"""Row 3: the papers' way by stock code: twenty titles listed in the prompt, HF's greedy `generate`."""

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from core.packing import pack_prompts
from tests.bench.people import People

PUBLISHED_TOKENS = 64


def prompts(people: People) -> tuple[Tensor, Tensor]:
    """Token ids and mask, [U, S], padded on the left as `generate` wants them; titles alone."""
    count = len(people.histories)
    packed = pack_prompts(people.wording, people.histories, people.candidates.tolist(), [False] * count)
    lengths = packed.prefix_end + 1
    size = packed.words.shape[1]
    source = torch.arange(size) - (size - lengths).unsqueeze(1)  # (U, S), < 0 = padding
    return packed.words.gather(1, source.clamp_min(0)), (source >= 0).long()


def longest_answer(people: People) -> int:
    """Tokens of these people's longest answer and its newline: what an obedient model would decode."""
    return 1 + max(len(people.wording.titles[target]) for target in people.targets)


@torch.inference_mode()
def generate(model: PreTrainedModel, words: Tensor, mask: Tensor, tokens: int) -> Tensor:
    """Exactly `tokens` greedy tokens: an untrained model would not stop where a trained one does."""
    # A publisher's own settings (penalties, forced tokens) would fill in what is not said here.
    model.generation_config = GenerationConfig()
    greedy = GenerationConfig(do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=0)
    answers: Tensor = model.generate(input_ids=words, attention_mask=mask, generation_config=greedy)
    assert answers.shape[1] == words.shape[1] + tokens
    return answers
