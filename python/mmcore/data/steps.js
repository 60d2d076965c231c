"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const run = document.getElementById("run");
  const letters = Array.from(data.letters);
  const count = data.moves.length / 2;
  const columns = letters.length <= 4096 ? 64 : letters.length <= 65536 ? 256 : 512;
  const rows = Math.ceil(letters.length / columns);
  const side = columns === 64 ? 12 : columns === 256 ? 4 : 2;
  let done = 0;
  let timer = null;

  const add = (tag, parent, fields) => parent.appendChild(Object.assign(document.createElement(tag), fields));
  const bar = add("p", run, { className: "bar" });
  const button = (textContent, title) => add("button", bar, { type: "button", textContent, title });
  const first = button("first", "before the first move");
  const back = button("back", "one move back (left arrow)");
  const play = button("play", "play or pause (space)");
  const next = button("next", "one move on (right arrow)");
  const last = button("last", "after the last move");
  const slider = add("input", bar, { type: "range", min: 0, max: count, value: 0, ariaLabel: "moves done" });
  const said = add("p", run, { role: "status" });
  const canvas = add("canvas", run, { width: columns * side, height: rows * side, role: "img" });
  canvas.ariaLabel = "the frames of the node as coloured squares";
  const legend = add("ul", run, { className: "legend" });
  const paint = canvas.getContext("2d");

  const place = (frame) => [(frame % columns) * side, Math.floor(frame / columns) * side];
  const square = (frame) => {
    const [x, y] = place(frame);
    paint.fillStyle = data.colors[letters[frame]] || "#ffffff";
    paint.fillRect(x, y, side, side);
    if (side > 4) {
      paint.strokeStyle = "#ffffff";
      paint.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
    }
  };
  const mark = (frame, color) => {
    const [x, y] = place(frame);
    paint.strokeStyle = color;
    paint.lineWidth = 2;
    paint.strokeRect(x + 1, y + 1, side - 2, side - 2);
    paint.lineWidth = 1;
  };
  const free = () => {
    let blocks = 0;
    for (let at = 0; at + data.pageblock <= letters.length; at += data.pageblock) {
      let whole = true;
      for (let i = at; whole && i < at + data.pageblock; i += 1) whole = letters[i] === ".";
      blocks += whole;
    }
    return blocks;
  };
  const move = (number) => [data.moves[2 * number], data.moves[2 * number + 1]];
  const swap = (number) => {
    const [source, target] = move(number);
    [letters[source], letters[target]] = [letters[target], letters[source]];
    square(source);
    square(target);
  };
  const show = (wanted) => {
    const to = Math.max(0, Math.min(count, wanted));
    if (done > 0) move(done - 1).forEach(square);
    while (done < to) swap(done++);
    while (done > to) swap(--done);
    slider.value = done;
    let text = `before the first of ${count} moves`;
    if (done > 0) {
      const [source, target] = move(done - 1);
      mark(source, "#dc2626");
      mark(target, "#000000");
      const what = data.kinds[letters[target]];
      text = `move ${done} of ${count}: frame ${source} (red) to frame ${target} (black), ${what}`;
    }
    said.textContent = `${text}; ${free()} whole pageblocks are free`;
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "play";
  };
  const toggle = () => {
    if (timer !== null) return stop();
    if (done === count) show(0);
    play.textContent = "pause";
    timer = setInterval(() => (done < count ? show(done + Math.max(1, Math.round(count / 600))) : stop()), 50);
    return undefined;
  };
  const go = (to) => {
    stop();
    show(to());
  };
  first.onclick = () => go(() => 0);
  back.onclick = () => go(() => done - 1);
  next.onclick = () => go(() => done + 1);
  last.onclick = () => go(() => count);
  play.onclick = toggle;
  slider.oninput = () => go(() => Number(slider.value));
  document.onkeydown = (event) => {
    const act = { ArrowLeft: back.onclick, ArrowRight: next.onclick, " ": toggle }[event.key];
    if (act && event.target === document.body) {
      event.preventDefault();
      act();
    }
  };
  for (const letter of new Set(letters)) {
    const item = add("li", legend, { textContent: `${letter} ${data.kinds[letter]}` });
    item.style.borderLeftColor = data.colors[letter];
  }
  for (let frame = 0; frame < letters.length; frame += 1) square(frame);
  show(0);
})();
