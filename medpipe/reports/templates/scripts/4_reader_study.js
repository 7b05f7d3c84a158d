(function () {
  const fom = byId("choose-fom"), method = byId("choose-method"), generalisation = byId("choose-generalisation"),
    curve = byId("choose-curve");
  if (!fom) { return; }
  const parts = Array.from(document.querySelectorAll("#reader-study .choice"));

  function fits(value, control) { return value === undefined || !control || value === control.value; }

  function draw() {
    parts.forEach(function (part) {
      const of = part.dataset;
      part.hidden = !(fits(of.fom, fom) && fits(of.method, method) && fits(of.generalisation, generalisation)
        && fits(of.curve, curve));
    });
  }

  [fom, method, generalisation, curve].forEach(function (control) { if (control) { control.addEventListener("input", draw); } });
  draw();
})();
