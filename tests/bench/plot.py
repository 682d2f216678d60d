"""Small plots as SVG, by hand: bars and lines that can be read on a light and on a dark page."""

import math
from html import escape

WIDTH, LABEL, ROW, PAD = 900, 385, 24, 16
STYLE = ("<style>text{font:13px sans-serif;fill:#1f2328}.t{font-weight:bold}.s{fill:#59636e}.b{fill:#8c959f}"
         ".o{fill:#1a7f37}.l{stroke-width:2;fill:none}.g{stroke:#d1d9e0}"
         "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.b{fill:#6e7681}.o{fill:#3fb950}"
         ".g{stroke:#3d444d}}</style>")
COLORS = ("#1a7f37", "#0969da", "#bc4c00", "#8250df")


def write(path, height, body):
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}">'
                    f"{STYLE}{''.join(body)}</svg>\n", encoding="utf-8")


def text(x, y, content, kind="", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(str(content))}</text>'


def position(value, low, high, is_log):
    """Where in 0…1 a value is."""
    if is_log:
        value, low, high = (math.log10(max(v, low)) for v in (value, low, high))
    return (value - low) / (high - low) if high > low else 0


def bars(path, panels):
    """Panels of horizontal bars: (title, is_log, [(label, value or None, text, is_ours)])."""
    body, y = [], PAD
    room = WIDTH - LABEL - 110
    for title, is_log, rows in panels:
        values = [value for _, value, _, _ in rows if value]
        high = max(values, default=1)
        low = min(values, default=1) / 2 if is_log else 0
        y += 14
        body.append(text(PAD, y, title + (" (logarithmic)" if is_log else ""), "t"))
        y += 8
        for label, value, shown, is_ours in rows:
            length = position(value, low, high, is_log) * room if value else 0
            body.append(text(LABEL - 10, y + 16, label, "", "end"))
            body.append(f'<rect x="{LABEL}" y="{y + 4}" width="{max(length, 1):.1f}" height="{ROW - 8}" '
                        f'class="{"o" if is_ours else "b"}"/>')
            body.append(text(LABEL + max(length, 1) + 6, y + 16, shown, "s"))
            y += ROW
        y += PAD
    write(path, y, body)


def lines(path, title, x_label, series):
    """Lines over logarithmic axes: {name: [(x, y)]}."""
    height, left, top, right = 320, 80, 40, 220
    bottom = height - 45
    xs = sorted({x for points in series.values() for x, _ in points})
    ys = [y for points in series.values() for _, y in points]
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))

    def at(x, y):
        return (left + position(x, xs[0], xs[-1], True) * (WIDTH - left - right),
                bottom - position(y, low, high, True) * (bottom - top))

    body = [text(PAD, 22, title, "t"), text((left + WIDTH - right) / 2, height - 8, x_label, "s", "middle")]
    mark = low
    while mark <= high * 1.001:
        y = at(xs[0], mark)[1]
        body.append(f'<path class="g" d="M{left} {y:.1f}H{WIDTH - right}"/>')
        body.append(text(left - 8, y + 4, f"{mark:g}", "s", "end"))
        mark *= 10
    body += [text(at(x, low)[0], bottom + 18, f"{x:,}", "s", "middle") for x in xs]
    taken = []
    for number, (name, points) in enumerate(series.items()):
        color = COLORS[number % len(COLORS)]
        places = [at(x, y) for x, y in points]
        body.append(f'<path class="l" stroke="{color}" d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y in places) + '"/>')
        y = places[-1][1] + 4
        while any(abs(y - other) < 15 for other in taken):
            y -= 15
        taken.append(y)
        body.append(text(places[-1][0] + 8, y, name))
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>' for x, y in places]
    write(path, height, body)
