/* What the explorers share: an explorer reads the data that the page holds and replaces the still picture.
 * Plain JavaScript, no network. Each kind registers itself; the explorer of labels is at the end. */
"use strict";

window.explorers = (function () {
  const SVG = "http://www.w3.org/2000/svg";
  let number = 0;

  function fill(made, attributes, children) {
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const element = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
  const drawn = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
  const percent = (share) => (share < 0.0995 ? (100 * share).toFixed(1) : Math.round(100 * share)) + "\u2009%";
  const signed = (value, digits) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(digits);
  const plain = (name) => name.replace(/^nor_/, "").replaceAll("_", " ");

  /* A control under its name. `options` are words, each with its value in order. */
  function choice(name, options) {
    const id = "explorer-" + (number += 1);
    const input = element("select", { id }, ...options.map((words, value) => element("option", { value }, words)));
    return { input, box: element("div", {}, element("label", { for: id }, name), input) };
  }

  /* A box to tick for each of `options`, all ticked at first, under one name. */
  function switches(name, options) {
    const inputs = options.map(() => element("input", { type: "checkbox", checked: "" }));
    const labels = options.map((words, index) => element("label", {}, inputs[index], words));
    return { inputs, box: element("fieldset", {}, element("legend", {}, name), ...labels) };
  }

  function slider(name, least, most, value) {
    const id = "explorer-" + (number += 1);
    const input = element("input", { id, type: "range", min: least, max: most, step: 1, value });
    return { input, box: element("div", { class: "explorer-slider" }, element("label", { for: id }, name), input) };
  }

  /* A button that moves a slider to its end, a step each `milliseconds`; the reader starts it, nothing moves by itself. */
  function player(input, draw, milliseconds) {
    const button = element("button", { type: "button", class: "explorer-play" }, "Play");
    let timer = null;
    function stop() {
      window.clearInterval(timer);
      timer = null;
      button.textContent = "Play";
    }
    function step() {
      if (Number(input.value) >= Number(input.max)) return stop();
      input.value = Number(input.value) + 1;
      draw();
    }
    button.addEventListener("click", () => {
      if (timer) return stop();
      if (Number(input.value) >= Number(input.max)) input.value = input.min;
      draw();
      button.textContent = "Stop";
      timer = window.setInterval(step, milliseconds);
    });
    input.addEventListener("input", stop);
    return button;
  }

  const bar = (...boxes) => element("div", { class: "explorer-controls" }, ...boxes);
  const sentence = () => element("p", { class: "explorer-words", "aria-live": "polite" });

  /* Each explorer of a kind: build(data, root) gives what replaces the picture. */
  function register(kind, build) {
    document.querySelectorAll('[data-explorer="' + kind + '"]').forEach((root) => {
      const live = build(JSON.parse(root.querySelector("script").textContent), root);
      root.append(element("div", { class: "explorer-live" }, ...live));
      root.classList.add("explorer-ready");
    });
  }

  return { element, drawn, percent, signed, plain, choice, switches, slider, player, bar, sentence, register };
})();

/* Soft labels, round by round: opens on the slot whose label moves most. */
(function () {
  const { element, percent, signed, choice, slider, player, bar, sentence, register } = window.explorers;

  const entropy = (label) => label.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);

  function moved(slot) {
    const last = slot.labels[slot.labels.length - 1];
    return slot.labels[0].reduce((sum, p, index) => sum + Math.abs(last[index] - p), 0) / 2;
  }

  /* One line a class: name, bar with a mark where the first round stood, percentage. */
  function makeBars(classes) {
    const list = element("ul", { class: "explorer-bars" });
    const rows = classes.map((name) => {
      const fill = element("span", { class: "explorer-fill" });
      const mark = element("span", { class: "explorer-mark" });
      const track = element("span", { class: "explorer-track", "aria-hidden": "true" }, fill, mark);
      const share = element("span", { class: "explorer-share" });
      const row = element("li", {}, element("span", { class: "explorer-class" }, name), track, share);
      list.append(row);
      return { row, fill, mark, share };
    });
    return { list, rows };
  }

  function drawBars(rows, slot, round) {
    const label = slot.labels[round];
    rows.forEach(({ row, fill, mark, share }, index) => {
      row.classList.toggle("explorer-own", index === slot.class);
      fill.style.width = 100 * label[index] + "%";
      mark.style.left = 100 * slot.labels[0][index] + "%";
      mark.hidden = round === 0;
      share.textContent = percent(label[index]);
    });
  }

  /* What changed, in a sentence, for those who hear the page and those who want it in words. */
  function summary(data, slot, round) {
    const label = slot.labels[round];
    const ranked = label.map((share, index) => [share, data.classes[index]]).sort((a, b) => b[0] - a[0]);
    const named = ranked.slice(0, 3).map(([share, name]) => name + " " + percent(share)).join(", ");
    const change = signed(entropy(label) - entropy(slot.labels[0]), 2);
    const since = round === 0 ? "" : " (" + change + " since round 0, where the thin lines stand)";
    return "Round " + round + ": " + named + ". Entropy " + entropy(label).toFixed(2) + " nats" + since + ".";
  }

  register("labels", (data) => {
    const slots = choice("Slot", data.slots.map((slot) => "Slot " + slot.slot + ", " + data.classes[slot.class]));
    const rounds = slider("Round", 0, data.rounds - 1, 0);
    const picture = element("img", { class: "explorer-image dark-light", alt: "" });
    const { list, rows } = makeBars(data.classes);
    const words = sentence();

    function draw() {
      const slot = data.slots[slots.input.value];
      const round = Number(rounds.input.value);
      picture.src = slot.images[round];
      picture.alt = "The image of slot " + slot.slot + " in round " + round;
      rounds.input.setAttribute("aria-valuetext", "round " + round + " of 0 to " + (data.rounds - 1));
      drawBars(rows, slot, round);
      words.textContent = summary(data, slot, round);
    }

    const most = data.slots.map(moved);
    slots.input.value = most.indexOf(Math.max(...most));
    slots.input.addEventListener("change", draw);
    rounds.input.addEventListener("input", draw);
    draw();
    const controls = bar(slots.box, rounds.box, player(rounds.input, draw, 1200));
    return [controls, element("div", { class: "explorer-stage" }, picture, list), words];
  });
})();

