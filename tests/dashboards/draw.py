"""Draws a dashboard from its JSON and the answers to its queries: a picture of what Grafana shows, without Grafana."""

from datetime import UTC
from math import ceil, log2
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import dates, pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

if TYPE_CHECKING:
    from ask import Answer, Json
    from check import Asked

# Inches of a column and of a row of Grafana's grid.
COLUMN, LINE = 0.6, 0.31
# What is read from PostgreSQL is grouped by so many seconds.
SQL_STEP_S = 10
PAGE, CARD, EDGE, INK, FAINT = "#f4f5f5", "#ffffff", "#dcdfe3", "#24292e", "#6e7680"
COLORS = [
    "#56a64b", "#e0b400", "#3274d9", "#fa6400", "#e02f44", "#8f3bb8", "#19730e", "#c0932c",
    "#5794f2", "#b877d9", "#ff780a", "#37872d", "#1f60c4", "#ad0317", "#96d98d", "#8ab8ff",
]  # fmt: skip
THRESHOLDS = {"green": "#37872d", "yellow": "#c68a00", "red": "#c4162a"}


def draw(asked: "list[Asked]", folder: Path) -> None:
    """A picture for each dashboard, named by its uid."""
    folder.mkdir(parents=True, exist_ok=True)
    pyplot.rcParams.update({"font.family": "DejaVu Sans", "font.size": 7, "axes.linewidth": 0.5})
    by_uid: dict[str, list[Asked]] = {}
    for one in asked:
        by_uid.setdefault(one.dashboard["uid"], []).append(one)
    for uid, panels in by_uid.items():
        figure = _page(panels)
        path = folder / f"{uid}.png"
        # A palette is enough, and a third of the bytes.
        figure.savefig(path, dpi=100, facecolor=PAGE)
        pyplot.close(figure)
        _shrink(path)
        print(f"   {path}: {path.stat().st_size // 1024} KiB")


