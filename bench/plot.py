"""bench/plot.py - the table of bench/compare.py as an SVG: a group of bars for each line, scaled to the longest of
the group, because the lines differ in unit. Written by hand so that nothing but Python is needed."""
from xml.sax.saxutils import escape

WIDTH, LEFT, BAR, GAP, GROUP, HEAD = 960, 290, 15, 3, 16, 56
SPACE_FOR_VALUE = 130
COLOURS = {"floor": "#9a9a9a", "myelin": "#0b7a75", "nats": "#d1863c", "nats_new": "#b5533c"}


def value_text(value, unit):
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def svg(results, names):
    """The whole picture as text. Lines without values are left out."""
    parts, y = [], HEAD
    shown = [result for result in results if result["values"]]
    for result in shown:
        keys = [key for key in COLOURS if key in result["values"]]
        longest = max(max(result["values"].values()), 1e-9)
        top = y
        for key in keys:
            value = max(result["values"][key], 0)
            width = max(1.0, (WIDTH - LEFT - SPACE_FOR_VALUE) * value / longest)
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{COLOURS[key]}"/>')
            parts.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + BAR - 3}">'
                         f'{escape(value_text(result["values"][key], result["unit"]))}</text>')
            y += BAR + GAP
        parts.append(f'<text x="{LEFT - 10}" y="{(top + y) / 2 + 2:.0f}" text-anchor="end">'
                     f'{escape(result["title"])}</text>')
        y += GROUP
    x = LEFT
    for key in [key for key in COLOURS if any(key in result["values"] for result in shown)]:
        parts.append(f'<rect x="{x}" y="30" width="12" height="12" fill="{COLOURS[key]}"/>')
        parts.append(f'<text x="{x + 17}" y="41">{escape(names.get(key, key))}</text>')
        x += 130
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
            f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
            f'<text x="10" y="20" font-size="14">The server\'s cost, medians; shorter is better</text>\n'
            + "\n".join(parts) + "\n</svg>\n")
