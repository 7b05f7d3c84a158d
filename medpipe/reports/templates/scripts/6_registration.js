(function () {
  document.querySelectorAll(".pair").forEach(function (pair) {
    const viewer = pair.querySelector(".viewer");
    if (!viewer) { return; }
    const left = viewer.querySelector(".left-kind"), right = viewer.querySelector(".right-kind"),
      line = viewer.querySelector(".line"), flicker = viewer.querySelector(".flicker");
    const stages = Array.from(viewer.querySelectorAll(".stage"));
    let timer = null, shown = false;

    function source(plane, kind) {
      return pair.querySelector("img[data-plane='" + plane + "'][data-kind='" + kind + "']");
    }

    // Two pictures on one another; the upper one is cut at the line.
    stages.forEach(function (stage) {
      ["lower", "upper"].forEach(function (place) {
        const picture = document.createElement("img");
        picture.className = place;
        stage.append(picture);
      });
      stage.addEventListener("pointermove", function (event) {
        if (timer !== null || !(event.buttons & 1)) { return; }
        const box = stage.getBoundingClientRect();
        line.value = Math.round(100 * (event.clientX - box.left) / box.width);
        cut();
      });
    });

    function cut() {
      const part = timer !== null ? (shown ? 100 : 0) : Number(line.value);
      stages.forEach(function (stage) {
        stage.querySelector(".upper").style.clipPath = "inset(0 " + (100 - part) + "% 0 0)";
        stage.style.setProperty("--line", part + "%");
        stage.classList.toggle("lined", timer === null && part > 0 && part < 100);
      });
      line.setAttribute("aria-valuetext", part + " % " + left.selectedOptions[0].text);
    }

    function draw() {
      stages.forEach(function (stage) {
        [["lower", right], ["upper", left]].forEach(function (pairing) {
          const from = source(stage.dataset.plane, pairing[1].value), to = stage.querySelector("." + pairing[0]);
          to.src = from.src;
          to.alt = from.alt;
          to.draggable = false;
        });
      });
      cut();
    }

    function stop() {
      window.clearInterval(timer);
      timer = null;
      flicker.setAttribute("aria-pressed", "false");
      line.disabled = false;
      cut();
    }

    flicker.addEventListener("click", function () {
      if (timer !== null) { stop(); return; }
      // Below three changes a second, which nobody's eyes are hurt by.
      timer = window.setInterval(function () { shown = !shown; cut(); }, 700);
      flicker.setAttribute("aria-pressed", "true");
      line.disabled = true;
      cut();
    });
    window.addEventListener("beforeprint", function () { if (timer !== null) { stop(); } });
    line.addEventListener("input", cut);
    [left, right].forEach(function (control) { control.addEventListener("input", draw); });
    draw();
  });
})();
