#!/usr/bin/env python3
"""Draws what `convscope_bench_backward --errors` prints: how far the two gradients by a conv basis are from the exact one, against the
noise on the scores, log-log, as SVG. Plain Python.

    convscope_bench_backward --errors | python3 tests/bench/plot_gradient_error.py docs/gradient-error.svg

The background is transparent; text and lines have colours that show on white and on black."""

import csv
import math
import sys

WIDTH, HEIGHT = 760, 480
LEFT, RIGHT, TOP, BOTTOM = 84, 232, 44, 64
INK = "#808080"
COLOURS = {"query": "#56B4E9", "key": "#E69F00", "value": "#009E73"}
DASHES = {"estimate": "", "conv": ' stroke-dasharray="7 5"'}
# What is drawn. Both have the same dV.
CURVES = {
    ("estimate", "query"): "dQ, estimate",
    ("estimate", "key"): "dK, estimate",
    ("estimate", "value"): "dV, either",
    ("conv", "query"): "dQ, conv gradient",
    ("conv", "key"): "dK, conv gradient",
}


class Axis:
    """Whole decades around some positive numbers, from `begin` to `end` in pixels."""

    def __init__(self, numbers, begin, end):
        self.low = math.floor(math.log10(min(numbers)))
        self.high = math.ceil(math.log10(max(numbers)))
        self.begin, self.end = begin, end

    def at(self, number):
        part = (math.log10(number) - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)

    def decades(self):
        return range(self.low, self.high + 1)


def marker(field, x, y):
    if field == "query":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    if field == "key":
        return f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>'
    return f'<path d="M{x:.1f} {y - 3.4:.1f}l3.4 6h-6.8z"/>'


def text(x, y, content, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{content}</text>'


def power(exponent):
    return f'10<tspan dy="-6" font-size="10">{exponent}</tspan>'


def grid(x, y):
    parts = []
    for decade in x.decades():
        at = x.at(10.0**decade)
        parts.append(f'<path d="M{at:.1f} {y.begin}V{y.end}" stroke="{INK}" stroke-opacity="0.25"/>')
        parts.append(text(at, y.begin + 20, power(decade), "middle"))
    for decade in y.decades():
        at = y.at(10.0**decade)
        parts.append(f'<path d="M{x.begin} {at:.1f}H{x.end}" stroke="{INK}" stroke-opacity="0.25"/>')
        if (decade - y.low) % 2 == 0:
            parts.append(text(x.begin - 8, at + 4, power(decade), "end"))
    parts.append(f'<path d="M{x.begin} {y.end}V{y.begin}H{x.end}" fill="none" stroke="{INK}"/>')
    middle = (y.begin + y.end) / 2
    parts.append(text((x.begin + x.end) / 2, HEIGHT - 14, "noise on the scores, eps (largest change of a score)", "middle"))
    parts.append(text(22, middle, "relative error against the exact gradient (Frobenius)", "middle", f' transform="rotate(-90 22 {middle})"'))
    return parts


def curve(points, x, y, method, field):
    colour = COLOURS[field]
    places = [(x.at(eps), y.at(error)) for eps, error in points]
    line = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
    parts = [f'<path d="{line}" fill="none" stroke="{colour}" stroke-width="2"{DASHES[method]}/>']
    hollow = f'fill="none" stroke="{colour}" stroke-width="1.5"' if field == "query" else f'fill="{colour}"'
    return parts + [f"<g {hollow}>" + "".join(marker(field, a, b) for a, b in places) + "</g>"]


class Span:
    """An axis of the legend: 1 at `begin`, 10 at `end`."""

    def __init__(self, begin, end):
        self.begin, self.end = begin, end

    def at(self, number):
        return self.begin + (self.end - self.begin) * math.log10(number)


def legend(left, top):
    parts = []
    for (method, field), name in CURVES.items():
        parts += curve([(1, 1), (10, 1)], Span(left, left + 34), Span(top, top), method, field)
        parts.append(text(left + 46, top + 4, name))
        top += 24
    return parts


def draw(rows):
    fields = list(COLOURS)
    x = Axis([float(row["eps"]) for row in rows], LEFT, WIDTH - RIGHT)
    y = Axis([float(row[field]) for row in rows for field in fields], HEIGHT - BOTTOM, TOP)
    parts = [text(LEFT, 24, "Gradients by a conv basis, recovered from noisy planted scores", more=' font-size="15"')]
    parts += grid(x, y)
    for method, field in CURVES:
        points = [(float(row["eps"]), float(row[field])) for row in rows if row["method"] == method]
        parts += curve(points, x, y, method, field)
    parts += legend(WIDTH - RIGHT + 24, TOP + 12)
    body = "\n".join(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'font-family="sans-serif" font-size="13" fill="{INK}">\n{body}\n</svg>\n')


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: plot_gradient_error.py OUT.svg < CSV")
    rows = list(csv.DictReader(sys.stdin))
    if not rows:
        sys.exit("plot_gradient_error.py: there are no rows; the input is what convscope_bench_backward --errors prints")
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(draw(rows))


if __name__ == "__main__":
    main()
