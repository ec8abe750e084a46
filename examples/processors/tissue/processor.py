"""Tissue classes of a brain's T1-weighted image, by its intensities."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import binary_fill_holes, gaussian_filter1d, median_filter

CLASSES = ("cerebrospinal fluid", "grey matter", "white matter")  # from dark to bright in a T1-weighted image

VOLUME = 3  # dimensions of an image without a time axis

log = partial(print, flush=True)


class InputError(Exception):
    """The input is not what this processor reads."""


def find_anatomy(root: Path, pattern: str) -> Path:
    """Return the first three-dimensional NIfTI image below `root` whose name matches."""
    for path in [*sorted(root.glob(pattern)), *sorted(root.glob(f"*/{pattern}"))]:
        if nib.load(path).ndim == VOLUME:
            return path
    raise InputError(f"no three-dimensional NIfTI image named {pattern} in {root}: tissue reads an anatomical image")


def white_peak(values: np.ndarray) -> float:
    """Return the most frequent intensity of white matter: the highest peak of the histogram's upper half."""
    upper = values[(values >= np.median(values)) & (values <= np.percentile(values, 99.9))]
    counts, edges = np.histogram(upper, bins=128)
    best = np.argmax(gaussian_filter1d(counts.astype(float), 4, mode="nearest"))
    return float((edges[best] + edges[best + 1]) / 2)


def section(rows: list[list[Any]]) -> dict[str, Any]:
    """Return what a report shows of the classes."""
    return {
        "title": "Tissue classes", "order": 40,
        "text": "By intensity, in proportion to the peak of white matter.",
        "images": [{"name": "tissue", "caption": "Anatomical image and tissue classes", "underlay": "anatomy.nii",
                    "labels": "tissue.nii", "names": list(CLASSES)}],
        "table": {"head": ["tissue", "volume (ml)", "share (%)"], "rows": rows},
    }  # fmt: skip


def process(input_dir: Path, output_dir: Path, params: dict[str, Any]) -> None:
    """Write the classes (1 to 3, 0 outside) and the image they were found in."""
    path = find_anatomy(input_dir, params["anatomy"])
    image = nib.load(path)
    volume = np.clip(image.get_fdata(dtype=np.float64), 0, None)
    inside = binary_fill_holes(volume > 0)  # splines undershoot in the ventricles
    if not inside.any():
        raise InputError(f"{path.name} has no voxel above zero")
    smooth = median_filter(volume, size=int(params["median"]))
    peak = white_peak(smooth[inside])
    log(f"{path.name}: white matter peaks at {peak:.0f}")
    cuts = [float(params["greyFrom"]) * peak, float(params["whiteFrom"]) * peak]
    classes = np.where(inside, 1 + np.digitize(smooth, cuts), 0).astype(np.uint8)

    voxel_ml = np.prod(nib.affines.voxel_sizes(image.affine)) / 1000
    counts = [int((classes == number).sum()) for number in range(1, len(CLASSES) + 1)]
    rows = [[name, round(count * voxel_ml, 1), round(100 * count / inside.sum(), 1)]
            for name, count in zip(CLASSES, counts, strict=True)]  # fmt: skip
    for name, volume_ml, share in rows:
        log(f"{name}: {volume_ml} ml, {share} %")
    nib.save(nib.Nifti1Image(classes, image.affine), output_dir / "tissue.nii")
    nib.save(nib.Nifti1Image(volume.astype(np.float32), image.affine), output_dir / "anatomy.nii")
    (output_dir / "section.json").write_text(json.dumps(section(rows), indent=1))


if __name__ == "__main__":
    try:
        parameters = json.loads(Path(os.environ["PARAMETERS_FILE"]).read_text())
        process(Path(os.environ["INPUT_DIR"]), Path(os.environ["OUTPUT_DIR"]), parameters)
    except (InputError, nib.filebasedimages.ImageFileError) as error:
        log(f"error: {error}", file=sys.stderr)
        sys.exit(2)
