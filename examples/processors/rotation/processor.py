"""The Sun's rotation by latitude, from maps of one day: the rate that makes the maps lie on each other."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

ORBIT = 0.9856  # degrees a day by which the Earth follows the Sun's rotation
PUBLISHED = (14.713, -2.396, -1.787)  # degrees a day; Snodgrass & Ulrich 1990, doi:10.1086/168467
RATES = np.arange(8.0, 19.0, 0.1)  # degrees a day, as seen from the Earth
NARROWEST, HIGHEST = 2.0, 45.0  # degrees of latitude: a band's least width, and how far bands reach
FEWEST = 3  # maps from which a rate can be told
EDGE = 15.0  # degrees of longitude at both sides that may turn out of sight
GOLD = np.array([(0, 0, 0), (96, 32, 0), (206, 106, 14), (255, 196, 74), (255, 255, 235)], dtype=float)

log = partial(print, flush=True)


class InputError(Exception):
    """The input is not what this processor reads."""


def load(root: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return the maps in the order of time, their times in days around the middle, and the first one's description."""
    found = [(json.loads(path.read_text()), path.with_name("map.npy")) for path in root.glob("*/map.json")]
    if len(found) < FEWEST:
        raise InputError(f"{len(found)} maps in {root}: rotation reads {FEWEST} or more, each of a solar-map node")
    found.sort(key=lambda item: item[0]["time"])
    days = np.array([datetime.fromisoformat(f"{d['time']}000+00:00").timestamp() / 86400 for d, _ in found])
    return np.stack([np.load(path).astype(float) for _, path in found]), days - days.mean(), found[0][0]


def turned_back(maps: np.ndarray, days: np.ndarray, longitudes: np.ndarray, rate: float) -> np.ndarray:
    """Return the maps as they lie when a rotation of `rate` degrees a day is undone, without their edges."""
    kept = longitudes[np.abs(longitudes) <= longitudes.max() - EDGE]
    return np.stack([[np.interp(kept + rate * day, longitudes, row) for row in rows]
                     for rows, day in zip(maps, days, strict=True)])  # fmt: skip


def best_rate(maps: np.ndarray, days: np.ndarray, longitudes: np.ndarray) -> tuple[float, float]:
    """Return the rate at which the maps agree best, and how well: the power of their mean over their mean power."""
    stacks = (turned_back(maps, days, longitudes, rate) for rate in RATES)
    scores = np.array([(stack.mean(axis=0) ** 2).mean() / (stack**2).mean() for stack in stacks])
    peak = int(np.clip(scores.argmax(), 1, len(RATES) - 2))
    before, top, after = scores[peak - 1 : peak + 2]
    return float(RATES[peak] + (RATES[1] - RATES[0]) * (before - after) / (2 * (before - 2 * top + after))), float(top)


def picture(maps: np.ndarray, days: np.ndarray, longitudes: np.ndarray, rate: float) -> Image.Image:
    """Return the mean map, rotation undone, north up, as a picture."""
    mean = turned_back(maps, days, longitudes, rate).mean(axis=0)[::-1]
    low, high = np.percentile(mean, (2, 99.7))
    place = np.clip((mean - low) / (high - low), 0, 1) * (len(GOLD) - 1)
    colours = np.stack([np.interp(place, np.arange(len(GOLD)), GOLD[:, c]) for c in range(3)], axis=-1)
    image = Image.fromarray(colours.round().astype(np.uint8))
    return image.resize((image.width * 4, image.height * 8), Image.Resampling.BICUBIC)


def section(table: np.ndarray, fit: np.ndarray, images: str) -> dict[str, Any]:
    """Return what a report shows of the rotation."""
    lat, sines = table[:, 0], np.sin(np.radians(table[:, 0])) ** 2
    published = np.polyval(PUBLISHED[::-1], sines)
    chart = {"title": "Rotation by latitude", "unit": "° a day", "xLabel": "latitude (°)", "x": lat.tolist(),
             "series": {"fit": (fit[0] + fit[1] * sines).round(3).tolist(), "published": published.round(3).tolist()},
             "points": {"measured": table[:, 1].tolist()}}  # fmt: skip
    sides = {-1.0: "° S", 0.0: "°", 1.0: "° N"}
    rows = [[f"{abs(place):.0f}{sides[np.sign(place)]}", f"{rate:.2f}", f"{known:.2f}", f"{score:.2f}"]
            for (place, rate, score), known in zip(table[::-1], published[::-1], strict=True)]  # fmt: skip
    return {
        "title": "Rotation of the corona", "order": 10,
        "text": f"Rate at which {images} agree best once turned back.",
        "facts": [["at the equator", f"{fit[0]:.2f} °/day"], ["sidereal period", f"{360 / fit[0]:.1f} days"]],
        "images": [{"name": "sun", "file": "sun.png", "caption": "Mean of all images, rotation undone"}],
        "table": {"head": ["latitude", "measured", "published", "agreement"], "rows": rows},
        "charts": [chart],
    }  # fmt: skip


def process(input_dir: Path, output_dir: Path, params: dict[str, Any]) -> None:
    """Write the rates by latitude (sidereal), their fit and the mean map."""
    width, rows = float(params["bandWidth"]), []
    if not NARROWEST <= width <= HIGHEST:
        raise InputError(f"bandWidth is {width:g}: a band has {NARROWEST:g} to {HIGHEST:g} degrees of latitude")
    maps, days, described = load(input_dir)
    latitudes, longitudes = np.array(described["latitudes"]), np.array(described["longitudes"])
    details = maps - gaussian_filter(maps, (0, 20, 40))  # what stands out of the quiet corona
    for middle in np.arange(-(HIGHEST // width), HIGHEST // width + 1) * width:
        band = np.abs(latitudes - middle) <= width / 2
        rate, score = best_rate(details[:, band], days, longitudes)
        rows.append((middle, rate + ORBIT, score))
        log(f"latitude {middle:+.0f}°: {rate + ORBIT:.2f}° a day, agreement {score:.2f}")
    table = np.array(rows).round(4)
    sines = np.sin(np.radians(table[:, 0])) ** 2
    fit = np.linalg.lstsq(np.stack([np.ones_like(sines), sines], axis=1), table[:, 1], rcond=None)[0].round(4)
    log(f"{fit[0]:.2f} {fit[1]:+.2f} sin² latitude; sidereal period at the equator {360 / fit[0]:.2f} days")
    header = "latitude_deg\tsidereal_deg_per_day\tagreement"
    np.savetxt(output_dir / "rotation.tsv", table, fmt="%.4f", delimiter="\t", header=header, comments="")
    picture(maps, days, longitudes, float(fit[0]) - ORBIT).save(output_dir / "sun.png")
    about = section(table, fit, f"{len(maps)} images, taken over {np.ptp(days) * 24:.0f} hours,")
    (output_dir / "section.json").write_text(json.dumps(about, indent=1))


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
