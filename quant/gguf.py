"""Read a GGUF file as a plain bfloat16 model with its tokenizer.

Values are dequantized in float32 and rounded to bfloat16: a relative change of at most 2^-8, far below the
4-bit error the file was made with and that of the NF4 that follows. It halves the disk space and the reading.
"""

import io
from contextlib import redirect_stderr
from pathlib import Path
from struct import error as StructError

import torch
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.integrations.gguf import read_gguf_metadata

from quant.errors import BackboneError, first_line

_MAGIC = b"GGUF"


def check_is_gguf(path: Path) -> None:
    """Raises BackboneError unless the file begins as a GGUF file does."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise BackboneError(
                f"{path} is not a GGUF file (it does not begin with GGUF);"
                " for safetensors give the folder that holds them."
            )


def read_gguf(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model (bf16, on the CPU, no trace of GGUF in its config) and tokenizer of a GGUF file.

    Raises:
        BackboneError: the file is damaged or of an architecture that transformers cannot read.
    """
    folder, asked = path.parent, {"gguf_file": path.name, "local_files_only": True}
    try:
        metadata, _ = read_gguf_metadata(str(path))  # quick: a damaged header is told before the slow part
        # Each of these parses the whole header once (seconds): the config is passed on to save a parse, and
        # AutoTokenizer is not used because it would parse once more only to learn the tokenizer's class.
        with redirect_stderr(io.StringIO()):  # the library draws a bar of its own; callers have `progress`
            config = AutoConfig.from_pretrained(folder, **asked)
            model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32, **asked)
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, **asked)
    except (ValueError, LookupError, OSError, RuntimeError, TypeError, AttributeError, StructError) as error:
        # What parsers raise on damaged bytes: they check next to nothing themselves.
        raise BackboneError(f"{path} cannot be read as a GGUF language model: {first_line(error)}") from error
    if metadata.get("tokenizer.ggml.pre") == "smollm":
        # transformers does not know this name and would not split digits off first, so that spaces before
        # a number are cut differently from what the model was trained on.
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
        )
    return _plain(model), tokenizer


def _plain(read: PreTrainedModel) -> PreTrainedModel:
    config: PretrainedConfig = read.config
    del config.quantization_config  # else transformers refuses to save, and to quantize again
    state = {name: tensor.to(torch.bfloat16) for name, tensor in read.state_dict().items()}
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    return model
