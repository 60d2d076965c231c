"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const race = document.querySelector(".race");
  const track = race.querySelector(".track");
  const joins = race.querySelector(".joins");
  const hint = race.querySelector(".hint");
  const folds = [...race.querySelectorAll("details")];
  const steps = [...race.querySelectorAll("button[data-step]")];
  const byNumber = new Map(steps.map((button) => [Number(button.dataset.step), button]));
  const stops = data.stops.map((number) => byNumber.get(number)).filter(Boolean);
  let current = null;

  const draw = () => {
    const at = track.getBoundingClientRect();
    joins.replaceChildren();
    for (const [first, second] of data.pairs) {
      const [one, other] = [byNumber.get(first), byNumber.get(second)];
      const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
      const toRight = a.left < b.left;
      const x1 = (toRight ? a.right : a.left) - at.left;
      const x2 = (toRight ? b.left : b.right) - at.left;
      const [y1, y2] = [(a.top + a.bottom) / 2 - at.top, (b.top + b.bottom) / 2 - at.top];
      const bend = toRight ? 18 : -18;
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
      if (current === one || current === other) path.setAttribute("class", "now");
      joins.appendChild(path);
    }
  };
  const tell = (button) => {
    hint.textContent = button.dataset.hint;
  };
  // One step is in reach of the tabulator, as in a list of choices: the arrows go on from there.
  const choose = (button, { focus = false } = {}) => {
    if (!button) return;
    if (current) {
      current.removeAttribute("aria-current");
      current.tabIndex = -1;
    }
    current = button;
    button.setAttribute("aria-current", "step");
    button.tabIndex = 0;
    const fold = button.closest("details");
    if (fold) fold.open = true;
    tell(button);
    draw();
    if (focus) {
      button.focus({ preventScroll: true });
      button.scrollIntoView({ block: "center" });
    }
  };
  const near = (list, by) => {
    const here = Number(current.dataset.step);
    const order = by > 0 ? list : [...list].reverse();
    return order.find((button) => by * (Number(button.dataset.step) - here) > 0);
  };
  const visible = () => steps.filter((button) => button.checkVisibility({ contentVisibilityAuto: true }));
  const go = (by) => choose(near(stops, by), { focus: true });

  for (const button of steps) {
    // The explanation is below: a hint over the step would say it twice.
    button.dataset.hint = button.title;
    button.removeAttribute("title");
    button.tabIndex = -1;
    button.addEventListener("focus", () => choose(button));
    button.addEventListener("click", () => choose(button, { focus: true }));
    button.addEventListener("mouseenter", () => tell(button));
    button.addEventListener("mouseleave", () => tell(current));
  }
  for (const fold of folds) fold.addEventListener("toggle", draw);
  const all = race.querySelector('[data-go="all"]');
  all.addEventListener("click", () => {
    const open = all.getAttribute("aria-pressed") === "false";
    for (const fold of folds) fold.open = open;
    all.setAttribute("aria-pressed", String(open));
  });
  for (const by of [-1, 1]) race.querySelector(`[data-go="${by}"]`).addEventListener("click", () => go(by));
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !current) return;
    const inside = race.contains(event.target);
    if (!inside && event.target !== document.body) return;
    const onStep = track.contains(event.target);
    const act = {
      ArrowLeft: () => go(-1),
      ArrowRight: () => go(1),
      ArrowUp: onStep && (() => choose(near(visible(), -1), { focus: true })),
      ArrowDown: onStep && (() => choose(near(visible(), 1), { focus: true })),
      Home: onStep && (() => choose(steps[0], { focus: true })),
      End: onStep && (() => choose(steps[steps.length - 1], { focus: true })),
    }[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
  if (steps.length) choose(stops[stops.length - 1]);
  new ResizeObserver(draw).observe(track);
})();