def _shrink(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(160, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def _page(panels: "list[Asked]") -> Figure:
    dashboard = panels[0].dashboard
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in dashboard["panels"]) + 1.6
    figure = pyplot.figure(figsize=(24 * COLUMN, height * LINE))

    def place(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        return x / 24, 1 - (y + h) / height, w / 24, h / height

    figure.text(0.006, 1 - 0.8 / height, dashboard["title"], size=12, weight="bold", color=INK, va="center")
    figure.text(0.994, 1 - 0.8 / height, dashboard["description"], size=7.5, color=FAINT, va="center", ha="right")
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            x, y, _, h = place(0, panel["gridPos"]["y"] + 1.6, 24, 1)
            figure.text(x + 0.006, y + h / 2, panel["title"], size=9, weight="bold", color=INK, va="center")
    for one in panels:
        at = one.panel["gridPos"]
        x, y, w, h = place(at["x"], at["y"] + 1.6, at["w"], at["h"])
        card = figure.add_axes((x + 0.003, y + 0.08 * LINE / height, w - 0.006, h - 0.16 * LINE / height))
        card.set(xticks=[], yticks=[], facecolor=CARD, xlim=(0, 1), ylim=(0, 1))
        for edge in card.spines.values():
            edge.set_color(EDGE)
        card.set_title(one.panel["title"], loc="left", size=7.5, color=INK, weight="bold", y=1, pad=-9, x=0.01)
        match one.panel["type"]:
            case "stat":
                _stat(card, one.panel, one.answers[0])
            case "table":
                _table(card, one.panel, one.answers[0], at["h"], at["w"])
            case _:
                inner = figure.add_axes((x + 0.037, y + 1.75 / height, w - 0.047, h - 2.95 / height))
                _lines(inner, card, one)
    return figure


def _stat(card: Axes, panel: "Json", answer: "Answer") -> None:
    points = next(iter(answer.lines.values()), [])
    value = points[-1][1] if points else float(answer.rows[0][0]) if answer.rows and answer.rows[0][0] else None
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    color = "#3274d9"
    for step in steps:
        if value is not None and (step["value"] is None or value >= step["value"]):
            color = THRESHOLDS[step["color"]]
    if len(points) > 1:
        low, high = min(v for _, v in points), max(v for _, v in points)
        scaled = [(v - low) / (high - low or 1) * 0.3 for _, v in points]
        begin, end = points[0][0], points[-1][0]
        across = [(at - begin) / (end - begin) for at, _ in points]
        card.fill_between(across, scaled, color=color, alpha=0.15, linewidth=0)
        card.plot(across, scaled, color=color, linewidth=0.8)
    shown = "–" if value is None else format_value(value, panel)
    card.text(0.5, 0.52, shown, size=17, color=color, ha="center", va="center", weight="bold")


def _table(card: Axes, panel: "Json", answer: "Answer", height: int, width: int) -> None:
    columns, rows = _organized(panel, answer)
    units = {o["matcher"]["options"]: o["properties"][0]["value"] for o in panel["fieldConfig"]["overrides"]}
    room = int((height - 2.0) / 0.85)
    shown = [
        [_cell(text, panel, units.get(name), number) for number, (name, text) in enumerate(zip(columns, row, strict=True))]
        for row in rows[:room]
    ]
    widths = [max([len(name)] + [len(row[i]) for row in shown]) + 2 for i, name in enumerate(columns)]
    left = [sum(widths[:i]) / sum(widths) for i in range(len(columns))]
    letters = max(8, int(width * COLUMN * 17))
    size = 6.5 if sum(widths) <= letters else 6.5 * letters / sum(widths)
    top, step = 1 - 1.6 / height, 0.85 / height
    for i, name in enumerate(columns):
        card.text(0.012 + 0.976 * left[i], top, name, size=size, color="#3274d9", va="center", weight="bold")
    for n, row in enumerate(shown, 1):
        card.axhline(top - (n - 0.5) * step, 0.01, 0.99, color=EDGE, linewidth=0.4)
        for i, text in enumerate(row):
            card.text(0.012 + 0.976 * left[i], top - n * step, text, size=size, color=INK, va="center")
    if len(rows) > room:
        card.text(0.99, 0.99, f"{len(rows)} rows", size=6, color=FAINT, ha="right", va="top")


def _organized(panel: "Json", answer: "Answer") -> tuple[list[str], list[list[str]]]:
    transformations = [t["options"] for t in panel.get("transformations", []) if t["id"] == "organize"]
    if not transformations:
        return answer.columns, answer.rows
    order, names = transformations[0]["indexByName"], transformations[0]["renameByName"]
    kept = [name for name in sorted(order, key=order.__getitem__) if name in answer.columns]
    places = [answer.columns.index(name) for name in kept]
    rows = [[row[at] for at in places] for row in answer.rows]
    if "Value" in kept:
        rows.sort(key=lambda row: -float(row[kept.index("Value")]))
    else:
        rows.sort()
    return [names.get(name, name) for name in kept], rows


def _cell(text: str, panel: "Json", unit: str | None, _: int) -> str:
    if unit == "dateTimeAsIso":
        return text[:19]
    try:
        value = float(text)
    except ValueError:
        return text
    defaults = panel["fieldConfig"]["defaults"] | ({"unit": unit} if unit else {})
    return format_value(value, {"fieldConfig": {"defaults": defaults}})


def _lines(axes: Axes, card: Axes, one: "Asked") -> None:
    panel, answers, over = one.panel, one.answers, one.over
    custom = panel["fieldConfig"]["defaults"]["custom"]
    series = [(name, points) for answer in answers for name, points in sorted(answer.lines.items()) if points]
    is_bars, is_stacked = custom["drawStyle"] == "bars", custom["stacking"]["mode"] == "normal"
    colors = [COLORS[n % len(COLORS)] for n in range(len(series))]
    is_sql = "rawSql" in panel["targets"][0]
    step = SQL_STEP_S if is_sql else over.step
    if is_stacked or is_bars:
        _stack(axes, series, colors, step, is_bars, is_stacked)
    else:
        for (_, points), color in zip(series, colors, strict=True):
            times, values = _with_holes(points, over.step if not is_sql else 3600)
            axes.plot(times, values, color=color, linewidth=1.0, marker="." if len(points) < 3 else None, markersize=3)
    for value in [s["value"] for s in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])]:
        highest = axes.get_ylim()[1]
        if value is not None and value <= highest:
            axes.axhline(value, color="#c4162a", linewidth=0.6, linestyle=(0, (4, 3)))
    axes.set_ylim(bottom=0)
    highest = max((value for _, points in series for _, value in points), default=0.0)
    if highest == 0:
        axes.set_ylim(0, 1)
    axes.set_facecolor(CARD)
    axes.grid(color="#eceef0", linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(EDGE)
    axes.tick_params(colors=FAINT, length=0, labelsize=6)
    is_bytes = panel["fieldConfig"]["defaults"]["unit"] in ("bytes", "Bps")
    axes.yaxis.set_major_locator(MultipleLocator(2 ** ceil(log2(highest / 4))) if is_bytes and highest > 0 else MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value, panel, axis=True)))
    axes.set_xlim(_time(over.start), _time(over.end))
    axes.xaxis.set_major_locator(dates.SecondLocator(bysecond=[0]) if not is_sql else dates.MinuteLocator(interval=2))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M", tz=UTC))
    _legend(card, [name for name, _ in series], colors, panel["gridPos"])


