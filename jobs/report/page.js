"use strict";
// Draws packs from the data of the page. Text of the data set only ever becomes textContent, never markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const ROW = 20, GAP = 4, LABEL = 80;
  const KINDS = ["text", "image", "video", "marker", "discrete", "pad"];
  const KIND_NAMES = ["text", "image", "video", "markers", "visual ids", "padding"];
  const HUES = [212, 28, 150, 280, 48, 338, 186, 96];
  const HEAT = [[49, 54, 110], [58, 120, 168], [96, 175, 140], [233, 196, 92], [214, 74, 52]];
  const [ID, CELLS, LENGTHS, IMAGES, TEXT, VISUAL, MARKERS, PADDING] = [0, 1, 2, 3, 4, 5, 6, 7];
  const list = $("list"), canvas = $("canvas"), detail = $("detail"), tip = $("tip"), active = $("active");
  const numbers = new Intl.NumberFormat("en-US");
  const format = (value) => numbers.format(value);
  const plural = (amount, noun) => `${format(amount)} ${noun}${amount === 1 ? "" : "s"}`;
  let chosen = 0, byDocument = true, colors = {};

  function make(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "class") made.className = value;
      else made.setAttribute(key, value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  const isDark = () => {
    const theme = document.documentElement.dataset.theme;
    return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };

  function readColors() {
    const probe = make("span");
    document.body.append(probe);
    for (const name of [...KINDS, "select", "ink", "soft", "line", "accent"]) {
      probe.style.color = `var(--${name})`;
      colors[name] = getComputedStyle(probe).color;
    }
    probe.remove();
  }

  // Neighbouring documents differ in hue; what is visual is the stronger of two shades.
  function documentColor(index, kind) {
    const visual = kind === 1 || kind === 2 || kind === 4;
    const light = isDark() ? (visual ? 64 : 38) : (visual ? 46 : 76);
    return `hsl(${HUES[index % HUES.length]} ${visual ? 62 : 42}% ${light}%)`;
  }

  function sharp(target, width, height) {
    const ratio = window.devicePixelRatio || 1;
    target.width = Math.max(1, Math.round(width * ratio));
    target.height = Math.max(1, Math.round(height * ratio));
    target.style.width = `${width}px`;
    target.style.height = `${height}px`;
    const pen = target.getContext("2d");
    pen.scale(ratio, ratio);
    return pen;
  }

  const lengthOf = (pack) => pack[TEXT] + pack[VISUAL] + pack[MARKERS] + pack[PADDING];
  const fillOf = (pack) => 1 - pack[PADDING] / lengthOf(pack);
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  function drawBar(pen, pack, left, top, width, height, documents) {
    const cells = pack[CELLS], total = lengthOf(pack);
    let index = 0, end = pack[LENGTHS].length ? pack[LENGTHS][0] : 0;
    for (let first = 0, i = 0; i <= cells.length; i++) {
      const middle = (i + 0.5) * total / cells.length;
      let next = index, nextEnd = end;
      while (middle >= nextEnd && next < pack[LENGTHS].length - 1) nextEnd += pack[LENGTHS][++next];
      const same = i < cells.length && i > first && cells[i] === cells[first] && (!documents || next === index);
      if (i > first && !same) {
        const kind = Number(cells[first]);
        pen.fillStyle = documents && kind !== 5 ? documentColor(index, kind) : colors[KINDS[kind]];
        const x = left + first * width / cells.length;
        pen.fillRect(x, top, left + i * width / cells.length - x, height);
        first = i;
      }
      index = next;
      end = nextEnd;
    }
  }

  function drawList() {
    const width = list.clientWidth, height = list.clientHeight;
    const pen = sharp(canvas, width, height);
    pen.font = "12px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
    pen.textBaseline = "middle";
    const first = Math.floor(list.scrollTop / ROW);
    for (let i = first; i < data.bars.length && i * ROW < list.scrollTop + height; i++) {
      const top = i * ROW - list.scrollTop;
      if (i === chosen) {
        pen.fillStyle = colors.select;
        pen.fillRect(0, top, width, ROW);
        pen.fillStyle = colors.accent;
        pen.fillRect(0, top, 3, ROW);
      }
      pen.fillStyle = i === chosen ? colors.ink : colors.soft;
      pen.textAlign = "right";
      pen.fillText(String(i), LABEL - 40, top + ROW / 2 + 0.5);
      pen.fillText(`${Math.floor(100 * fillOf(data.bars[i]))}%`, LABEL - 5, top + ROW / 2 + 0.5);
      drawBar(pen, data.bars[i], LABEL, top + GAP / 2, width - LABEL - 6, ROW - GAP, byDocument);
    }
  }

  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; drawList(); });
  }

  function layList() {
    // The canvas stands in the flow above the spacer, so the two together are as high as all rows.
    $("spacer").style.height = `${Math.max(0, data.bars.length * ROW - list.clientHeight)}px`;
    redraw();
  }

  function drawLegend() {
    const key = (color, name) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = color;
      return make("span", { class: "key" }, swatch, name);
    };
    const used = KINDS.map((name, kind) => kind).filter((kind) => data.bars.some((pack) => pack[CELLS].includes(kind)));
    const entries = byDocument
      ? [key(documentColor(0, 0), "text"), key(documentColor(0, 1), "image"), key(colors.pad, "padding"), "a colour is a document"]
      : used.map((kind) => key(colors[KINDS[kind]], KIND_NAMES[kind]));
    $("legend").replaceChildren(...entries);
  }

  function choose(index, { scroll = true } = {}) {
    if (!data.bars.length) return;
    chosen = Math.max(0, Math.min(data.bars.length - 1, index));
    const pack = data.bars[chosen];
    active.setAttribute("aria-setsize", data.bars.length);
    active.setAttribute("aria-posinset", chosen + 1);
    active.textContent = `Pack ${chosen}, ${percent(fillOf(pack))} full, ${plural(pack[LENGTHS].length, "document")}, ${plural(pack[IMAGES], "image")}`;
    if (scroll) {
      const top = chosen * ROW, bottom = top + ROW;
      if (top < list.scrollTop) list.scrollTop = top;
      if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
    }
    showPack();
    redraw();
  }

  function strip(label, draw) {
    const made = make("canvas", { role: "img", "aria-label": label });
    made.width = 1200;
    made.height = 28;
    draw(made.getContext("2d"), 1200, 28);
    return [make("span", {}, label), made];
  }

  function drawMask(pen, mask, width, height) {
    const total = mask.reduce((sum, length) => sum + length, 0);
    let start = 0;
    mask.forEach((length, i) => {
      pen.fillStyle = i % 2 ? colors.ink : colors.pad;
      pen.fillRect(start / total * width, 0, length / total * width, height);
      start += length;
    });
  }

  function showPack() {
    const pack = data.bars[chosen], whole = data.whole[chosen];
    const facts = `${percent(fillOf(pack))} full: ${format(pack[TEXT])} text, ${format(pack[VISUAL])} visual, ` +
      `${format(pack[MARKERS])} markers, ${format(pack[PADDING])} padding; ` +
      `${plural(pack[LENGTHS].length, "document")}, ${plural(pack[IMAGES], "image")}`;
    const strips = make("div", { class: "strip" },
      ...strip("documents", (pen, w, h) => drawBar(pen, pack, 0, 0, w, h, true)),
      ...strip("modality", (pen, w, h) => drawBar(pen, pack, 0, 0, w, h, false)),
      ...(whole ? strip("loss", (pen, w, h) => drawMask(pen, whole.mask, w, h)) : []));
    const parts = [make("h3", {}, `Pack ${chosen} `, make("code", {}, pack[ID])), make("p", { class: "facts" }, facts), strips];
    if (whole) {
      if (data.text_missing) parts.push(make("p", { class: "none" }, `Text is not shown: ${data.text_missing}`));
      parts.push(...whole.documents.map(documentOf));
    } else {
      parts.push(make("p", { class: "none" }, `Documents of ${pack[LENGTHS].map(format).join(", ")} tokens.`),
        make("p", { class: "none" }, "Its text: ", make("code", {}, `lodepack inspect OUT --pack ${chosen}`)));
    }
    detail.replaceChildren(...parts);
    detail.scrollTop = 0;
    detail.querySelectorAll(".stage").forEach((stage) => stage.paint && stage.paint());
  }

  const AXES = { 1: ["position"], 3: ["time", "height", "width"] };

  function documentOf(found, index) {
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = documentColor(index, 1);
    const [part, parts] = found.part;
    const spans = found.positions.map(([least, most]) => `${format(least)} to ${format(most)}`);
    const ranges = new Set(spans).size === 1
      ? `${spans[0]}${spans.length > 1 ? ` on ${spans.length} axes` : ""}`
      : spans.map((span, axis) => `${(AXES[spans.length] || [])[axis] || `axis ${axis}`} ${span}`).join(", ");
    const facts = [
      `tokens ${format(found.start)} to ${format(found.start + found.length - 1)} (${format(found.length)})`,
      `${format(found.trained)} trained`, `positions: ${ranges}`,
      ...(parts > 1 ? [`part ${part} of ${parts}`] : []), ...(found.copy ? [`copy ${found.copy + 1}`] : []),
    ].join(" · ");
    return make("article", { class: "document", "aria-label": `Document ${found.name}` },
      make("h4", {}, swatch, make("span", {}, found.name)), make("p", { class: "facts" }, facts),
      ...found.content.map((piece) => ("image" in piece ? imageOf(piece) : wordsOf(piece))));
  }

  function wordsOf(piece) {
    const trained = piece.trained === piece.tokens ? "" : piece.trained ? `${format(piece.trained)} trained` : "not trained";
    const note = `${plural(piece.tokens, "token")} from ${format(piece.start)}${trained ? `, ${trained}` : ""}`;
    return make("div", { class: piece.trained ? "words" : "words untrained" },
      piece.text === null ? "" : piece.text, make("small", {}, note));
  }

  function heatColor(value) {
    const place = Math.max(0, Math.min(0.9999, value)) * (HEAT.length - 1), low = Math.floor(place), part = place - low;
    return `rgb(${HEAT[low].map((channel, i) => Math.round(channel + (HEAT[low + 1][i] - channel) * part)).join(" ")})`;
  }

  function stageOf([w, h], width, paint) {
    const scale = Math.min(width / w, 190 / h);
    const stage = make("div", { class: "stage" });
    stage.style.width = `${Math.max(24, w * scale)}px`;
    stage.style.aspectRatio = `${w} / ${h}`;
    paint(stage);
    return stage;
  }

  // Boxes are in shares of the stage; it is painted once it has a size.
  function cells(stage, rectangles, labels, name) {
    const made = make("canvas", { role: "img", "aria-label": name });
    stage.append(made);
    stage.paint = () => {
      const { width, height } = stage.getBoundingClientRect();
      const pen = sharp(made, width, height);
      made.style.width = made.style.height = "";
      for (const { box: [left, top, right, bottom], heat } of rectangles) {
        const x = left * width, y = top * height, w = (right - left) * width, h = (bottom - top) * height;
        pen.fillStyle = heatColor(heat);
        pen.fillRect(x, y, w, h);
        pen.strokeStyle = "rgba(255, 255, 255, .45)";
        pen.lineWidth = 0.5;
        pen.strokeRect(x, y, w, h);
      }
      writeOn(pen, labels, width, height);
    };
  }

  const panel = (stage, caption, kind = "panel") => make("figure", { class: kind }, stage, make("figcaption", {}, caption));
  const shareBox = ([left, top, right, bottom], [w, h]) => [left / w, top / h, right / w, bottom / h];

  function pictureStage(piece) {
    return stageOf(piece.shown, 310, (stage) => {
      stage.append(make("img", { src: piece.src, alt: `Image ${piece.image} put together from its views`, decoding: "async" }));
    });
  }

  // Heat is tokens for each pixel of the picture; the number is what the whole region has.
  function budgetStage(piece) {
    const tiles = piece.views.filter((view) => view.kind !== "whole");
    const shown = tiles.length ? tiles : piece.views;
    const density = (view) => view.tokens / Math.max(1, (view.box[2] - view.box[0]) * (view.box[3] - view.box[1]));
    const densest = Math.max(...shown.map(density));
    const regions = new Map();
    for (const view of shown) {
      const place = `${view.row},${view.col}`, box = shareBox(view.box, piece.picture), before = regions.get(place);
      const merged = before ? [0, 1, 2, 3].map((i) => (i < 2 ? Math.min : Math.max)(before.box[i], box[i])) : box;
      regions.set(place, { box: merged, tokens: (before ? before.tokens : 0) + view.tokens });
    }
    // Numbers stand in regions, since views may be bands too thin for one.
    const labels = [...regions.values()].map(({ box, tokens }) => ({ box, text: String(tokens) }));
    const rectangles = shown.map((view) => ({ box: shareBox(view.box, piece.picture), heat: density(view) / densest }));
    const name = `Tokens of ${plural(regions.size, "region")}: ${labels.map((one) => one.text).join(", ")}`;
    return stageOf(piece.picture, 150, (stage) => cells(stage, rectangles, labels, name));
  }

  function writeOn(pen, labels, width, height) {
    pen.font = "600 11px system-ui, 'DejaVu Sans', sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineWidth = 2.5;
    pen.strokeStyle = "rgba(0, 0, 0, .6)";
    pen.fillStyle = "#fff";
    for (const { box: [left, top, right, bottom], text } of labels) {
      if ((right - left) * width < 7 * text.length || (bottom - top) * height < 11) continue;
      const x = (left + right) / 2 * width, y = (top + bottom) / 2 * height;
      pen.strokeText(text, x, y);
      pen.fillText(text, x, y);
    }
  }

  function mapStage(piece, name) {
    const { rows, cols } = piece.relevance, values = piece.relevance[name];
    const rectangles = values.map((value, i) => {
      const row = Math.floor(i / cols), col = i % cols;
      return { box: [col / cols, row / rows, (col + 1) / cols, (row + 1) / rows], heat: value / 255, text: String(Math.round(100 * value / 255)) };
    });
    const label = `${name}, percent of ${rows} by ${cols} regions: ${rectangles.map((one) => one.text).join(", ")}`;
    return stageOf(piece.picture, 150, (stage) => cells(stage, rectangles, rectangles, label));
  }

  function imageOf(piece) {
    const [w, h] = piece.picture;
    const title = `image ${piece.image}${piece.member ? `, ${piece.member}` : ""}: ${w}x${h} px, ${plural(piece.tokens, "token")} from ${format(piece.start)}, ${plural(piece.views.length, "view")}`;
    const panels = [];
    if (piece.src) panels.push(panel(pictureStage(piece), "as its views show it", "panel wide"));
    else panels.push(make("p", { class: "panel none" }, "No picture: the output has no encoded pixels of it, or this page has as many as it may."));
    panels.push(panel(budgetStage(piece), "tokens: number of a region, heat by area"));
    if (piece.relevance) {
      const weights = piece.relevance.weights || [];
      ["propositional", "perspectival", "participatory", "combined"].forEach((name, i) => {
        if (!piece.relevance[name]) return;
        panels.push(panel(mapStage(piece, name), `${name} %${i < 3 && weights.length ? `, weighs ${(weights[i] / 10).toFixed(0)} %` : ""}`));
      });
    }
    return make("div", { class: "image" }, make("p", {}, title), make("div", { class: "panels" }, ...panels), viewsOf(piece));
  }

  function viewsOf(piece) {
    const rows = piece.views.map((view) => make("tr", {}, ...[
      view.kind, `${view.row}, ${view.col}`, view.box.join(", "), `${view.width}x${view.height}`, format(view.tokens),
      view.budget === null ? "–" : format(view.budget), view.relevance === null ? "–" : `${Math.round(view.relevance / 2.55)} %`,
    ].map((cell) => make("td", {}, cell))));
    const head = make("tr", {}, ...["kind", "row, column", "box", "rendered", "tokens", "budget", "relevance"].map((cell) => make("th", {}, cell)));
    return make("details", { class: "views" }, make("summary", {}, plural(piece.views.length, "view")),
      make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))));
  }

  function rowAt(event) {
    const index = Math.floor((event.clientY - list.getBoundingClientRect().top - list.clientTop + list.scrollTop) / ROW);
    return index >= 0 && index < data.bars.length ? index : null;
  }

  function showTip(event) {
    const index = rowAt(event);
    tip.hidden = index === null;
    if (tip.hidden) return;
    const pack = data.bars[index], whole = data.whole[index], total = lengthOf(pack);
    const share = (event.clientX - list.getBoundingClientRect().left - LABEL) / (list.clientWidth - LABEL - 6);
    const lines = [make("b", {}, `Pack ${index}, ${percent(fillOf(pack))} full`)];
    let start = 0;
    const place = pack[LENGTHS].findIndex((length) => (start += length) > share * total);
    if (share >= 0 && share < 1 && place >= 0) {
      const kind = Number(pack[CELLS][Math.floor(share * pack[CELLS].length)]);
      lines.push(`document ${place + 1} of ${pack[LENGTHS].length}, ${plural(pack[LENGTHS][place], "token")}; here ${KIND_NAMES[kind]}`);
      if (whole) lines.push(make("b", {}, whole.documents[place].name));
    } else {
      lines.push(share >= 0 && share < 1 ? plural(pack[PADDING], "token") + " of padding" : `${plural(pack[LENGTHS].length, "document")}, ${plural(pack[IMAGES], "image")}`);
    }
    tip.replaceChildren(...lines);
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
    tip.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18}px`;
  }

  const page = () => Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
  const MOVES = {
    ArrowDown: () => chosen + 1, ArrowUp: () => chosen - 1, PageDown: () => chosen + page(), PageUp: () => chosen - page(),
    Home: () => 0, End: () => data.bars.length - 1,
  };

  list.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter") detail.focus();
    else if (MOVES[event.key]) choose(MOVES[event.key]());
    else return;
    event.preventDefault();
  });
  detail.addEventListener("keydown", (event) => { if (event.key === "Escape") list.focus(); });
  list.addEventListener("scroll", () => { tip.hidden = true; redraw(); }, { passive: true });
  list.addEventListener("mousemove", showTip);
  list.addEventListener("mouseleave", () => { tip.hidden = true; });
  list.addEventListener("click", (event) => {
    const index = rowAt(event);
    if (index !== null) choose(index, { scroll: false });
  });

  function setMode(documents) {
    byDocument = documents;
    $("by-document").setAttribute("aria-pressed", documents);
    $("by-modality").setAttribute("aria-pressed", !documents);
    drawLegend();
    redraw();
  }
  $("by-document").addEventListener("click", () => setMode(true));
  $("by-modality").addEventListener("click", () => setMode(false));

  function repaint() {
    readColors();
    drawLegend();
    layList();
    if (data.bars.length) showPack();
  }
  $("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    repaint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  let laid = 0;
  new ResizeObserver(() => {
    if (laid === list.clientWidth) return layList();
    laid = list.clientWidth;
    layList();
    detail.querySelectorAll(".stage").forEach((stage) => stage.paint && stage.paint());
  }).observe(list);
  repaint();
  choose(0);
})();
