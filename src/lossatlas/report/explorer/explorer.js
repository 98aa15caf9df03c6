// Draws two surfaces side by side from the data in #content. All state is in the form elements and the cameras.
"use strict";
(function () {
  const SIDES = ["left", "right"];
  const WORDS = {
    train_loss: ["training loss", "nats per example"],
    test_loss: ["test loss", "nats per example"],
    train_error: ["training error", "%"],
    test_error: ["test error", "%"],
  };
  const home = () => { // farther away on a narrow screen, where the axes' labels would not fit
    const far = innerWidth < 640 ? 1.4 : 1;
    return { eye: { x: 1.6 * far, y: -1.6 * far, z: 1.1 * far }, center: { x: 0, y: 0, z: -0.15 } };
  };
  const FLATTEST = 4; // length over width of a plane up to which both axes have one scale, seen from above
  const night = matchMedia("(prefers-color-scheme: dark)");
  const RATIO = [-3, 0]; // log10: as in the report's figure
  const content = JSON.parse(document.getElementById("content").textContent);
  const entries = new Map(content.entries.map((entry) => [entry.id, entry]));
  const get = (id) => document.getElementById(id);
  const cameras = { left: home(), right: home() };
  let following = false;

  function floats(packed) {
    const text = atob(packed.f4);
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  }

  function rows(packed) {
    const flat = floats(packed), width = packed.shape[1];
    return Array.from({ length: packed.shape[0] }, (_, i) => flat.subarray(i * width, (i + 1) * width));
  }

  function number(value, digits = 3) {
    if (!Number.isFinite(value)) return "no value";
    const size = Math.abs(value);
    if (size >= 1e6 || (size > 0 && size < 1e-4)) return value.toExponential(digits - 1).replace("e+", "e");
    return String(Number(value.toPrecision(digits)));
  }

  // ---- what a panel shows
  function chosen(side) {
    const entry = entries.get(get(side).value);
    if (!entry) return null;
    const frame = entry.frames[Math.min(Number(get(side + "-frame").value), entry.frames.length - 1)];
    return { side, entry, frame, found: frame.quantities[get("quantity").value] };
  }

  function finite(list) {
    return list.flatMap((row) => Array.from(row)).filter(Number.isFinite);
  }

  // Limits over every epoch of the entries, so that a slider does not move the scale.
  function limits(shown, log, cap) {
    const values = shown.flatMap((item) =>
      item.entry.frames.flatMap((frame) => {
        const found = frame.quantities[get("quantity").value];
        return found ? finite(rows(found.values)) : [];
      }));
    const positive = values.filter((value) => value > 0);
    const floor = positive.length ? smallest(positive) / 2 : 1e-6;
    let low = values.length ? smallest(values) : 0, high = values.length ? Math.min(largest(values), cap) : 1;
    if (log) low = low > 0 ? low : floor;
    if (!(high > low)) high = low + Math.max(Math.abs(low) * 0.1, 1e-6);
    return { low, high, floor };
  }
  const smallest = (list) => list.reduce((a, b) => Math.min(a, b), Infinity);
  const largest = (list) => list.reduce((a, b) => Math.max(a, b), -Infinity);

  // ---- eigenvalues: the nearest point of the map
  function nearest(map, x, y) {
    let best = -1, least = Infinity;
    for (let i = 0; i < map.x.length; i++) {
      const distance = (map.x[i] - x) ** 2 + (map.y[i] - y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  function eigenvalues(entry, frame) {
    if (!entry.eigenvalues || frame !== entry.frames[entry.frames.length - 1]) return null;
    return Object.fromEntries(Object.entries(entry.eigenvalues).map(([name, packed]) => [name, floats(packed)]));
  }

  const ratioAt = (map, i) => Math.abs(map.min[i] / map.max[i]);

  function eigenWords(map, i) {
    const ends = ["max", "min"].map((end) => `λ${end} ${number(map[end][i], 4)}, residual ${number(map[end + "_residual"][i], 2)}`);
    const state = map.converged[i] ? "converged" : "not converged";
    return `${ends.join("<br>")}<br>|λmin / λmax| ${number(ratioAt(map, i))}, ${state}<br>at (${number(map.x[i])}, ${number(map.y[i])})`;
  }

  // ---- hovered words: the true value, its error and the number of images
  function valueWords(found, frame, i, j, grids) {
    const [name, unit] = WORDS[get("quantity").value];
    const source = get("quantity").value.split("_")[0];
    let text = `${name} ${number(grids.values[i][j], 4)} ${unit}`;
    if (!grids.se) return `${text}<br>exact, over ${frame.images[source] ?? "all"} images`;
    const n = grids.n[i][j], se = grids.se[i][j];
    return se > 0 ? `${text} ± ${number(se, 2)}<br>standard error, from ${n} of ${frame.images[source]} images`
      : `${text}<br>exact, over ${n} images`;
  }

  function hover(item, x, y, grids, map) {
    return grids.values.map((row, i) => Array.from(row, (_, j) => {
      const at = `(${number(x[j])}, ${number(y[i])})`;
      const text = `${at}<br>${valueWords(item.found, item.frame, i, j, grids)}`;
      return map && get("colour").value === "ratio" ? `${text}<br>nearest point of the map:<br>${eigenWords(map, nearest(map, x[j], y[i]))}` : text;
    }));
  }

  // ---- lines on the surface: bilinear between its points, nothing outside
  function heightAt(x, y, heights, px, py) {
    const find = (axis, value) => {
      for (let i = 0; i + 1 < axis.length; i++) if (value >= axis[i] - 1e-6 && value <= axis[i + 1] + 1e-6) return i;
      return -1;
    };
    const j = find(x, px), i = find(y, py);
    if (i < 0 || j < 0) return NaN;
    const u = (px - x[j]) / (x[j + 1] - x[j]), v = (py - y[i]) / (y[i + 1] - y[i]);
    const mix = (a, b, t) => (t <= 0 ? a : t >= 1 ? b : a * (1 - t) + b * t);
    return mix(mix(heights[i][j], heights[i][j + 1], u), mix(heights[i + 1][j], heights[i + 1][j + 1], u), v);
  }

  function finer(list) { // points between, so that a straight piece follows the surface
    const between = 6;
    return list.flatMap((value, i) => i + 1 < list.length
      ? Array.from({ length: between }, (_, k) => value + (list[i + 1] - value) * (k / between)) : [value]);
  }

  function pathTraces(path, x, y, heights, flat, log) {
    const px = Array.from(floats(path.x)), py = Array.from(floats(path.y));
    const place = (xs, ys, up = 2) => {
      const zs = xs.map((value, k) => heightAt(x, y, heights, value, ys[k]));
      return flat ? { type: "scatter", x: xs, y: ys } : { type: "scatter3d", x: xs, y: ys, z: zs.map((z) => lifted(z, log, up)) };
    };
    const small = px.length > 30;
    const traces = [];
    if (path.line) {
      for (const [color, width, up] of [["#ffffff", flat ? 4 : 10, 1], ["#1f2328", flat ? 1.8 : 4, 2]]) {
        traces.push({ ...place(finer(px), finer(py), up), mode: "lines", line: { color, width }, hoverinfo: "skip", showlegend: false });
      }
    }
    traces.push({
      ...place(px, py), mode: "markers", name: path.name, showlegend: false, hoverinfo: "text",
      text: path.labels.map((label) => `${path.name}<br>${label}`),
      marker: { size: path.line ? (flat ? (small ? 3.5 : 7) : small ? 2 : 4) : flat ? 10 : 7, color: path.line ? "#1f2328" : "#ffffff", line: { color: "#1f2328", width: flat ? 1.5 : 2 } },
    });
    return traces;
  }
  // out of the surface, which would hide lines in it: by steps of 0.4 % of the height of the box
  let step = 0;
  const lifted = (z, log, up = 2) => (log ? 10 ** (Math.log10(z) + up * step) : z + up * step);

  function eigenTrace(map, x, y, heights, flat, log) {
    const points = Array.from(map.x, (_, i) => i).filter((i) => Number.isFinite(ratioAt(map, i)));
    const xs = points.map((i) => map.x[i]), ys = points.map((i) => map.y[i]);
    const place = flat ? { type: "scatter" } : { type: "scatter3d", z: points.map((i) => lifted(heightAt(x, y, heights, map.x[i], map.y[i]), log)) };
    return {
      ...place, x: xs, y: ys, mode: "markers", hoverinfo: "text", showlegend: false, text: points.map((i) => eigenWords(map, i)),
      marker: { size: flat ? 8 : 4, symbol: points.map((i) => (map.converged[i] ? "circle" : "x")), color: "#ffffff", line: { color: "#1f2328", width: 1 } },
    };
  }

  // ---- colours
  function ticks(low, high) { // of a logarithmic bar: 1, 2 and 5 of every decade, or whole decades
    const steps = high - low > 3 ? [1] : [1, 2, 5], values = [];
    for (let decade = Math.floor(low); decade <= Math.ceil(high); decade++) {
      for (const step of steps) {
        const value = Math.log10(step) + decade;
        if (value >= low - 1e-9 && value <= high + 1e-9) values.push(value);
      }
    }
    return { tickvals: values, ticktext: values.map((value) => number(10 ** value, 3)) };
  }

  function decades(low, high) { // ticks of a logarithmic axis, in values
    const { tickvals, ticktext } = ticks(low, high);
    return { tickvals: tickvals.map((value) => 10 ** value), ticktext };
  }

  function colouring(heights, range, map, x, y, log) {
    const [name, unit] = WORDS[get("quantity").value];
    if (map && get("colour").value === "ratio") {
      const values = heights.map((row, i) => row.map((_, j) => Math.log10(ratioAt(map, nearest(map, x[j], y[i])))));
      return { values, low: RATIO[0], high: RATIO[1], colorscale: "Cividis", bar: { title: { text: "|λmin / λmax|" }, ...ticks(...RATIO) } };
    }
    const to = (value) => (log ? Math.log10(value) : value);
    const bar = { title: { text: `${name}, ${unit}` }, ...(log ? ticks(to(range.low), to(range.high)) : {}) };
    const colorscale = get("quantity").value.endsWith("loss") ? "Viridis" : "Cividis";
    return { values: heights.map((row) => row.map(to)), low: to(range.low), high: to(range.high), colorscale, bar };
  }

  // ---- a panel
  function draw(side, range) {
    const item = chosen(side), box = get(side + "-plot");
    if (!item) { get(side + "-about").textContent = "No surface was computed."; return; }
    if (!item.found) {
      Plotly.purge(box);
      describe(item, null);
      return;
    }
    const flat = get("view").value === "contour", log = get("log").checked, cap = Number(get("cap").value);
    const x = Array.from(floats(item.entry.x)), y = Array.from(floats(item.entry.y));
    const grids = Object.fromEntries(Object.entries(item.found).map(([name, packed]) => [name, rows(packed)]));
    const drawn = (value) => (Number.isFinite(value) ? Math.min(log ? Math.max(value, range.floor) : value, cap) : NaN);
    const heights = grids.values.map((row) => Array.from(row, drawn));
    const map = eigenvalues(item.entry, item.frame);
    step = 0.004 * (log ? Math.log10(range.high / range.low) : range.high - range.low);
    const colour = colouring(heights, range, map, x, y, log);
    const shared = {
      x, y, text: hover(item, x, y, grids, map), hoverinfo: "text", colorscale: colour.colorscale,
      colorbar: { ...colour.bar, thickness: 14, len: 0.8, outlinewidth: 0, title: { ...colour.bar.title, side: "right" } },
    };
    const trace = flat
      ? { ...shared, type: "contour", z: colour.values, zmin: colour.low, zmax: colour.high, zauto: false,
        contours: { start: colour.low, end: colour.high, size: (colour.high - colour.low) / 24 }, line: { width: 0.6 }, connectgaps: false }
      : { ...shared, type: "surface", z: heights, surfacecolor: colour.values, cmin: colour.low, cmax: colour.high, cauto: false,
        contours: { x: grid(x), y: grid(y) }, lighting: { ambient: 0.85, diffuse: 0.3, specular: 0.05 }, connectgaps: false };
    const extra = item.entry.paths.flatMap((path) => pathTraces(path, x, y, heights, flat, log));
    if (map && get("colour").value === "ratio") extra.push(eigenTrace(map, x, y, heights, flat, log));
    Plotly.react(box, [trace, ...extra], layout(item, side, flat, log, range), { responsive: true, displaylogo: false });
    describe(item, grids);
  }

  function grid(axis) { // the lines of the sampled grid, drawn on the surface
    if (axis.length < 2 || axis.length > 60) return { show: false, highlight: false };
    return { show: true, start: axis[0], end: axis[axis.length - 1], size: (axis[axis.length - 1] - axis[0]) / (axis.length - 1), color: "rgba(0,0,0,0.28)", width: 1, highlight: false };
  }

  function layout(item, side, flat, log, range) {
    const [xTitle, yTitle] = item.entry.titles;
    const common = { margin: { l: 0, r: 0, t: 8, b: 0 }, font: { size: 12, color: look("--ink") }, paper_bgcolor: look("--field"), plot_bgcolor: look("--field"), uirevision: side };
    const lines = { gridcolor: look("--line"), zerolinecolor: look("--quiet"), linecolor: look("--quiet") };
    if (flat) {
      return { ...common, margin: { l: 60, r: 10, t: 12, b: 50 }, uirevision: item.entry.id, xaxis: { title: { text: xTitle }, constrain: "domain", ...lines },
        yaxis: { title: { text: yTitle }, constrain: "domain", ...lines, ...(flatness(item.entry) ? { scaleanchor: "x" } : {}) } };
    }
    const ends = [range.low, range.high].map((value) => (log ? Math.log10(value) : value));
    const gap = 0.03 * (ends[1] - ends[0]);
    return {
      ...common,
      scene: {
        camera: cameras[side], aspectmode: "manual", aspectratio: { x: 1, y: 1, z: 0.75 },
        xaxis: { title: { text: shortened(xTitle) }, nticks: 6, ...lines }, yaxis: { title: { text: shortened(yTitle) }, nticks: 6, ...lines },
        zaxis: { title: { text: "" }, ...lines, type: // no title: it does not fit beside the axis, and the control says what the height is
          log ? "log" : "linear", range: [ends[0] - gap, ends[1] + gap], ...(log ? decades(...ends) : {}) },
      },
    };
  }
  const look = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // How many times longer x is than y, in distances.
  function length(entry) {
    const [x, y] = [floats(entry.x), floats(entry.y)].map((axis) => axis[axis.length - 1] - axis[0]);
    return x / y;
  }
  const flatness = (entry) => length(entry) <= FLATTEST && length(entry) >= 1 / FLATTEST;

  function stretched(entry) { // in words, how a picture departs from true proportions
    const times = length(entry), flat = get("view").value === "contour";
    if (!(Math.abs(times - 1) > 0.02) || (flat && flatness(entry))) return "";
    return times > 1 ? `The ${flat ? "vertical" : "second"} axis is drawn about ${number(times, 2)} times longer than the other one.`
      : `The ${flat ? "horizontal" : "first"} axis is drawn about ${number(1 / times, 2)} times longer than the other one.`;
  }
  const shortened = (title) => title.split(",")[0];

  function describe(item, grids) {
    const { entry, frame, side } = item, [name, unit] = WORDS[get("quantity").value];
    const parts = [`${entry.title}${entry.about ? ", " + entry.about : ""}.`];
    if (!grids) parts.push(`It has no ${name}.`);
    else {
      const values = finite(grids.values), missing = grids.values.length * grids.values[0].length - values.length;
      const source = get("quantity").value.split("_")[0];
      parts.push(`${grids.values[0].length} × ${grids.values.length} points; ${name} from ${number(smallest(values))} to ${number(largest(values))} ${unit}, ` +
        (frame.sampled ? `estimated from samples of ${frame.images[source]} images.` : `each the mean over ${frame.images[source] ?? "all"} images.`));
      if (missing) parts.push(`${missing} points have no finite value and are holes.`);
      const cut = values.filter((value) => value > Number(get("cap").value)).length;
      if (cut) parts.push(`${cut} points above ${number(Number(get("cap").value), 6)} are drawn at that height.`);
    }
    if (grids && stretched(entry)) parts.push(stretched(entry));
    if (frame.note) parts.push(frame.note + ".");
    if (get("colour").value === "ratio") {
      const map = eigenvalues(entry, frame);
      parts.push(map ? `Colours: |λmin / λmax| at ${map.x.length} points.` : "No eigenvalues were computed here; colours show the height.");
    }
    get(side + "-about").textContent = parts.join(" ");
    get(side + "-plot").setAttribute("aria-label", `${entry.title}: ${name}`);
  }

  // ---- everything
  function update() {
    const shown = SIDES.map(chosen).filter(Boolean), log = get("log").checked, cap = Number(get("cap").value);
    const both = get("shared").checked ? limits(shown, log, cap) : null;
    for (const side of SIDES) {
      const item = chosen(side);
      draw(side, both ?? limits(item ? [item] : [], log, cap));
    }
    const state = SIDES.map((side) => `${side}=${encodeURIComponent(get(side).value)}`).join("&");
    try { history.replaceState(null, "", "#" + state); } catch { /* some browsers refuse it for local files */ }
  }

  function frames(side) {
    const entry = entries.get(get(side).value), slider = get(side + "-frame");
    const count = entry ? entry.frames.length : 1;
    slider.max = String(count - 1);
    slider.value = slider.max;
    get(side + "-epochs").hidden = count < 2;
    epochWords(side);
  }

  function epochWords(side) {
    const entry = entries.get(get(side).value);
    if (!entry) return;
    const frame = entry.frames[Number(get(side + "-frame").value)], last = entry.frames[entry.frames.length - 1];
    get(side + "-epoch").textContent = `${frame.epoch} of ${last.epoch}`;
    get(side + "-frame").setAttribute("aria-valuetext", `epoch ${frame.epoch} of ${last.epoch}`);
  }

  function turned(side, event) {
    const camera = event["scene.camera"];
    if (!camera) return;
    cameras[side] = camera;
    const other = side === "left" ? "right" : "left";
    if (following || !get("together").checked || !get(other + "-plot")._fullLayout?.scene) return;
    following = true;
    cameras[other] = camera;
    Plotly.relayout(other + "-plot", { "scene.camera": camera }).then(() => { following = false; });
  }

  function fill() {
    const has = (name) => content.entries.some((entry) => entry.frames.some((frame) => frame.quantities[name]));
    for (const [value, [name]] of Object.entries(WORDS)) if (has(value)) get("quantity").add(new Option(name, value));
    const wanted = new URLSearchParams(location.hash.slice(1));
    SIDES.forEach((side, i) => {
      const groups = new Map();
      for (const entry of content.entries) {
        if (!groups.has(entry.group)) {
          const group = document.createElement("optgroup");
          group.label = entry.group;
          groups.set(entry.group, get(side).appendChild(group));
        }
        groups.get(entry.group).append(new Option(entry.title + (entry.frames.length > 1 ? ", several epochs" : ""), entry.id));
      }
      const first = [wanted.get(side), content.first[i], content.first[0]].find((id) => entries.has(id));
      if (first) get(side).value = first;
      frames(side);
    });
  }

  function linked() { // another address, by hand or by the browser's back button, chooses other surfaces
    const wanted = new URLSearchParams(location.hash.slice(1));
    for (const side of SIDES) {
      if (!entries.has(wanted.get(side)) || wanted.get(side) === get(side).value) continue;
      get(side).value = wanted.get(side);
      frames(side);
    }
    update();
  }

  fill();
  update();
  addEventListener("hashchange", linked);
  night.addEventListener("change", update);
  for (const id of ["quantity", "colour", "view", "cap", "log", "shared"]) get(id).addEventListener("change", update);
  for (const side of SIDES) {
    get(side).addEventListener("change", () => { frames(side); update(); });
    get(side + "-frame").addEventListener("input", () => { epochWords(side); update(); });
    if (entries.size) for (const name of ["plotly_relayout", "plotly_relayouting"]) get(side + "-plot").on?.(name, (event) => turned(side, event));
  }
  get("reset").addEventListener("click", () => {
    for (const side of SIDES) {
      cameras[side] = home();
      if (get(side + "-plot")._fullLayout?.scene) Plotly.relayout(side + "-plot", { "scene.camera": cameras[side] });
      else if (get(side + "-plot")._fullLayout) Plotly.relayout(side + "-plot", { "xaxis.autorange": true, "yaxis.autorange": true });
    }
  });
})();
