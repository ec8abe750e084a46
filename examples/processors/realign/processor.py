"""Rigid-body realignment of a functional MRI series: how the head moved, and the series as if it had not."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

AXES = ("x", "y", "z", "pitch", "roll", "yaw", "displacement")
HEADER = "x_mm\ty_mm\tz_mm\tpitch_deg\troll_deg\tyaw_deg\tdisplacement_mm"
HEAD_RADIUS = 50.0  # mm; makes a rotation a displacement (Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018)
SERIES = 4  # dimensions of an image that has a time axis
SETTLED = 1e-5  # mm or radians, below which another iteration changes nothing
FWHM = 2.3548  # of a Gaussian, in standard deviations

log = partial(print, flush=True)


class InputError(Exception):
    """The input is not what this processor reads."""


def find_series(root: Path, pattern: str) -> Path:
    """Return the first four-dimensional NIfTI image below `root` whose name matches."""
    for path in [*sorted(root.glob(pattern)), *sorted(root.glob(f"*/{pattern}"))]:
        if nib.load(path).ndim == SERIES:
            return path
    raise InputError(f"no four-dimensional NIfTI image named {pattern} in {root}: realign reads a functional series")


def rigid(motion: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return the 4x4 world matrix of a motion: three shifts in mm, then three angles in radians about `centre`."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(motion[3:]), np.sin(motion[3:])
    turn_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    turn_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    turn_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn_x @ turn_y @ turn_z
    matrix[:3, 3] = centre + motion[:3] - matrix[:3, :3] @ centre
    return matrix


class Aligner:
    """Gauss-Newton least squares of six rigid parameters and a gain, against one reference volume."""

    def __init__(self, reference: np.ndarray, affine: np.ndarray, smoothing: float) -> None:
        """Prepare the reference's derivatives; `smoothing` is the FWHM of a Gaussian in mm."""
        self.affine, self.inverse = affine, np.linalg.inv(affine)
        self.centre = (affine @ [*(np.array(reference.shape) - 1) / 2, 1])[:3]
        self.sigma = smoothing / FWHM / nib.affines.voxel_sizes(affine)
        self.reference = gaussian_filter(reference, self.sigma, mode="nearest")
        self.inside = np.zeros(reference.shape, dtype=bool)  # what lies at the edge moves out of sight
        self.inside[2:-2, 2:-2] = True
        steps = np.diag([0.2] * 3 + [0.005] * 3)
        slopes = [(self.move(self.reference, s) - self.move(self.reference, -s)) / (2 * s.max()) for s in steps]
        self.solution = np.linalg.pinv(np.stack([*slopes, self.reference], axis=-1)[self.inside])

    def move(self, volume: np.ndarray, motion: np.ndarray) -> np.ndarray:
        """Return the volume with `motion` undone, by cubic splines."""
        matrix = self.inverse @ rigid(motion, self.centre) @ self.affine
        return affine_transform(volume, matrix, order=3, mode="nearest")

    def estimate(self, volume: np.ndarray, iterations: int) -> np.ndarray:
        """Return the motion of `volume` since the reference: mm and radians."""
        smooth, motion = gaussian_filter(volume, self.sigma, mode="nearest"), np.zeros(6)
        for _ in range(iterations):
            step = (self.solution @ (self.move(smooth, motion) - self.reference)[self.inside])[:6]
            motion -= step
            if np.abs(step).max() < SETTLED:
                break
        return motion


def section(motion: np.ndarray) -> dict[str, Any]:
    """Return what a report shows of the motion."""
    plots = [("Translation", "mm", AXES[:3]), ("Rotation", "°", AXES[3:6]), ("Framewise displacement", "mm", AXES[6:])]
    columns = dict(zip(AXES, motion.T.tolist(), strict=True))
    shared = {"xLabel": "volume", "x": list(range(1, len(motion) + 1))}
    return {
        "title": "Head motion", "order": 20, "wide": True,
        "text": "Six rigid-body parameters of each volume against the first, by least squares.",
        "facts": [["volumes", len(motion)], ["mean displacement", f"{motion[:, 6].mean():.2f} mm"],
                  ["largest displacement", f"{motion[:, 6].max():.2f} mm"]],
        "charts": [{"title": title, "unit": unit, **shared, "series": {axis: columns[axis] for axis in axes}}
                   for title, unit, axes in plots],
    }  # fmt: skip


def process(input_dir: Path, output_dir: Path, params: dict[str, Any]) -> None:
    """Write the realigned series, its mean and its motion."""
    path = find_series(input_dir, params["series"])
    image = nib.load(path)
    series = image.get_fdata(dtype=np.float64)
    log(f"{path.name}: {series.shape[3]} volumes of {' x '.join(map(str, series.shape[:3]))} voxels")
    aligner = Aligner(series[..., 0], image.affine, float(params["smoothing"]))
    motion = np.array([aligner.estimate(volume, int(params["iterations"])) for volume in np.moveaxis(series, 3, 0)])
    realigned = np.stack([aligner.move(series[..., i], m) for i, m in enumerate(motion)], axis=-1)
    moved = np.abs(np.diff(motion, axis=0, prepend=motion[:1])) @ ([1.0] * 3 + [HEAD_RADIUS] * 3)
    log(f"framewise displacement: mean {moved.mean():.3f} mm, largest {moved.max():.3f} mm")

    for name, data in {"realigned.nii": realigned, "mean.nii": realigned.mean(axis=3)}.items():
        nib.save(nib.Nifti1Image(data.astype(np.float32), image.affine), output_dir / name)
    table = np.column_stack([motion[:, :3], np.degrees(motion[:, 3:]), moved]).round(4) + 0.0  # no -0.0
    np.savetxt(output_dir / "motion.tsv", table, fmt="%.4f", delimiter="\t", header=HEADER, comments="")
    (output_dir / "section.json").write_text(json.dumps(section(table), indent=1))


if __name__ == "__main__":
    try:
        parameters = json.loads(Path(os.environ["PARAMETERS_FILE"]).read_text())
        process(Path(os.environ["INPUT_DIR"]), Path(os.environ["OUTPUT_DIR"]), parameters)
    except (InputError, nib.filebasedimages.ImageFileError) as error:
        log(f"error: {error}", file=sys.stderr)
        sys.exit(2)
