/* Small repairs that style sheets cannot make. */
"use strict";

(function () {
  /* A page that was opened from disk may not read its neighbours: results of a search then come without excerpts. */
  if (window.location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  /* Whatever scrolls sideways on a narrow screen can be reached and scrolled with the keyboard. */
  const wide = "div.math, .wide-formula, .pst-scrollable-table-container, .output, .run-card .card-stages, .explorer-static, pre";

  /* MathJax does not break a formula that stands in the text: one that does not fit gets a box to scroll in. */
  function boxWideFormulas() {
    document.querySelectorAll(".bd-article span.math mjx-container").forEach((formula) => {
      const room = formula.closest("p, li, dd, figcaption");
      if (room && formula.offsetWidth > room.clientWidth) formula.classList.add("wide-formula");
    });
  }

  function markScrollers() {
    boxWideFormulas();
    document.querySelectorAll(wide).forEach((box) => {
      const scrolls = box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX !== "visible";
      if (scrolls) box.tabIndex = 0;
    });
  }

  let waiting = 0;
  function soon() {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(markScrollers, 100);
  }

  ["load", "resize"].forEach((when) => window.addEventListener(when, soon));
  /* formulas get their width when MathJax has set them, and once more with their type */
  document.querySelectorAll(".math.notranslate").forEach((place) => new MutationObserver(soon).observe(place, { childList: true }));
  if (document.fonts) document.fonts.addEventListener("loadingdone", soon);
})();
