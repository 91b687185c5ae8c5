/* The explorer of label calibration. Plain JavaScript, no network: it reads the data that the page holds
 * and replaces the drawn figure by a slot to choose and a slider through the rounds. */
"use strict";

(function () {
  const percent = (share) => (share < 0.0995 ? (100 * share).toFixed(1) : Math.round(100 * share)) + "\u2009%";

  const entropy = (label) => label.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    made.append(...children);
    return made;
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
    const change = entropy(label) - entropy(slot.labels[0]);
    const moved = round === 0 ? "" : " (" + (change < 0 ? "\u2212" : "+") + Math.abs(change).toFixed(2) + " since round 0, where the thin lines stand)";
    return "Round " + round + ": " + named + ". Entropy " + entropy(label).toFixed(2) + " nats" + moved + ".";
  }

  function controls(data, id) {
    const select = element("select", { id: id + "-slot" });
    data.slots.forEach((slot, index) => {
      select.append(element("option", { value: index }, "Slot " + slot.slot + ", " + data.classes[slot.class]));
    });
    const range = element("input", { id: id + "-round", type: "range", min: 0, max: data.rounds - 1, step: 1, value: 0 });
    const play = element("button", { type: "button", class: "explorer-play" }, "Play");
    const bar = element(
      "div",
      { class: "explorer-controls" },
      element("div", {}, element("label", { for: id + "-slot" }, "Slot"), select),
      element("div", { class: "explorer-rounds" }, element("label", { for: id + "-round" }, "Round"), range),
      play
    );
    return { select, range, play, bar };
  }

  function build(root, number) {
    const data = JSON.parse(root.querySelector("script").textContent);
    const { select, range, play, bar } = controls(data, "explorer-" + number);
    const picture = element("img", { class: "explorer-image dark-light", alt: "" });
    const { list, rows } = makeBars(data.classes);
    const words = element("p", { class: "explorer-words", "aria-live": "polite" });
    const stage = element("div", { class: "explorer-stage" }, picture, list);
    let timer = null;

    function draw() {
      const slot = data.slots[select.value];
      const round = Number(range.value);
      picture.src = slot.images[round];
      picture.alt = "The image of slot " + slot.slot + " in round " + round;
      range.setAttribute("aria-valuetext", "round " + round + " of 0 to " + (data.rounds - 1));
      drawBars(rows, slot, round);
      words.textContent = summary(data, slot, round);
    }

    function stop() {
      window.clearInterval(timer);
      timer = null;
      play.textContent = "Play";
    }

    function step() {
      if (Number(range.value) >= data.rounds - 1) return stop();
      range.value = Number(range.value) + 1;
      draw();
    }

    play.addEventListener("click", () => {
      if (timer) return stop();
      if (Number(range.value) >= data.rounds - 1) range.value = 0;
      draw();
      play.textContent = "Stop";
      timer = window.setInterval(step, 1200);
    });
    select.addEventListener("change", draw);
    range.addEventListener("input", () => { stop(); draw(); });

    root.append(element("div", { class: "explorer-live" }, bar, stage, words));
    root.classList.add("explorer-ready");
    draw();
  }

  document.querySelectorAll("[data-explorer]").forEach(build);
})();
