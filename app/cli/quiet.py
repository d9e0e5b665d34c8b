"""Silence, for people at a terminal, what libraries print that nobody can act on.

Only harmless, known lines are hidden, and `ILORA_DEBUG=1` shows them all again. Nothing here imports a
library: everything is arranged before the first of them is loaded.
"""

import logging
import os
import warnings

DEBUG_VARIABLE = "ILORA_DEBUG"

_ENVIRONMENT = {
    # Loading bars of single weights and advice to model authors would drown our own lines.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    # The tokenizer's threads warn when a data loader forks; batches here are far too small to need them.
    "TOKENIZERS_PARALLELISM": "false",
    # An on-prem product reports to nobody.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
}


def debugging() -> bool:
    """Whether the person asked for tracebacks and every library's output."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def quiet_libraries() -> None:
    """Apply the silence. A variable that the person has set keeps the person's value."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if debugging():
        return
    # bitsandbytes logs a missing *optional* package as a failure; its built-in CPU kernels are used instead.
    logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(_not_about_optional_kernels)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)


def _not_about_optional_kernels(record: logging.LogRecord) -> bool:
    return "kernels" not in record.getMessage()