def _stack(axes: Axes, series: Any, colors: list[str], step: float, is_bars: bool, is_stacked: bool) -> None:
    times = sorted({at for _, points in series for at, _ in points})
    floor = [0.0] * len(times)
    for (_, points), color in zip(series, colors, strict=True):
        found = dict(points)
        values = [found.get(at, 0.0) for at in times]
        top = [a + b for a, b in zip(floor, values, strict=True)] if is_stacked else values
        below = floor if is_stacked else [0.0] * len(times)
        when = [_time(at) for at in times]
        if is_bars:
            heights = [a - b for a, b in zip(top, below, strict=True)]
            axes.bar(when, heights, bottom=below, width=step * 0.9 / 86400, color=color, linewidth=0, alpha=0.85)
        else:
            axes.fill_between(when, below, top, color=color, alpha=0.25, linewidth=0)
            axes.plot(when, top, color=color, linewidth=0.9)
        if is_stacked:
            floor = top


def _with_holes(points: list[tuple[float, float]], step: float) -> tuple[list[float], list[float]]:
    times: list[float] = []
    values: list[float] = []
    before = None
    for at, value in points:
        if before is not None and at - before > 1.5 * step:
            times.append(_time(before + step))
            values.append(float("nan"))
        times.append(_time(at))
        values.append(value)
        before = at
    return times, values


def _time(at: float) -> float:
    """As the axes count it: days."""
    return at / 86400


def _legend(card: Axes, names: list[str], colors: list[str], at: "Json") -> None:
    """In one line below, as far as it has room."""
    width = at["w"] * COLUMN * 72
    x, y = 8.0, 0.5 / at["h"]
    for n, (name, color) in enumerate(zip(names, colors, strict=True)):
        name = name if len(name) <= 34 else name[:33] + "…"
        takes = 12 + 3.75 * len(name)
        if x + takes > width - 14 and n < len(names):
            card.text(x / width, y, f"+ {len(names) - n}", size=6, color=FAINT, va="center")
            return
        card.plot([x / width, (x + 6) / width], [y, y], color=color, linewidth=2, solid_capstyle="butt")
        card.text((x + 8) / width, y, name, size=6, color=INK, va="center")
        x += takes


def format_value(value: float, panel: "Json", axis: bool = False) -> str:
    """As Grafana writes it, near enough."""
    defaults = panel["fieldConfig"]["defaults"]
    unit, decimals = defaults["unit"], defaults.get("decimals")

    def number(value: float) -> str:
        if decimals is not None and not axis:
            return f"{value:.{decimals}f}"
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"

    def scaled(steps: list[tuple[float, str]]) -> str:
        for size, name in steps:
            if abs(value) >= size:
                return f"{number(value / size)} {name}"
        size, name = steps[-1]
        return f"{number(value / size)} {name}"

    match unit:
        case "s":
            if value == 0:
                return "0 s"
            if abs(value) >= 0.9995:
                return scaled([(86400, "d"), (3600, "h"), (60, "min"), (1, "s")])
            small = value * 1e3
            return f"{small:.3g} ms" if small >= 1 else f"{small * 1e3:.3g} µs"
        case "bytes" | "Bps":
            rate = "/s" if unit == "Bps" else ""
            return scaled([(2**30, "GiB" + rate), (2**20, "MiB" + rate), (2**10, "KiB" + rate), (1, "B" + rate)])
        case "percentunit":
            return f"{value * 100:.3g} %"
        case "fps":
            return f"{number(value)} fps"
        case "cps":
            return f"{number(value)} /s"
        case _:
            if abs(value) >= 1e6:
                return f"{value / 1e6:.3g} M"
            return f"{value / 1e3:.3g} K" if abs(value) >= 10_000 else number(value)
