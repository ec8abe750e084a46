"""Active regions and coronal holes of the solar corona: where they are, and how much of the disc they cover."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion, gaussian_filter, label, zoom

FEWEST = 2  # images between which something can change
SCALE, GAP = 3, 6  # picture pixels to an image's pixel, and between the discs
ACTIVE, HOLE = (64, 224, 255), (255, 92, 160)
GOLD = np.array([(0, 0, 0), (96, 32, 0), (206, 106, 14), (255, 196, 74), (255, 255, 235)], dtype=float)

log = partial(print, flush=True)


class InputError(Exception):
    """The input is not what this processor reads."""


class Disc:
    """One image with the place of every pixel on the Sun."""

    def __init__(self, path: Path) -> None:
        """Read an image and what solar-map says of it."""
        self.about = json.loads(path.read_text())
        self.image = np.load(path.with_name("disc.npy")).astype(float)
        (column, row), radius = self.about["centre"], self.about["radius"]
        rows, columns = np.indices(self.image.shape)
        self.x, self.y = (columns - column) / radius, (rows - row) / radius
        self.inside = self.x**2 + self.y**2 < 0.92**2  # the limb is bright by itself
        self.contrast = gaussian_filter(self.image, 0.7) / np.median(self.image[self.inside])

    def position(self, mask: np.ndarray) -> tuple[float, float]:
        """Return the latitude and the longitude of a region's middle, in degrees."""
        x, y, tilt = self.x[mask].mean(), self.y[mask].mean(), np.radians(self.about["tilt"])
        z = np.sqrt(max(0.0, 1 - x**2 - y**2))
        latitude = np.arcsin(y * np.cos(tilt) + z * np.sin(tilt))
        return float(np.degrees(latitude)), float(np.degrees(np.arctan2(x, z * np.cos(tilt) - y * np.sin(tilt))))

    def parts(self, mask: np.ndarray, least: int) -> list[np.ndarray]:
        """Return the connected parts of a mask that have at least `least` pixels, the largest first."""
        numbers, count = label(mask & self.inside)
        parts = [numbers == number for number in range(1, count + 1)]
        return sorted((part for part in parts if part.sum() >= least), key=lambda part: -int(part.sum()))

    def share(self, parts: list[np.ndarray]) -> float:
        """Return how much of the disc these parts cover, in per cent."""
        return round(100 * sum(int(part.sum()) for part in parts) / int(self.inside.sum()), 2)


def draw(disc: Disc, active: list[np.ndarray], holes: list[np.ndarray]) -> np.ndarray:
    """Return the disc in gold with the outlines of the regions, north up."""
    light = zoom(np.log(disc.image), SCALE, order=3, mode="nearest", grid_mode=True)
    low, high = np.percentile(light, (30, 99.9))
    place = np.clip((light - low) / (high - low), 0, 1) * (len(GOLD) - 1)
    picture = np.stack([np.interp(place, np.arange(len(GOLD)), GOLD[:, c]) for c in range(3)], axis=-1)
    for parts, colour in ((holes, HOLE), (active, ACTIVE)):
        if parts:
            mask = np.kron(np.any(parts, axis=0), np.ones((SCALE, SCALE), bool))
            picture[mask & ~binary_erosion(mask)] = colour
    return picture[::-1]


def section(discs: list[Disc], shares: dict[str, list[float]], rows: list[list[Any]]) -> dict[str, Any]:
    """Return what a report shows of the regions."""
    times = [disc.about["time"] for disc in discs]
    shown = " · ".join(time[11:16] for time in (times[0], times[len(times) // 2], times[-1]))
    hours = [round(int(time[11:13]) + int(time[14:16]) / 60, 2) for time in times]
    chart = {"title": "Share of the disc", "unit": "%", "xLabel": f"hour of {times[0][:10]} (UTC)", "x": hours,
             "series": shares}  # fmt: skip
    return {
        "title": "Active regions and coronal holes", "order": 20, "wide": True,
        "text": "Regions brighter and darker than the median of the disc by a factor; the table is of the last image.",
        "images": [{"name": "discs", "file": "discs.png", "caption": f"{shown} UTC",
                    "keys": {"active regions": ACTIVE, "coronal holes": HOLE}}],
        "table": {"head": ["active region", "latitude", "longitude", "share", "peak / median"], "rows": rows},
        "charts": [chart],
    }  # fmt: skip


def process(input_dir: Path, output_dir: Path, params: dict[str, Any]) -> None:
    """Write the shares by time, the regions of the last image and a picture."""
    discs = sorted((Disc(path) for path in input_dir.glob("*/map.json")), key=lambda disc: disc.about["time"])
    if len(discs) < FEWEST:
        raise InputError(f"{len(discs)} images in {input_dir}: active-regions reads {FEWEST} or more of solar-map")
    least = int(params["minimumPixels"])
    active = [disc.parts(disc.contrast > float(params["bright"]), least) for disc in discs]
    holes = [disc.parts(disc.contrast < float(params["dark"]), least) for disc in discs]
    shares = {"active regions": [d.share(p) for d, p in zip(discs, active, strict=True)],
              "coronal holes": [d.share(p) for d, p in zip(discs, holes, strict=True)]}  # fmt: skip
    for disc, bright, dark in zip(discs, *shares.values(), strict=True):
        log(f"{disc.about['time']}: active regions {bright} %, coronal holes {dark} % of the disc")
    last = discs[-1]
    rows = [[number, *(f"{angle:+.0f}°" for angle in last.position(part)), f"{last.share([part]):.2f} %",
             f"{last.contrast[part].max():.1f}"] for number, part in enumerate(active[-1], start=1)]  # fmt: skip

    lines = ["time\tactive_percent\thole_percent"]
    lines += [f"{d.about['time']}\t{a}\t{h}" for d, a, h in zip(discs, *shares.values(), strict=True)]
    (output_dir / "regions.tsv").write_text("\n".join(lines) + "\n")
    tiles = [draw(discs[i], active[i], holes[i]) for i in (0, len(discs) // 2, -1)]
    gap = np.zeros((tiles[0].shape[0], GAP, 3))
    strip = np.hstack([tiles[0], gap, tiles[1], gap, tiles[2]])
    Image.fromarray(strip.round().astype(np.uint8)).save(output_dir / "discs.png")
    (output_dir / "section.json").write_text(json.dumps(section(discs, shares, rows), indent=1))


if __name__ == "__main__":
    try:
        parameters = json.loads(Path(os.environ["PARAMETERS_FILE"]).read_text())
        process(Path(os.environ["INPUT_DIR"]), Path(os.environ["OUTPUT_DIR"]), parameters)
    except InputError as error:
        log(f"error: {error}", file=sys.stderr)
        sys.exit(2)
