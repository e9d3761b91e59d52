"use strict";
// Looks up what was computed beforehand and shows it. It computes nothing that the page says, and all of it is shown as text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const sliders = { budget: byId("budget"), load: byId("load"), target: byId("target") };
  const SVG = "http://www.w3.org/2000/svg";
  const LIVE_AFTER_MS = 300;
  const EACH = 8;
  const W = 720, H = 380, LEFT = 84, RIGHT = 16, TOP = 16, BOTTOM = 52;
  let announcing = 0;

  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const drawn = (tag, attributes, text) => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const rowOf = (cells) => {
    const row = element("tr");
    cells.forEach((cell) => row.append(cell instanceof Node ? cell : element("td", cell)));
    return row;
  };
  const place = (name) => Number(sliders[name].value);
  const target = () => (place("target") ? data.targets[place("target") - 1] : null);
  const cellAt = (budget, load) => data.cells[data.at[budget][load]];

  // The chart: a scale for both axes, what never changes, and the point that was chosen.
  const all = [...data.curve.points, ...data.curve.singles, data.curve.oracle, ...data.cells];
  const times = all.map((point) => point.ms).filter((ms) => ms > 0);
  const lowest = Math.min(...all.map((point) => point.low));
  const range = { x: [Math.log(Math.min(...times) / 1.15), Math.log(Math.max(...times) * 1.15)], y: [Math.max(0, lowest - 0.02), 1.005] };
  const x = (ms) => LEFT + ((Math.log(Math.max(ms, Math.exp(range.x[0]))) - range.x[0]) / (range.x[1] - range.x[0])) * (W - LEFT - RIGHT);
  const y = (share) => H - BOTTOM - ((share - range.y[0]) / (range.y[1] - range.y[0])) * (H - TOP - BOTTOM);

  const ticksOfTime = () => {
    const found = [];
    for (let power = Math.floor(range.x[0] / Math.LN10); power <= range.x[1] / Math.LN10; power += 1) {
      for (const head of [1, 2, 5]) found.push(Number(`${head}e${power}`));
    }
    const inside = found.filter((ms) => Math.log(ms) >= range.x[0] && Math.log(ms) <= range.x[1]);
    return inside.length > 8 ? inside.filter((ms) => String(ms.toExponential()).startsWith("1")) : inside;
  };
  const ticksOfAccuracy = () => {
    const span = range.y[1] - range.y[0];
    const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((size) => span / size <= 7) || 0.2;
    const found = [];
    for (let k = Math.ceil(range.y[0] / step); k * step <= 1.0001; k += 1) found.push(k * step);
    return found;
  };
  const drawStill = () => {
    const chart = byId("chart");
    for (const ms of ticksOfTime()) {
      chart.append(drawn("line", { class: "grid", x1: x(ms), x2: x(ms), y1: TOP, y2: H - BOTTOM }));
      chart.append(drawn("text", { x: x(ms), y: H - BOTTOM + 20, "text-anchor": "middle", class: "quiet" }, String(ms)));
    }
    for (const share of ticksOfAccuracy()) {
      chart.append(drawn("line", { class: "grid", x1: LEFT, x2: W - RIGHT, y1: y(share), y2: y(share) }));
      chart.append(drawn("text", { x: LEFT - 8, y: y(share) + 5, "text-anchor": "end", class: "quiet" }, `${Math.round(100 * share)} %`));
    }
    chart.append(drawn("text", { x: (LEFT + W - RIGHT) / 2, y: H - 8, "text-anchor": "middle", class: "quiet" }, "mean time of a request (ms, log scale)"));
    const { points, singles, oracle } = data.curve;
    const top = points.map((point) => `${x(point.ms)},${y(point.high)}`);
    const bottom = points.map((point) => `${x(point.ms)},${y(point.low)}`).reverse();
    chart.append(drawn("polygon", { class: "band", points: [...top, ...bottom].join(" ") }));
    chart.append(drawn("polyline", { class: "curve", points: points.map((point) => `${x(point.ms)},${y(point.accuracy)}`).join(" ") }));
    if (points.length === 1) chart.append(drawn("circle", { class: "dot", cx: x(points[0].ms), cy: y(points[0].accuracy), r: 5 }));
    for (const single of singles) {
      chart.append(drawn("line", { class: "single", x1: x(single.ms), x2: x(single.ms), y1: y(single.low), y2: y(single.high) }));
      chart.append(drawn("rect", { class: "single", x: x(single.ms) - 5, y: y(single.accuracy) - 5, width: 10, height: 10 }));
      const name = single.name.length > 18 ? `${single.name.slice(0, 8)}…${single.name.slice(-8)}` : single.name;
      const side = x(single.ms) > W - 120 ? "end" : x(single.ms) < LEFT + 60 ? "start" : "middle";
      chart.append(drawn("text", { class: "single", x: x(single.ms), y: Math.min(y(single.low) + 18, H - BOTTOM - 4), "text-anchor": side }, name));
    }
    chart.append(drawn("circle", { class: "oracle", cx: x(oracle.ms), cy: y(oracle.accuracy), r: 6 }));
    chart.append(drawn("text", { class: "quiet", x: x(oracle.ms) + 11, y: y(oracle.accuracy) + 5 }, "oracle"));
    chart.append(drawn("g", { id: "moving" }));
    const body = byId("points").tBodies[0];
    for (const point of [...points, ...singles, oracle]) body.append(rowOf(point.said));
  };
  const drawChosen = (cell) => {
    const parts = [];
    const wanted = target();
    if (wanted) {
      parts.push(drawn("line", { class: "target", x1: LEFT, x2: W - RIGHT, y1: y(wanted.value), y2: y(wanted.value) }));
      parts.push(drawn("text", { class: "quiet", x: W - RIGHT, y: y(wanted.value) - 5, "text-anchor": "end" }, `wanted: ${wanted.text}`));
    }
    const cx = x(cell.ms), cy = y(cell.accuracy);
    parts.push(drawn("line", { class: "chosen whisker", x1: cx, x2: cx, y1: y(cell.low), y2: y(cell.high) }));
    parts.push(drawn("circle", { class: "chosen", cx, cy, r: 5 }));
    parts.push(drawn("circle", { class: "chosen ring", cx, cy, r: 10 }));
    byId("moving").replaceChildren(...parts);
    byId("chart-said").textContent = `Chosen: ${cell.said[0]} at a mean time of ${cell.said[2]}.`;
  };

  // What depends on the sliders, in words.
  const sentence = (cell) => {
    const budget = data.budgets[place("budget")], load = data.loads[place("load")];
    const within = budget === "no deadline" ? "Without a deadline" : `Within ${budget}`;
    const under = load === "no load" ? "no load" : `${load} on one lane`;
    return `${within} and with ${under}: ${cell.said[0]} right (${cell.said[1]}), ${cell.said[2]} on average.`;
  };
  const verdict = (cell) => {
    const said = [];
    if (cell.late) said.push("No stage fits this budget: the fastest answers all the same, late.");
    if (!data.carries[place("budget")][place("load")]) {
      said.push(`More than one lane carries: even the cheapest plan under this budget carries ${cell.said[5]}. The others would be refused.`);
    }
    const wanted = target();
    if (wanted) {
      const least = data.reach[place("load")][place("target") - 1];
      if (least < 0) said.push(`No budget reaches ${wanted.text} under this load.`);
      else if (cell.accuracy < wanted.value - 1e-9) said.push(`Below the ${wanted.text} that are wanted: they need ${data.budgets[least]}.`);
    }
    return said.join(" ");
  };
  const showFigures = (cell) => {
    const named = [["accuracy", cell.said[0]], ["interval", cell.said[1]], ["mean time", cell.said[2]], ["99 of 100 within", cell.said[3]],
      ["price of a millisecond", cell.said[4]], ["requests a lane carries", cell.said[5]]];
    byId("figures").replaceChildren(...named.filter(([, said]) => said !== "").map(([name, said]) => {
      const pair = element("div");
      pair.append(element("dt", name), element("dd", said));
      return pair;
    }));
  };
  const showPlan = (cell) => {
    byId("plan").hidden = !cell.words.length;
    byId("words").textContent = cell.words.map((line) => data.lines[line]).join("\n");
    byId("thresholds").tBodies[0].replaceChildren(...cell.thresholds.map((row) => rowOf(data.rows[row])));
  };
  const showMix = (cell) => {
    byId("mix").hidden = !cell.paths.length;
    byId("paths").tBodies[0].replaceChildren(...cell.paths.map(([path, share, said]) => {
      const bar = drawn("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
      bar.append(drawn("rect", { x: 0, y: 0, width: 100 * share, height: 10 }));
      const last = element("td");
      last.setAttribute("aria-hidden", "true");
      last.append(bar);
      return rowOf([data.paths[path], said, last]);
    }));
  };
  const exampleOf = (input, [, label, confidence, right]) => {
    const says = `says ${data.labels[label]}, sure ${confidence}`;
    const judged = right ? says : `${says}; wrong, it is ${input.label}`;
    const item = element("li", undefined, right ? "" : "wrong");
    if (input.picture) {
      item.classList.add("picture");
      const picture = element("img");
      picture.src = input.picture;
      picture.alt = `an input labelled ${input.label}`;
      item.append(picture);
    } else {
      item.append(element("div", input.text));
    }
    item.append(element("div", judged));
    return item;
  };
  const showExamples = (cell) => {
    byId("shown").hidden = !cell.examples.length;
    const groups = new Map();
    cell.examples.forEach((example, i) => {
      if (!groups.has(example[0])) groups.set(example[0], []);
      groups.get(example[0]).push(exampleOf(data.inputs[i], example));
    });
    const share = new Map(cell.paths.map(([path, , said]) => [path, said]));
    const length = (path) => data.paths[path].split(" > ").length;
    const ordered = [...groups.keys()].sort((a, b) => length(a) - length(b) || a - b);
    byId("examples").replaceChildren(...ordered.map((path) => {
      const block = element("div", undefined, "path"), head = element("h3", `${data.paths[path]} `), list = element("ul");
      head.append(element("span", share.has(path) ? `${share.get(path)} of the items` : "a rare path", "tag"));
      list.append(...groups.get(path).slice(0, EACH));
      block.append(head, list);
      return block;
    }));
  };

  const show = () => {
    const cell = cellAt(place("budget"), place("load"));
    const said = { budget: data.budgets[place("budget")], load: data.loads[place("load")], target: target() ? target().text : "any" };
    for (const [name, text] of Object.entries(said)) {
      byId(`${name}-said`).textContent = text;
      sliders[name].setAttribute("aria-valuetext", text);
    }
    byId("answer").textContent = sentence(cell);
    byId("verdict").textContent = verdict(cell);
    byId("verdict").hidden = !verdict(cell);
    showFigures(cell);
    drawChosen(cell);
    showPlan(cell);
    showMix(cell);
    showExamples(cell);
    window.clearTimeout(announcing);
    announcing = window.setTimeout(() => { byId("live").textContent = `${sentence(cell)} ${verdict(cell)}`; }, LIVE_AFTER_MS);
  };
  const follow = () => {
    if (!target()) return;
    const least = data.reach[place("load")][place("target") - 1];
    sliders.budget.value = String(least < 0 ? data.budgets.length - 1 : least);
  };

  sliders.budget.max = String(data.budgets.length - 1);
  sliders.load.max = String(data.loads.length - 1);
  sliders.target.max = String(data.targets.length);
  sliders.budget.value = String(Math.floor(data.budgets.length / 2));
  sliders.load.value = "0";
  sliders.target.value = "0";
  sliders.budget.addEventListener("input", show);
  sliders.load.addEventListener("input", show);
  sliders.target.addEventListener("input", () => { follow(); show(); });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("about").append(...data.about.map((line) => element("li", line)));
  drawStill();
  show();
  document.documentElement.dataset.ready = "true";
})();
