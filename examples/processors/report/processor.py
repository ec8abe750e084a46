"""One self-contained HTML page from what the other processors of a workflow have to show.

A processor that wants to appear writes `section.json` into its output: {title, text, order, wide?, facts?, images?,
charts?, table?}. Brain pictures are drawn here, from the volumes that a section names.
"""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from functools import partial
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import charts
import pictures
from PIL import Image

log = partial(print, flush=True)
PAGE = Path(__file__).with_name("page.html")


class InputError(Exception):
    """The input is not what this processor reads."""


def find(root: Path, name: str) -> Path:
    """Return the first file `name` among what the dependencies have written."""
    paths = [*sorted(root.glob(name)), *sorted(root.glob(f"*/{name}"))]
    if not paths:
        raise InputError(f"no {name} in {root}: a section shows it, so the node that writes it must be a dependency")
    return paths[0]


def sections(root: Path) -> list[dict[str, Any]]:
    """Return every section below `root` in the order they ask for."""
    found = [json.loads(path.read_text()) for path in (*root.glob("section.json"), *root.glob("*/section.json"))]
    if not found:
        raise InputError(f"no section.json in {root}: report shows what the nodes it depends on have written there")
    return sorted(found, key=lambda section: (section["order"], section["title"]))


def legend(spec: dict[str, Any]) -> str:
    """Return the key of a picture's colours."""
    if "overlay" in spec:
        low, high = spec["range"]
        return f'<span class="scale">{low:g}<i style="--scale:{pictures.gradient()}"></i>{high:g}</span>'
    keys = spec.get("keys") or dict(zip(spec.get("names", []), pictures.LABELS[1:].astype(int).tolist(), strict=False))
    spans = "".join(f'<span style="--key:rgb({r} {g} {b})">{escape(name)}</span>' for name, (r, g, b) in keys.items())
    return f'<span class="keys">{spans}</span>' if keys else ""


def picture(spec: dict[str, Any], root: Path, output_dir: Path) -> str:
    """Draw one picture, or take the file that is there; write it as PNG, return it as HTML."""
    caption = escape(spec["caption"])
    if "file" in spec:
        image = Image.open(find(root, spec["file"]))
    else:
        image, zs = pictures.draw(spec, partial(find, root))
        caption += f" <small>z = {', '.join(f'{z:g}' for z in zs)} mm</small>"
    data = io.BytesIO()
    image.save(data, "PNG")
    (output_dir / f"{spec['name']}.png").write_bytes(data.getvalue())
    log(f"{spec['name']}.png: {image.width} x {image.height} pixels")
    source = f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
    size = f'width="{image.width}" height="{image.height}"'
    return (f'<figure class="picture"><img src="{source}" {size} alt="{escape(spec["caption"])}">'
            f"<figcaption>{caption}{legend(spec)}</figcaption></figure>")  # fmt: skip


def table(data: dict[str, Any]) -> str:
    """Return a table; its first column is names, the others are numbers."""
    head = "".join(f"<th>{escape(str(cell))}</th>" for cell in data["head"])
    rows = ("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in data["rows"])
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def facts(items: list[list[Any]]) -> str:
    """Return the numbers to see first."""
    return "".join(f"<div><dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd></div>" for name, value in items)


def render(section: dict[str, Any], root: Path, output_dir: Path) -> str:
    """Return one section as HTML."""
    shown = [picture(spec, root, output_dir) for spec in section.get("images", [])]
    numbers = [f"<dl>{facts(section['facts'])}</dl>"] if "facts" in section else []
    numbers += [table(section["table"])] if "table" in section else []
    plots = [charts.svg(chart) for chart in section.get("charts", [])]
    intro = f"<h2>{escape(section['title'])}</h2><p>{escape(section['text'])}</p>"
    parts = {"intro": [intro], "pictures": shown, "numbers": numbers, "charts": plots}
    blocks = (f'<div class="{name}">{"".join(part)}</div>' for name, part in parts.items() if part)
    return f"<section{' class=wide' * bool(section.get('wide'))}>{''.join(blocks)}</section>"


def process(input_dir: Path, output_dir: Path, params: dict[str, Any]) -> None:
    """Write report.html and its pictures."""
    body = "\n".join(render(section, input_dir, output_dir) for section in sections(input_dir))
    names = {"title": escape(params["title"]), "subtitle": escape(params["subtitle"]), "body": body}
    (output_dir / "report.html").write_text(Template(PAGE.read_text()).substitute(names))
    log("report.html is complete")


if __name__ == "__main__":
    try:
        parameters = json.loads(Path(os.environ["PARAMETERS_FILE"]).read_text())
        process(Path(os.environ["INPUT_DIR"]), Path(os.environ["OUTPUT_DIR"]), parameters)
    except InputError as error:
        log(f"error: {error}", file=sys.stderr)
        sys.exit(2)
