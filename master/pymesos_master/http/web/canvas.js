// What is drawn: the map of agents and curves. Beside each is a table or a sentence that says the same.

import { h } from "./render.js";


/** A colour that a canvas takes, of what may be `light-dark(…)`. @param {string} name */
function paint(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}
const probe = document.createElement("span");
probe.hidden = true;
document.documentElement.append(probe);

/**
 * Make a canvas as large as it is shown, in device pixels.
 * @param {HTMLCanvasElement} canvas @param {number} width @param {number} height
 */
function sized(canvas, width, height) {
  const scale = devicePixelRatio || 1;
  const [w, t] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== t) [canvas.width, canvas.height] = [w, t];
  canvas.style.height = `${height}px`;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/**
 * Curves over time from 0 to `most`, the first filled.
 * @param {{points: {at: number, values: number[]}[], most: number, colours: string[], fromS: number, toS: number, label: string}} of
 */
export function curves(of) {
  /** @param {HTMLCanvasElement} canvas */
  const draw = (canvas) => {
    const width = canvas.clientWidth;
    const height = 56;
    if (!width) return;
    const context = sized(canvas, width, height);
    const x = (/** @type {number} */ s) => ((s - of.fromS) / Math.max(1, of.toS - of.fromS)) * width;
    const y = (/** @type {number} */ v) => height - 1.5 - (of.most ? Math.min(1, v / of.most) : 0) * (height - 4);
    context.strokeStyle = paint("--line");
    context.lineWidth = 1;
    for (const part of [0, 0.5, 1]) {
      const at = Math.round(height - 1.5 - part * (height - 4)) + 0.5;
      context.beginPath();
      context.moveTo(0, at);
      context.lineTo(width, at);
      context.stroke();
    }
    of.colours.forEach((name, index) => {
      if (of.points.length === 0) return;
      context.beginPath();
      of.points.forEach((point, n) => context[n ? "lineTo" : "moveTo"](x(point.at), y(point.values[index] ?? 0)));
      context.strokeStyle = paint(name);
      context.lineWidth = 1.5;
      context.lineJoin = "round";
      context.stroke();
      if (index === 0) {
        context.lineTo(x(of.points[of.points.length - 1].at), height);
        context.lineTo(x(of.points[0].at), height);
        context.globalAlpha = 0.14;
        context.fillStyle = paint(name);
        context.fill();
        context.globalAlpha = 1;
      }
    });
  };
  return h("canvas", { class: "curves", role: "img", "aria-label": of.label, ref: draw });
}

/**
 * Agents as squares, in the order given.
 * @param {{tiles: {id: string, part: number, state: string, title: string}[], label: string, onpick: (id: string) => void, onhover: (index: number, x: number, y: number) => void, hovered: number}} of
 *   `part`: how much of it is allocated, from 0 to 1; `state`: "" where it is as it should be
 */
export function map(of) {
  /** @type {HTMLCanvasElement | null} */
  let canvas = null;
  const layout = () => {
    const width = canvas?.clientWidth ?? 0;
    const many = of.tiles.length;
    // As large as they may be so that all fit into the height that a map may have.
    let side = 28;
    while (side > 4 && Math.ceil(many / Math.max(1, Math.floor(width / side))) * side > 280) side -= 1;
    return { side, columns: Math.max(1, Math.floor(width / side)), width };
  };

  /** @param {HTMLCanvasElement} element */
  const draw = (element) => {
    canvas = element;
    const { side, columns, width } = layout();
    if (!width) return;
    const context = sized(element, width, Math.max(side, Math.ceil(of.tiles.length / columns) * side));
    const gap = side > 8 ? 2 : 1;
    const [full, empty, edge, warn, busy] = ["--accent", "--well", "--text", "--bad", "--warn"].map(paint);
    of.tiles.forEach((tile, index) => {
      const [left, top] = [(index % columns) * side, Math.floor(index / columns) * side];
      context.globalAlpha = 1;
      context.fillStyle = empty;
      context.fillRect(left, top, side - gap, side - gap);
      context.globalAlpha = 0.08 + 0.92 * Math.min(1, tile.part);
      context.fillStyle = full;
      if (tile.part > 0) context.fillRect(left, top, side - gap, side - gap);
      context.globalAlpha = 1;
      if (tile.state) {
        // A corner, so that it is not told by colour alone.
        context.fillStyle = tile.state === "warn" ? warn : busy;
        const corner = Math.max(3, (side - gap) * (tile.state === "warn" ? 1 : 0.55));
        context.beginPath();
        context.moveTo(left, top);
        context.lineTo(left + corner, top);
        context.lineTo(left, top + corner);
        context.fill();
      }
      if (index === of.hovered) {
        context.strokeStyle = edge;
        context.lineWidth = 1.5;
        context.strokeRect(left + 0.5, top + 0.5, side - gap - 1, side - gap - 1);
      }
    });
  };

  /** @param {MouseEvent} event */
  const under = (event) => {
    const { side, columns } = layout();
    const column = Math.floor(event.offsetX / side);
    const index = Math.floor(event.offsetY / side) * columns + column;
    return column < columns && index < of.tiles.length ? index : -1;
  };
  return h("canvas", {
    class: "map",
    role: "img",
    "aria-label": of.label,
    ref: draw,
    onmousemove: (/** @type {MouseEvent} */ event) => of.onhover(under(event), event.offsetX, event.offsetY),
    onmouseleave: () => of.onhover(-1, 0, 0),
    onclick: (/** @type {MouseEvent} */ event) => {
      const index = under(event);
      if (index >= 0) of.onpick(of.tiles[index].id);
    },
  });
}
