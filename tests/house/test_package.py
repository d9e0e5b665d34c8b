"""What `pip install .` puts on a machine: every module, recipe and bundle file, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOMS = ("app", "exports", "core", "quant")


@pytest.fixture(scope="module")
def wheel(repository: Path, files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of a copy of the repository, built without network by the installed backend."""
    checkout = tmp_path_factory.mktemp("checkout")
    for file in files:
        if file.parts[0] in ROOMS or len(file.parts) == 1:
            (checkout / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository / file, checkout / file)
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*pip_wheel, "--quiet", "--wheel-dir", "dist", "."], cwd=checkout, check=True)
    [built] = (checkout / "dist").iterdir()
    assert built.name == "ilora-0.1.0-py3-none-any.whl"
    return zipfile.ZipFile(built)


def test_every_module_recipe_and_bundle_file_is_in_the_wheel(
    wheel: zipfile.ZipFile, files: list[Path]
) -> None:
    wanted = {
        file.as_posix()
        for file in files
        if file.parts[0] in ROOMS
        and (
            file.suffix == ".py"
            or file.is_relative_to("exports/bundles")
            or file.is_relative_to("core/recipes")
            or file.is_relative_to("app/web")
        )
    }
    assert wanted - set(wheel.namelist()) == set()


def test_nothing_but_the_rooms_is_installed(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {*ROOMS, "ilora-0.1.0.dist-info"}


def test_the_wheel_carries_pins_command_and_licence(
    wheel: zipfile.ZipFile, requirements: dict[str, str]
) -> None:
    def read(name: str) -> str:
        return wheel.read(f"ilora-0.1.0.dist-info/{name}").decode()

    for name, version in requirements.items():
        assert f"Requires-Dist: {name}=={version}\n" in read("METADATA")
    assert "ilora = app.cli.main:main" in read("entry_points.txt")
    assert "Apache License" in read("licenses/LICENSE")
