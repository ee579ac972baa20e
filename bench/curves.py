"""Curves as an SVG picture, for the docs: no more than lines, their names and two axes."""

from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 16, 44
COLORS = ("#0b6e99", "#c1440e", "#6b6b6b", "#5a8f29")


def svg(series: dict[str, list[tuple[float, float]]], across: str, up: str) -> str:
    """The named series of points (x, y), y from 0 to 1, with the titles of both axes."""
    farthest = max(x for points in series.values() for x, _ in points)

    def place(x: float, y: float) -> tuple[float, float]:
        return (LEFT + (WIDTH - LEFT - RIGHT) * x / farthest, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y)

    def text(x: float, y: float, words: str, anchor: str, color: str = "#333", more: str = "") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}"{more}>{escape(words)}</text>'

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
             f'font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for tenth in range(0, 11, 2):
        x, y = place(0, tenth / 10)
        parts.append(f'<line x1="{x}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(text(x - 8, y + 4, f"{tenth / 10:.1f}", "end"))
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if farthest / step <= 12)
    for mark in range(0, int(farthest) + 1, step):
        x, y = place(mark, 0)
        parts.append(text(x, y + 16, str(mark), "middle"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, across, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(text(14, middle, up, "middle", more=f' transform="rotate(-90 14 {middle})"'))
    for (name, points), color, row in zip(series.items(), COLORS, range(len(series))):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        y = TOP + 16 + 18 * row
        parts.append(f'<line x1="{LEFT + 12}" y1="{y - 4}" x2="{LEFT + 36}" y2="{y - 4}" stroke="{color}" stroke-width="2"/>')
        parts.append(text(LEFT + 42, y, name, "start", color))
    return "\n".join([*parts, "</svg>", ""])
