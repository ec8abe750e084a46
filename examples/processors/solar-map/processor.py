"""One image of the solar corona, cleaned, turned upright and projected onto solar latitude and longitude."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates, median_filter

CARD, BLOCK = 80, 2880  # bytes; FITS standard 4.0, section 3
BINNED = 1024  # pixels across EIT's detector, in which its headers give the solar radius
OFFSET = 840.0  # counts that the detector adds to every pixel
UPSIDE_DOWN = 180.0  # degrees of the spacecraft's roll
LIMB = 1.02  # solar radii at which the corona's limb is brightest
LATITUDES, LONGITUDES = np.arange(-55, 55.5, 1.0), np.arange(-65, 65.5, 0.5)  # degrees

log = partial(print, flush=True)


class InputError(Exception):
    """The input is not what this processor reads."""


def read_fits(path: Path) -> tuple[dict[str, str], np.ndarray]:
    """Return the header and the pixels of a FITS file's first image, first row at the bottom."""
    raw, header, place = path.read_bytes(), {}, 0
    while (card := raw[place : place + CARD].decode("latin-1")).rstrip() != "END":
        if len(card) < CARD or (place == 0 and not card.startswith("SIMPLE")):
            raise InputError(f"{path.name} is not a FITS file")
        if card[8:10] == "= ":
            header[card[:8].strip()] = card[10:].split("/")[0].strip().strip("'").strip()
        place += CARD
    start = -(-(place + CARD) // BLOCK) * BLOCK
    columns, rows, bits = (int(header[key]) for key in ("NAXIS1", "NAXIS2", "BITPIX"))
    kind = np.dtype(f">{'f' if bits < 0 else 'i'}{abs(bits) // 8}")
    return header, np.frombuffer(raw, kind, rows * columns, start).reshape(rows, columns).astype(float)


def clean(counts: np.ndarray) -> tuple[np.ndarray, int]:
    """Return counts above the offset without lost blocks and cosmic rays, and how many pixels were replaced."""
    lost = counts < OFFSET - 40
    nearest = distance_transform_edt(lost, return_distances=False, return_indices=True)
    whole = counts[tuple(nearest)]
    calm = median_filter(whole, 3)
    rays = whole - calm > 100 + 6 * np.sqrt(np.clip(calm - OFFSET, 1, None))
    return np.clip(np.where(rays, calm, whole) - OFFSET, 5, None), int(lost.sum() + rays.sum())


def centre_of(image: np.ndarray, radius: float) -> np.ndarray:
    """Return the column and row around which a ring of this radius is a ridge: the limb, bright in the corona."""
    smooth, angles = gaussian_filter(np.log(image), 1.0), np.linspace(0, 2 * np.pi, 360, endpoint=False)
    centre = (np.array(image.shape[::-1]) - 1) / 2

    def ring(places: np.ndarray, size: float) -> np.ndarray:
        rows, columns = places[:, 1, None] + size * np.sin(angles), places[:, 0, None] + size * np.cos(angles)
        return map_coordinates(smooth, [rows, columns], order=1)

    for step in (1.0, 0.2, 0.04, 0.01):
        places = centre + step * np.array([(x, y) for y in range(-6, 7) for x in range(-6, 7)])
        ridge = ring(places, radius) - (ring(places, radius - 2.5) + ring(places, radius + 2.5)) / 2
        # clipped, or an active region that turns into sight would pull the centre to its side
        centre = places[np.argmax(np.clip(ridge, -0.1, 0.25).mean(axis=1))]
    return centre


def project(image: np.ndarray, centre: np.ndarray, radius: float, tilt: float) -> np.ndarray:
    """Return the image on the grid of latitudes and longitudes; `tilt` is the centre's latitude (B0) in radians."""
    lat, lon = np.radians(LATITUDES)[:, None], np.radians(LONGITUDES)[None, :]
    x = np.cos(lat) * np.sin(lon)
    y = np.sin(lat) * np.cos(tilt) - np.cos(lat) * np.cos(lon) * np.sin(tilt)
    return map_coordinates(image, [centre[1] + radius * y, centre[0] + radius * x], order=3, mode="nearest")


def process(input_dir: Path, output_dir: Path, params: dict[str, Any]) -> None:
    """Write the upright image (disc.npy), its map (map.npy) and what describes them (map.json)."""
    path = input_dir / params["file"]
    if not path.is_file():
        here = ", ".join(sorted(p.name for p in input_dir.iterdir())) or "nothing"
        raise InputError(f"no {params['file']} in {input_dir}: `file` names the FITS image to read; there is {here}")
    header, counts = read_fits(path)
    image, replaced = clean(counts)
    if float(header["SC_ROLL"]) == UPSIDE_DOWN:  # the spacecraft flew upside down
        image = image[::-1, ::-1]
    surface = float(header["SOLAR_R"]) * image.shape[1] / BINNED
    centre = centre_of(image, LIMB * surface)
    radius = float(params["height"]) * surface
    log(f"{path.name}: {header['DATE-OBS']}, centre {centre[0]:.2f}, {centre[1]:.2f}; {replaced} pixels replaced")
    tilt = float(header["SOLAR_B0"])
    described = {"file": path.name, "time": header["DATE-OBS"], "wavelength": int(header["WAVELNTH"]), "tilt": tilt,
                 "centre": centre.round(3).tolist(), "radius": round(radius, 3), "replaced": replaced,
                 "latitudes": LATITUDES.tolist(), "longitudes": LONGITUDES.tolist()}  # fmt: skip
    np.save(output_dir / "disc.npy", image.astype(np.float32))
    np.save(output_dir / "map.npy", project(np.log(image), centre, radius, np.radians(tilt)).astype(np.float32))
    (output_dir / "map.json").write_text(json.dumps(described))


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Serve one Lambda invocation."""
    process(Path(event["inputDir"]), Path(event["outputDir"]), event["params"])
    return {"outputDir": event["outputDir"]}


if __name__ == "__main__":
    try:
        parameters = json.loads(Path(os.environ["PARAMETERS_FILE"]).read_text())
        process(Path(os.environ["INPUT_DIR"]), Path(os.environ["OUTPUT_DIR"]), parameters)
    except InputError as error:
        log(f"error: {error}", file=sys.stderr)
        sys.exit(2)
