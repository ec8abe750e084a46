"""Temporal signal-to-noise ratio of a realigned functional series, in the brain and by tissue."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.polynomial import legendre
from scipy.ndimage import affine_transform, gaussian_filter

FWHM = 2.3548  # of a Gaussian, in standard deviations
HALF = 0.5  # of a voxel
TISSUES = {1: "cerebrospinal fluid", 2: "grey matter", 3: "white matter"}

log = partial(print, flush=True)


class InputError(Exception):
    """The input is not what this processor reads."""


def load(root: Path, name: str, writer: str) -> nib.Nifti1Image:
    """Return the image `name`, which a dependency has written below `root`."""
    paths = [*sorted(root.glob(name)), *sorted(root.glob(f"*/{name}"))]
    if not paths:
        raise InputError(f"no {name} in {root}: tsnr depends on a node that writes it, as {writer} does")
    return nib.load(paths[0])


def temporal_snr(series: np.ndarray, degree: int) -> np.ndarray:
    """Return mean over standard deviation along the last axis, slow drifts up to a polynomial `degree` removed."""
    count = series.shape[-1]
    if count < degree + 3:
        raise InputError(f"{count} volumes are too few for a detrending of degree {degree}: at least {degree + 3}")
    drift, _ = np.linalg.qr(legendre.legvander(np.linspace(-1, 1, count), degree))
    residual = series - (series @ drift) @ drift.T
    noise = np.sqrt((residual**2).sum(axis=-1) / (count - degree - 1))
    return np.divide(series.mean(axis=-1), noise, out=np.zeros(noise.shape), where=noise > 0)


def on_grid(tissue: nib.Nifti1Image, target: nib.Nifti1Image) -> np.ndarray:
    """Return for each target voxel the tissue that fills most of it, 0 where none fills half."""
    matrix = np.linalg.inv(tissue.affine) @ target.affine
    sigma = np.abs(nib.affines.voxel_sizes(target.affine) / nib.affines.voxel_sizes(tissue.affine)) / FWHM
    labels = np.asarray(tissue.dataobj)
    parts = (gaussian_filter((labels == number).astype(float), sigma) for number in TISSUES)
    shares = [affine_transform(part, matrix, output_shape=target.shape[:3], order=1, mode="nearest") for part in parts]
    return np.where(np.max(shares, axis=0) >= HALF, 1 + np.argmax(shares, axis=0), 0)


def summary(name: str, values: np.ndarray) -> list[Any]:
    """Return a table's row: voxels, quartiles."""
    quartiles = np.percentile(values, (25, 50, 75)).round(1).tolist() if values.size else [""] * 3
    return [name, int(values.size), *quartiles]


def section(tsnr: np.ndarray, mask: np.ndarray, rows: list[list[Any]]) -> dict[str, Any]:
    """Return what a report shows of the ratio."""
    top = float(np.ceil(np.percentile(tsnr[mask], 99) / 10) * 10)
    counts, edges = np.histogram(tsnr[mask], bins=30, range=(0, top))
    middles = ((edges[1:] + edges[:-1]) / 2).round(2).tolist()
    histogram = {"title": "Voxels by signal-to-noise", "unit": "voxels", "xLabel": "tSNR", "kind": "bars",
                 "x": middles, "series": {"voxels": counts.tolist()}}  # fmt: skip
    return {
        "title": "Temporal signal-to-noise", "order": 10,
        "text": "Mean over standard deviation in time of each voxel, after realignment and detrending.",
        "facts": [["median", rows[0][3]], ["voxels", rows[0][1]]],
        "images": [{"name": "tsnr", "caption": "tSNR on the anatomical image", "underlay": "anatomy.nii",
                    "overlay": "tsnr.nii", "range": [0, top], "outline": "mask.nii"},
                   {"name": "anatomy", "caption": "The same slices of the anatomical image", "underlay": "anatomy.nii",
                    "slicesOf": "tsnr.nii"}],
        "table": {"head": ["tissue", "voxels", "25 %", "median", "75 %"], "rows": rows},
        "charts": [histogram],
    }  # fmt: skip


def process(input_dir: Path, output_dir: Path, params: dict[str, Any]) -> None:
    """Write the ratio's map, and its quartiles by tissue."""
    image = load(input_dir, "realigned.nii", "realign")
    mask = np.asarray(load(input_dir, "mask.nii", "brain-mask").dataobj) > 0
    classes = on_grid(load(input_dir, "tissue.nii", "tissue"), image)
    if mask.shape != image.shape[:3]:
        raise InputError(f"mask.nii has the shape {mask.shape}, realigned.nii {image.shape[:3]}: they must be the same")
    tsnr = temporal_snr(image.get_fdata(dtype=np.float64), int(params["detrend"])) * mask
    rows = [summary("brain", tsnr[mask])]
    rows += [summary(name, tsnr[mask & (classes == number)]) for number, name in TISSUES.items()]
    for row in rows:
        log(f"tSNR, {row[0]}: median {row[3]} in {row[1]} voxels")
    nib.save(nib.Nifti1Image(tsnr.astype(np.float32), image.affine), output_dir / "tsnr.nii")
    lines = ["tissue\tvoxels\tq25\tmedian\tq75", *("\t".join(map(str, row)) for row in rows)]
    (output_dir / "tsnr.tsv").write_text("\n".join(lines) + "\n")
    (output_dir / "section.json").write_text(json.dumps(section(tsnr, mask, rows), indent=1))


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
