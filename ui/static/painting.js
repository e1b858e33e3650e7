// Painting over the photo, with a brush or cell by cell.

const PAUSE = 350; // milliseconds after the last stroke until the model is asked
const BRUSH = 0.045; // radius, as a share of the longer side

export function coverCell(view, cell) {
  const there = view.strokes.findIndex((stroke) => stroke.cell === cell);
  if (there >= 0) view.strokes.splice(there, 1);
  else view.strokes.push({ cell });
}

export function beginStroke(view, event, place, cell) {
  event.preventDefault();
  if (view.byCell) {
    repaint(view, () => coverCell(view, cell));
    return;
  }
  view.part.canvas.setPointerCapture(event.pointerId);
  view.stroke = { radius: BRUSH, points: [place] };
  view.strokes.push(view.stroke);
  view.draw();
}

export function extendStroke(view, [x, y]) {
  const [oldX, oldY] = view.stroke.points[view.stroke.points.length - 1];
  if (Math.hypot(x - oldX, y - oldY) < BRUSH / 4) return;
  view.stroke.points.push([x, y]);
  view.draw();
}

export function endStroke(view) {
  if (!view.stroke) return;
  view.stroke = null;
  repaint(view, () => {});
}

// Paints and asks the model. `covering` is the click that it came from, if it was one.
export function repaint(view, change, covering = null) {
  change();
  view.draw();
  clearTimeout(view.asking);
  const rounded = view.strokes.map((stroke) =>
    stroke.points
      ? { ...stroke, points: stroke.points.map((p) => p.map((c) => Number(c.toFixed(4)))) }
      : stroke,
  );
  view.asking = setTimeout(() => {
    view.asking = null;
    view.trigger("paint", { strokes: rounded, covering });
  }, PAUSE);
}

export function drawStrokes(view, pen, width, height) {
  const fill = view.value.fill || [127, 127, 127];
  const colour = "rgb(" + fill.join(", ") + ")";
  pen.fillStyle = colour;
  pen.strokeStyle = colour;
  pen.lineCap = "round";
  pen.lineJoin = "round";
  // A brush is round on the photo, and not where that is drawn stretched.
  const [wide, high] = view.value.size || [width, height];
  const longer = Math.max(wide, high);
  for (const stroke of view.strokes) {
    if (stroke.cell !== undefined) {
      const [h, w] = view.value.grid;
      const x = ((stroke.cell % w) * width) / w;
      const y = (Math.floor(stroke.cell / w) * height) / h;
      pen.fillRect(x, y, width / w, height / h);
      continue;
    }
    pen.save();
    pen.scale(width / wide, height / high);
    pen.lineWidth = 2 * stroke.radius * longer;
    pen.beginPath();
    stroke.points.forEach(([x, y], i) => {
      if (i) pen.lineTo(x * wide, y * high);
      else pen.moveTo(x * wide, y * high);
    });
    if (stroke.points.length === 1) {
      const [x, y] = stroke.points[0];
      pen.lineTo(x * wide + 0.01, y * high);
    }
    pen.stroke();
    pen.restore();
  }
}
