"""The one place where PEFT learns that the method ``ILORA`` exists.

PEFT dispatches on its `PeftType` enum and `register_peft_method` refuses names outside it, so a method that
lives outside the peft package first adds its member. Importing `core.ilora` does this; it must happen before
`PeftModel.from_pretrained` reads a folder whose config says ``"peft_type": "ILORA"``.
"""

from peft import PeftConfig, PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import register_peft_method

METHOD = "ilora"

PREFIX = "experts_"
"""Marks our parameters. Not "ilora_": PEFT warns about adapters whose name is part of the prefix, and the
product's adapters are called "lora" and "ilora"."""


def _member(name: str) -> PeftType:
    """The member of `PeftType` called `name`, added when it is new; it behaves like any other."""
    if name in PeftType.__members__:
        return PeftType[name]
    member = str.__new__(PeftType, name)
    member._name_ = member._value_ = name
    member.__objclass__ = PeftType
    PeftType._member_map_[name] = member
    PeftType._member_names_.append(name)
    PeftType._value2member_map_[name] = member
    type.__setattr__(PeftType, name, member)
    return member


ILORA: PeftType = _member(METHOD.upper())


def register(config_cls: type[PeftConfig], model_cls: type[BaseTuner]) -> None:
    """Tell PEFT which config and tuner belong to `ILORA`. Calling it again changes nothing."""
    if ILORA not in PEFT_TYPE_TO_CONFIG_MAPPING:
        register_peft_method(name=METHOD, config_cls=config_cls, model_cls=model_cls, prefix=PREFIX)
