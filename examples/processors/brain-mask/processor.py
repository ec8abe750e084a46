"""Brain mask of a mean functional image: bright, connected, without holes."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import binary_fill_holes, binary_opening, generate_binary_structure, label

SERIES = 4  # dimensions of an image that has a time axis

log = partial(print, flush=True)


class InputError(Exception):
    """The input is not what this processor reads."""


def find_image(root: Path, pattern: str) -> Path:
    """Return the first file below `root` whose name matches."""
    paths = [*sorted(root.glob(pattern)), *sorted(root.glob(f"*/{pattern}"))]
    if not paths:
        raise InputError(f"no NIfTI image named {pattern} in {root}: brain-mask reads a mean image, as realign writes")
    return paths[0]


def largest_part(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected part of a mask."""
    parts, count = label(mask)
    if count == 0:
        raise InputError("no voxel is brighter than the threshold: lower it")
    return parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])


def brain_mask(volume: np.ndarray, threshold: float, opening: int) -> np.ndarray:
    """Return the voxels brighter than `threshold` times the 98th percentile, opened, in one piece, slices filled."""
    mask = volume > threshold * np.percentile(volume, 98)
    in_plane = generate_binary_structure(2, 1)[:, :, np.newaxis]  # slices are few and thick
    if opening:
        padded = np.pad(mask, ((opening, opening), (opening, opening), (0, 0)), mode="edge")
        mask = binary_opening(padded, in_plane, iterations=opening)[opening:-opening, opening:-opening]
    return binary_fill_holes(largest_part(mask), in_plane)


def section(mask: np.ndarray, volume_ml: float) -> dict[str, Any]:
    """Return what a report shows of the mask."""
    return {
        "title": "Brain mask",
        "order": 30,
        "text": "Outline of the mask on the mean of the realigned series.",
        "facts": [["voxels", int(mask.sum())], ["volume", f"{volume_ml:.0f} ml"],
                  ["of the field of view", f"{100 * mask.mean():.1f} %"]],
        "images": [{"name": "mask", "caption": "Mean functional image and mask", "underlay": "mean.nii",
                    "outline": "mask.nii"}],
    }  # fmt: skip


def process(input_dir: Path, output_dir: Path, params: dict[str, Any]) -> None:
    """Write the mask of the image that `params` name."""
    path = find_image(input_dir, params["image"])
    image = nib.load(path)
    volume = image.get_fdata(dtype=np.float64)
    volume = volume.mean(axis=3) if volume.ndim == SERIES else volume
    mask = brain_mask(volume, float(params["threshold"]), int(params["opening"]))
    volume_ml = mask.sum() * np.prod(nib.affines.voxel_sizes(image.affine)) / 1000
    log(f"{path.name}: {mask.sum()} of {mask.size} voxels ({100 * mask.mean():.1f} %), {volume_ml:.0f} ml")
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), image.affine), output_dir / "mask.nii")
    (output_dir / "section.json").write_text(json.dumps(section(mask, volume_ml), indent=1))


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Serve one Lambda invocation."""
    process(Path(event["inputDir"]), Path(event["outputDir"]), event["params"])
    return {"outputDir": event["outputDir"]}


if __name__ == "__main__":
    try:
        parameters = json.loads(Path(os.environ["PARAMETERS_FILE"]).read_text())
        process(Path(os.environ["INPUT_DIR"]), Path(os.environ["OUTPUT_DIR"]), parameters)
    except (InputError, nib.filebasedimages.ImageFileError) as error:
        log(f"error: {error}", file=sys.stderr)
        sys.exit(2)