/* Images forming out of noise: the tiles of a sheet that the still picture holds. */
(function () {
  const { element, drawn, switches, slider, player, bar, sentence, register } = window.explorers;

  const list = (words) => [words.slice(0, -1).join(", "), ...words.slice(-1)].filter(Boolean).join(" and ");
  const lacking = (terms) => (terms.length ? "without " + list(terms) : "with every term");

  register("frames", (data) => {
    const last = data.iterations.length - 1;
    const terms = data.variants[data.variants.length - 1]; // the last lacks all
    const objective = switches("Terms of the objective", terms);
    const moments = slider("Iteration", 0, last, last);
    const words = sentence();
    const tiles = data.classes.map((name) => {
      const use = drawn("use", { href: "#frames-sheet" });
      const svg = drawn("svg", { role: "img", "aria-label": name }, use);
      return { svg, box: element("span", { class: "frames-tile" }, svg, element("small", {}, name)) };
    });

    function draw() {
      const lacks = terms.filter((_, index) => !objective.inputs[index].checked);
      const variant = data.variants.findIndex((each) => each.join() === lacks.join());
      const moment = Number(moments.input.value);
      const [entropy, , , , distance] = data.terms[variant][moment];
      tiles.forEach(({ svg }, image) => {
        const row = variant * data.classes.length + image;
        svg.setAttribute("viewBox", [moment * data.side, row * data.side, data.side, data.side].join(" "));
      });
      const time = "iteration " + data.iterations[moment] + " of " + data.iterations[last];
      moments.input.setAttribute("aria-valuetext", time);
      const begin = moment ? time[0].toUpperCase() + time.slice(1) : "Before the first iteration";
      words.textContent =
        begin + ", " + lacking(lacks) + ": cross-entropy " + entropy.toPrecision(2) +
        ", distance of the batch-norm statistics " + distance.toPrecision(2) + ".";
    }

    objective.inputs.forEach((input) => input.addEventListener("change", draw));
    moments.input.addEventListener("input", draw);
    draw();
    const shown = element("div", { class: "frames-tiles" }, ...tiles.map(({ box }) => box));
    return [bar(objective.box, moments.box, player(moments.input, draw, 250)), shown, words];
  });
})();
