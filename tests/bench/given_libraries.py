"""Row 11's floor: a process that imports the libraries that were given, and ends."""

if __name__ == "__main__":
    import bitsandbytes  # noqa: F401
    import onnxruntime  # noqa: F401
    import peft  # noqa: F401
    import torch  # noqa: F401
    from transformers import AutoTokenizer, LlamaForCausalLM  # noqa: F401
