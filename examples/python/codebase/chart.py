"""A bar chart as SVG. The page's style colours it, so that it is right in the light and in the dark."""

from __future__ import annotations

from html import escape

from .report import Package

WIDTH = 860
ROW = 26
BAR = 16
LABELS = 150
NUMBERS = 150
NAME_MAX = 20


def bar_chart(packages: list[Package]) -> str:
    """One bar per package: of all that could have a docstring, the share that has one."""
    height = ROW * len(packages) + 4
    rows = "".join(_row(ROW * index + 4, package) for index, package in enumerate(packages))
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="share of docstrings">{rows}</svg>'


def _row(top: int, package: Package) -> str:
    name = package.name if len(package.name) <= NAME_MAX else package.name[: NAME_MAX - 1] + "…"
    room = WIDTH - LABELS - NUMBERS
    baseline = top + 13
    return (
        f"<g><title>{escape(package.name)}: {package.documented:,} of {package.documentable:,}</title>"
        f'<text x="{LABELS - 10}" y="{baseline}" text-anchor="end">{escape(name)}</text>'
        f"{_bar(top, room, 'all', '#d9d3c7')}{_bar(top, room * package.documented_share, 'have', '#b4552d')}"
        f'<text x="{LABELS + room + 10}" y="{baseline}" class="faint">'
        f"{package.documented_share:.0%} of {package.documentable:,}</text></g>"
    )


def _bar(top: int, width: float, kind: str, fill: str) -> str:
    size = f'width="{width:.1f}" height="{BAR}"'
    return f'<rect x="{LABELS}" y="{top}" {size} rx="3" class="{kind}" fill="{fill}"/>'
