/* Explorers of searches: architectures as points, and the one that is pointed at drawn. */
"use strict";

(function () {
  const { element, drawn, percent, plain, choice, slider, player, bar, sentence, register } = window.explorers;
  const WIDTH = 560, HEIGHT = 300, LEFT = 58, RIGHT = 12, TOP = 12, BOTTOM = 42;

  /* Where values lie between two ends of an axis; a little room is left at both. */
  function scale(values, start, end) {
    const low = Math.min(...values), high = Math.max(...values), room = (high - low || 1) * 0.04;
    return (value) => start + ((end - start) * (value - low + room)) / (high - low + 2 * room);
  }

  function axes(across, up, words) {
    const bottom = HEIGHT - BOTTOM, ends = (values) => [Math.min(...values), Math.max(...values)];
    const [[left, right], [low, high]] = [ends(across.values), ends(up.values)];
    const text = (x, y, anchor, content) => drawn("text", { x, y, "text-anchor": anchor }, content);
    return drawn(
      "g", { class: "plot-axes" },
      drawn("path", { class: "axis", d: `M${LEFT} 4V${bottom}H${WIDTH}` }),
      text(LEFT, bottom + 18, "start", across.format(left)),
      text(WIDTH - RIGHT, bottom + 18, "end", across.format(right)),
      text((LEFT + WIDTH) / 2, bottom + 34, "middle", words[0]),
      text(LEFT - 6, bottom, "end", up.format(low)),
      text(LEFT - 6, 18, "end", up.format(high)),
      drawn("text", { transform: `translate(12 ${bottom / 2}) rotate(-90)`, "text-anchor": "middle" }, words[1])
    );
  }

  /* Points that tell which one the pointer is at; `across` and `up` have values and a format. */
  function plot(across, up, words, point) {
    const x = scale(across.values, LEFT, WIDTH - RIGHT), y = scale(up.values, HEIGHT - BOTTOM, TOP);
    const circles = across.values.map((value, index) => {
      const circle = drawn("circle", { class: "point", cx: x(value), cy: y(up.values[index]), r: 4.5 });
      for (const event of ["pointerenter", "click"]) circle.addEventListener(event, () => point(index));
      return circle;
    });
    const svg = drawn("svg", { class: "explorer-plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" });
    svg.append(axes(across, up, words), drawn("g", {}, ...circles));
    return { svg, circles, x, y };
  }

  /* A point's look; the ones that matter are drawn last, above the others. */
  function mark(circle, look) {
    circle.setAttribute("class", "point " + look);
    if (look) circle.parentNode.append(circle);
  }

  /* A chain of blocks from the image to the classes, the width of a block as its channels. */
  function chain(candidate, choices, stages) {
    const sizes = stages.flatMap(([channels, , repeats]) => Array(repeats).fill(Math.log2(channels)));
    const whole = sizes.reduce((sum, size) => sum + size, 0);
    let left = 0;
    const parts = sizes.flatMap((size, block) => {
      const width = (size / whole) * WIDTH, taken = Number(candidate[block]), name = plain(choices[taken]);
      const letter = (name.match(/\d/) || [name[0]])[0];
      left += width;
      return [
        drawn("rect", { class: "part part-" + taken, x: left - width + 1, y: 2, width: width - 2, height: 40, rx: 4 }),
        drawn("text", { class: "part-name", x: left - width / 2, y: 27, "text-anchor": "middle" }, letter),
      ];
    });
    return [[WIDTH, 44], parts];
  }

  const NODES = [40, 200, 360, 520], LINE = 132;
  const EDGES = [[0, 1], [0, 2], [1, 2], [0, 3], [1, 3], [2, 3]];
  const BEND = { "0,2": -85, "1,3": 85, "0,3": -150 }; /* how far a bow leaves the line of nodes */

  /* A cell of four nodes: an arrow for each edge, with its operation. */
  function cell(candidate, choices) {
    const parts = EDGES.flatMap(([from, to], edge) => {
      const taken = Number(candidate[edge]), bend = BEND[[from, to]] || 0, name = plain(choices[taken]);
      const [start, end, middle] = [NODES[from], NODES[to], (NODES[from] + NODES[to]) / 2];
      const path = `M${start} ${LINE}Q${middle} ${LINE + 1.44 * bend} ${end} ${LINE}`;
      const line = drawn("path", { class: "edge part-" + taken + (taken ? "" : " edge-none"), d: path });
      const label = drawn("text", { class: "edge-name", x: middle, y: LINE + 0.72 * bend - 6, "text-anchor": "middle" }, name);
      return [line, label];
    });
    const names = ["in", "1", "2", "out"];
    const nodes = NODES.flatMap((x, node) => [
      drawn("circle", { class: "node", cx: x, cy: LINE, r: node % 3 ? 15 : 20 }),
      drawn("text", { class: "node-name", x, y: LINE + 5, "text-anchor": "middle" }, names[node]),
    ]);
    return [[WIDTH, 205], [...parts, ...nodes]];
  }

  /* The drawing of an architecture, which draw(candidate) changes. */
  function architecture(draw) {
    const svg = drawn("svg", { class: "explorer-architecture", role: "img" });
    function show(candidate, words) {
      const [[width, height], parts] = draw(candidate);
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.setAttribute("aria-label", words);
      svg.replaceChildren(...parts);
    }
    return { svg, show };
  }

  function legend(choices) {
    const entries = choices.map((name, taken) => element("li", { class: "part-" + taken }, plain(name)));
    return element("ul", { class: "explorer-legend" }, ...entries);
  }

  const listed = (candidate, choices) => [...candidate].map((taken) => plain(choices[Number(taken)])).join(", ");
  const best = (rows, score) => rows.reduce((one, other) => (score(other) > score(one) ? other : one));
  const range = (count) => [...Array(count).keys()];

  /* The population of an evolutionary search, generation by generation. */
  register("population", (data) => {
    const names = Object.keys(data.searches);
    const source = choice("Search on", names.map(plain));
    const generation = slider("Generation", 0, 1, 0);
    const place = slider("Candidate, best first", 1, 1, 1);
    const { svg, show } = architecture((candidate) => chain(candidate, data.choices, data.stages));
    const holder = element("div", { class: "explorer-holder" });
    const words = sentence(), about = sentence();
    let search, circles, current;

    function point(row) {
      const [score, cost] = [percent(search.score[row]), (search.macs[row] / 1e6).toFixed(2)];
      const from = search.origin[row] === "random" ? "drawn at random" : "a " + search.origin[row];
      circles.forEach((circle) => circle.classList.toggle("point-shown", circle === circles[row]));
      about.textContent = `Of generation ${search.generation[row]}, ${from}: score ${score} at ${cost} million multiply-adds.`;
      show(search.candidate[row], "Blocks: " + listed(search.candidate[row], data.choices));
    }

    function draw() {
      const now = Number(generation.input.value), score = (row) => search.score[row];
      const known = range(circles.length).filter((row) => search.generation[row] <= now);
      current = known.filter((row) => search.generation[row] === now).sort((a, b) => score(b) - score(a));
      circles.forEach((circle, row) => {
        const age = search.generation[row] - now;
        mark(circle, age > 0 ? "point-later" : age < 0 ? "point-old" : "point-now");
      });
      const leader = best(known, score);
      mark(circles[leader], "point-best" + (search.generation[leader] === now ? " point-now" : ""));
      place.input.max = current.length;
      place.input.value = 1;
      const mean = current.reduce((sum, row) => sum + score(row), 0) / current.length;
      generation.input.setAttribute("aria-valuetext", "generation " + now);
      words.textContent =
        `Generation ${now}: ${current.length} candidates with a mean score of ${percent(mean)}; ` +
        `the best of all ${known.length} so far has ${percent(score(leader))} (ringed).`;
      point(current[0]);
    }

    function choose() {
      search = data.searches[names[source.input.value]];
      const across = { values: search.macs, format: (macs) => (macs / 1e6).toFixed(2) };
      const made = plot(across, { values: search.score, format: percent }, ["million multiply-adds", "score"], point);
      circles = made.circles;
      holder.replaceChildren(made.svg);
      generation.input.max = Math.max(...search.generation);
      generation.input.value = generation.input.max;
      draw();
    }

    source.input.addEventListener("change", choose);
    generation.input.addEventListener("input", draw);
    place.input.addEventListener("input", () => point(current[place.input.value - 1]));
    choose();
    const controls = bar(source.box, generation.box, player(generation.input, draw, 900));
    return [controls, holder, words, bar(place.box), svg, legend(data.choices), about];
  });

  const JUDGES = {
    synthetic: "supernet, synthetic images", real_hard: "supernet, real images, hard labels",
    real_soft: "supernet, real images, soft labels", control: "supernet, live control", noise: "supernet, noise",
    parameters: "parameters", macs: "multiply-adds", synflow: "SynFlow", naswot: "NASWOT", jacov: "jacov",
    naswot_control: "NASWOT, live control", jacov_control: "jacov, live control",
  };

  /* What the best of k drawn by lot has in the mean: each value is the best in a known share of the draws. */
  function byLot(values, k) {
    const sorted = [...values].sort((a, b) => b - a), count = sorted.length;
    let mean = 0, none = 1; /* the share of draws that hold none of the better ones */
    sorted.forEach((value, index) => {
      const next = index + k >= count ? 0 : none * (1 - k / (count - index));
      mean += (none - next) * value;
      none = next;
    });
    return mean;
  }

  /* How many of a judge's favourites are kept, and what is lost then. */
  register("regret", (data) => {
    const judges = Object.keys(data.scores), count = data.accuracy.length;
    const judge = choice("Judge", judges.map((name) => JUDGES[name] || plain(name)));
    const kept = slider("Kept, k", 1, count, Math.min(10, count));
    const place = slider("Architecture, the judge's favourite first", 1, count, 1);
    const stages = [[32, 2, 2], [64, 2, 3], [128, 2, 3]];
    const draws = data.kind === "cell" ? (one) => cell(one, data.choices) : (one) => chain(one, data.choices, stages);
    const { svg, show } = architecture(draws);
    const holder = element("div", { class: "explorer-holder" });
    const words = sentence(), about = sentence();
    const points = (accuracy) => (100 * (data.best - accuracy)).toFixed(2);
    let order, made;

    function point(row) {
      const rank = order.indexOf(row) + 1;
      made.circles.forEach((circle) => circle.classList.toggle("point-shown", circle === made.circles[row]));
      const reached = (100 * data.accuracy[row]).toFixed(2) + "\u2009%";
      about.textContent = `Number ${rank} of ${count} by this judge; in the table ${reached}, ${points(data.accuracy[row])} points below the best.`;
      show(data.candidate[row], "Operations: " + listed(data.candidate[row], data.choices));
    }

    function draw() {
      const k = Number(kept.input.value), favourites = order.slice(0, k);
      made.circles.forEach((circle) => mark(circle, ""));
      favourites.forEach((row) => mark(made.circles[row], "point-now"));
      const leader = best(favourites, (row) => data.accuracy[row]);
      mark(made.circles[leader], "point-now point-best");
      kept.input.setAttribute("aria-valuetext", k + " of " + count);
      words.textContent =
        `Of the ${k} favourite${k > 1 ? "s" : ""} the best (ringed) is ${points(data.accuracy[leader])} points below the ` +
        `table's best; of ${k} drawn by lot it would be ${points(byLot(data.accuracy, k))} on average.`;
      place.input.value = order.indexOf(leader) + 1;
      point(leader);
    }

    function choose() {
      const scores = data.scores[judges[judge.input.value]];
      order = range(count).sort((a, b) => scores[b] - scores[a] || a - b);
      const across = { values: scores, format: (score) => String(Number(score.toPrecision(3))) };
      made = plot(across, { values: data.accuracy, format: percent }, ["score by the judge", "accuracy in the table"], point);
      holder.replaceChildren(made.svg);
      draw();
    }

    judge.input.addEventListener("change", choose);
    kept.input.addEventListener("input", draw);
    place.input.addEventListener("input", () => point(order[place.input.value - 1]));
    choose();
    return [bar(judge.box, kept.box), holder, words, bar(place.box), svg, legend(data.choices), about];
  });
})();
