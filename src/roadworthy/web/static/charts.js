/* Draws the charts that a page describes in `<script type="application/json" data-for="...">`.
   The page is complete without it: every chart has its summary and its table. */
"use strict";
(() => {
  const HEIGHT = 270;
  const HALF_DAY = 43200;
  const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const month = (at) => `${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()}`;
  const day = (seconds) => { const at = new Date(seconds * 1e3); return `${at.getUTCDate()} ${month(at)}`; };
  const minus = (text) => text.replace("-", "\u2212");

  function formats(drawing) {
    const money = drawing.unit === "money";
    const style = money ? { style: "currency", currency: drawing.currency, currencyDisplay: "narrowSymbol" } : {};
    const whole = new Intl.NumberFormat("en-US", { ...style, maximumFractionDigits: 0 });
    const compact = new Intl.NumberFormat("en-US", {
      ...style, notation: "compact", minimumFractionDigits: 0, maximumFractionDigits: 2,
    });
    return {
      full: (value) => (value == null ? "not known" : minus(whole.format(value))),
      tick: (value) => minus(compact.format(value)),
    };
  }

  function stack(series) {
    const sums = series[0].values.map(() => 0);
    return series.map((each) => each.values.map((value, at) => (sums[at] += value ?? 0)));
  }

  function bars(color) {
    return { paths: uPlot.paths.bars({ size: [0.9, 24], gap: 0 }), fill: color, width: 0, points: { show: false } };
  }

  function line(each, stroke) {
    return { stroke, width: each.dash ? 1.75 : 2.5, dash: each.dash ? [6, 4] : [], points: { show: false } };
  }

  function markers(marks) {
    return (plot) => {
      const { ctx, bbox } = plot;
      const ratio = devicePixelRatio;
      ctx.save();
      ctx.strokeStyle = color("muted");
      ctx.fillStyle = color("soft");
      ctx.lineWidth = ratio;
      ctx.setLineDash([2 * ratio, 3 * ratio]);
      ctx.font = `600 ${11 * ratio}px system-ui, sans-serif`;
      ctx.textAlign = "center";
      for (const mark of marks) {
        const x = Math.round(plot.valToPos(mark.x, "x", true)) + 0.5;
        if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        ctx.fillText(mark.label, x, bbox.top - 9 * ratio);
      }
      ctx.restore();
    };
  }

  function options(drawing, width, format, onCursor) {
    const axis = {
      stroke: color("soft"), font: "12px system-ui, sans-serif", ticks: { show: false },
      grid: { stroke: color("hair"), width: 1 },
    };
    const months = drawing.x.length > 62;
    // The first of a stack is drawn last, so that each lies over the sum that includes it.
    const drawn = drawing.series.map((each) => {
      const tone = color(each.color);
      return each.bars ? bars(tone) : line(each, tone);
    });
    return {
      width, height: HEIGHT, padding: [24, 12, 0, 0], legend: { show: false },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "UTC"),
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: {
        x: { time: true, range: (plot, first, last) => [first - HALF_DAY, last + HALF_DAY] },
        y: { range: (plot, low, high) => padded(low, high) },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 90, size: 28,
          values: (plot, ticks) => ticks.map((at) => (months ? month(new Date(at * 1e3)) : day(at))),
          ...(months ? { splits: () => firstsOfMonths(drawing.x, width) } : {}) },
        { ...axis, size: 72, values: (plot, ticks) => ticks.map(format.tick) },
      ],
      series: [{}, ...(drawing.stacked ? drawn.reverse() : drawn)],
      hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx)], draw: [markers(drawing.marks)] },
    };
  }

  function padded(low, high) {
    const bottom = Math.min(0, low ?? 0);
    const top = Math.max(0, high ?? 0);
    const room = (top - bottom || 1) * 0.04;
    return [bottom < 0 ? bottom - room : 0, top > 0 ? top + room : 0];
  }

  function firstsOfMonths(x, width) {
    const firsts = [];
    const at = new Date(x[0] * 1e3);
    let first = Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1);
    while (first / 1e3 <= x[x.length - 1]) {
      if (first / 1e3 >= x[0]) firsts.push(first / 1e3);
      const last = new Date(first);
      first = Date.UTC(last.getUTCFullYear(), last.getUTCMonth() + 1, 1);
    }
    const every = Math.ceil((firsts.length * 80) / Math.max(width - 84, 1));
    return firsts.filter((_, position) => position % every === 0);
  }

  function columns(drawing) {
    const values = drawing.stacked ? stack(drawing.series).reverse() : drawing.series.map((each) => each.values);
    return [drawing.x, ...values];
  }

  class Chart {
    constructor(place) {
      const figure = place.closest("figure");
      this.place = place;
      this.drawing = JSON.parse(figure.querySelector("script[data-for]").textContent);
      this.format = formats(this.drawing);
      this.when = figure.querySelector("[data-when]");
      this.live = figure.querySelector("[data-live]");
      this.values = [...figure.querySelectorAll("[data-value]")];
      this.at = null;
      this.draw();
      place.addEventListener("keydown", (event) => this.key(event));
      place.addEventListener("blur", () => this.point(null));
    }

    draw() {
      this.plot?.destroy();
      const width = Math.max(this.place.clientWidth, 240);
      this.width = width;
      this.plot = new uPlot(options(this.drawing, width, this.format, (at) => this.read(at)), columns(this.drawing), this.place);
    }

    fit() {
      if (Math.abs(this.place.clientWidth - this.width) > 1) this.draw();
    }

    read(at) {
      this.at = at ?? null;
      const known = at != null;
      this.when.textContent = known ? day(this.drawing.x[at]) : "";
      this.values.forEach((value, index) => {
        value.textContent = known ? this.format.full(this.drawing.series[index].values[at]) : "";
      });
    }

    point(at) {
      const left = at == null ? -10 : this.plot.valToPos(this.drawing.x[at], "x");
      this.plot.setCursor({ left, top: at == null ? -10 : 10 });
    }

    key(event) {
      const last = this.drawing.x.length - 1;
      const from = this.at ?? (event.key === "ArrowLeft" ? last + 1 : -1);
      const steps = { ArrowLeft: Math.max(from - 1, 0), ArrowRight: Math.min(from + 1, last), Home: 0, End: last };
      if (!(event.key in steps)) return;
      event.preventDefault();
      const at = steps[event.key];
      this.point(at);
      this.read(at);
      const said = this.drawing.series.map((each) => `${each.label} ${this.format.full(each.values[at])}`);
      this.live.textContent = `${this.when.textContent}: ${said.join(", ")}`;
    }
  }

  const charts = [...document.querySelectorAll("[data-chart]")].map((place) => new Chart(place));
  let waiting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => charts.forEach((chart) => chart.fit()));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => chart.draw()));
})();
