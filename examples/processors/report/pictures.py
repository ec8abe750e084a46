"""Pictures of brain volumes: axial slices in world space, with an overlay, labels or an outline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion, map_coordinates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SLICE_WIDTH, GAP, MOST_SLICES = 240, 6, 4
ROLES = ("underlay", "overlay", "labels", "outline", "slicesOf")
SERIES = 4  # dimensions of an image that has a time axis
THIN = 3  # slices: too few for cubic splines
OUTLINE = (255, 196, 0)
LABELS = np.array([(0, 0, 0), (58, 134, 255), (255, 89, 94), (255, 214, 102)], dtype=float)
SCALE = np.array([(68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37)], float)


def gradient() -> str:
    """Return the overlay's colour scale as CSS colours."""
    return ", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in SCALE)


def edges(image: nib.Nifti1Image) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest world coordinates of an image's voxels, borders included, in mm."""
    high = np.array(image.shape[:3]) - 0.5
    corners = np.array(np.meshgrid(*[(-0.5, h) for h in high], indexing="ij")).reshape(3, -1).T
    world = nib.affines.apply_affine(image.affine, corners)
    return world.min(axis=0), world.max(axis=0)


def heights(image: nib.Nifti1Image) -> np.ndarray:
    """Return the world z of the slices to show, in mm."""
    count = image.shape[2]
    shown = np.linspace(0, count - 1, min(count, MOST_SLICES) + 2 * (count > MOST_SLICES)).round()
    shown = shown[1:-1] if count > MOST_SLICES else shown  # the outermost slices of a stack show little
    return np.array([nib.affines.apply_affine(image.affine, [0, 0, k])[2] for k in shown])


def sample(image: nib.Nifti1Image, points: np.ndarray, order: int) -> np.ndarray:
    """Return an image's values at world points."""
    data = image.get_fdata(dtype=np.float64)
    data = data.mean(axis=3) if data.ndim == SERIES else data
    voxels = nib.affines.apply_affine(np.linalg.inv(image.affine), points)
    return map_coordinates(data, np.moveaxis(voxels, -1, 0), order=order, mode="nearest")


def blend(picture: np.ndarray, colour: np.ndarray, where: np.ndarray, opacity: float) -> None:
    """Lay a colour over a picture, in place."""
    picture[where] = (1 - opacity) * picture[where] + opacity * colour[where]


def palette(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the colours of values between low and high."""
    place = np.clip((values - low) / (high - low), 0, 1) * (len(SCALE) - 1)
    return np.stack([np.interp(place, np.arange(len(SCALE)), SCALE[:, c]) for c in range(3)], axis=-1)


def draw(spec: dict[str, Any], find: Callable[[str], Path]) -> tuple[Image.Image, list[float]]:
    """Draw the slices of {underlay, overlay?, range?, labels?, outline?, slicesOf?}; return them, and their heights."""
    images = {role: nib.load(find(spec[role])) for role in ROLES if role in spec}
    coarsest = min(images.values(), key=lambda image: image.shape[2])
    low, high = edges(coarsest)
    step = (high[0] - low[0]) / SLICE_WIDTH
    xs, ys, zs = np.arange(low[0], high[0], step), np.arange(high[1], low[1], -step), heights(coarsest)
    points = np.stack(np.broadcast_arrays(xs[None, None, :], ys[None, :, None], zs[:, None, None]), axis=-1)

    grey = sample(images["underlay"], points, 3 if images["underlay"].shape[2] > THIN else 1)
    dark, bright = np.percentile(grey, (0.5, 99.5))
    picture = np.repeat((np.clip((grey - dark) / (bright - dark), 0, 1) * 255)[..., None], 3, axis=-1)
    inside = sample(images["outline"], points, 0) > 0 if "outline" in images else np.ones(grey.shape, bool)
    if "overlay" in images:
        blend(picture, palette(sample(images["overlay"], points, 0), *spec["range"]), inside, 0.62)
    if "labels" in images:
        classes = sample(images["labels"], points, 0).astype(int)
        blend(picture, LABELS[classes], classes > 0, 0.45)
    if "outline" in images and "overlay" not in images:
        for i, mask in enumerate(inside):
            picture[i][mask & ~binary_erosion(mask, iterations=2)] = OUTLINE
    gap = np.zeros((picture.shape[1], GAP, 3))
    tiles = [part for tile in picture for part in (tile, gap)][:-1]
    return Image.fromarray(np.hstack(tiles).round().astype(np.uint8)), [round(float(z), 1) for z in zs]
