(function () {
  const panel = byId("prevalence");
  if (!panel) { return; }
  const data = embedded("operating-data"), sample = Number(panel.dataset.prevalence);
  const slider = byId("prevalence-slider"), field = byId("prevalence-number"), threshold = byId("threshold-slider");
  const rows = Array.from(byId("prevalence-rows").rows);
  let prevalence = sample, moved = false;

  function logit(p) { return Math.log(p / (1 - p)); }
  function expit(x) { return 1 / (1 + Math.exp(-x)); }

  // Limits of log(a) - log(b) from the limits of a and b, which are independent (Zou and Donner 2008).
  function ratioLimits(a, b) {
    if (a[0] === 0 || b[0] === 0) { return [Math.log(a[1]) - Math.log(b[2]), Math.log(a[2]) - Math.log(b[1])]; }
    const centre = Math.log(a[0]) - Math.log(b[0]);
    return [
      centre - Math.hypot(Math.log(a[0] / a[1]), Math.log(b[2] / b[0])),
      centre + Math.hypot(Math.log(a[2] / a[0]), Math.log(b[0] / b[1]))
    ];
  }

  // A predictive value: of a sign that `hits` of those concerned show and `errors` of the others, at the prior share.
  function predictive(hits, errors, prior) {
    if (hits[0] === null || errors[0] === null || hits[0] + errors[0] === 0) { return "undefined"; }
    const value = hits[0] * prior / (hits[0] * prior + errors[0] * (1 - prior));
    if (hits[1] === null || errors[1] === null) { return value.toFixed(3); }
    const limits = ratioLimits(hits, errors).map(function (limit) { return expit(limit + logit(prior)); });
    return value.toFixed(3) + "\n" + limits[0].toFixed(3) + " to " + limits[1].toFixed(3);
  }

  function complement(share) {
    const [value, low, high] = share;
    return [value === null ? null : 1 - value, high === null ? null : 1 - high, low === null ? null : 1 - low];
  }

  function write(cell, lines) {
    cell.textContent = lines[0];
    if (lines.length > 1) {
      const limits = document.createElement("span");
      limits.className = "soft nowrap";
      limits.textContent = lines[1];
      cell.append(document.createElement("br"), limits);
    }
  }

  function fill(row, sensitivity, specificity) {
    const known = sensitivity[0] !== null && specificity[0] !== null, ill = 1000 * prevalence;
    const cells = [
      predictive(sensitivity, complement(specificity), prevalence),
      predictive(specificity, complement(sensitivity), 1 - prevalence),
      known ? (ill * sensitivity[0]).toFixed(1) : "", known ? (ill * (1 - sensitivity[0])).toFixed(1) : "",
      known ? ((1000 - ill) * (1 - specificity[0])).toFixed(1) : "", known ? ((1000 - ill) * specificity[0]).toFixed(1) : ""
    ];
    cells.forEach(function (text, place) { write(row.cells[3 + place], text.split("\n")); });
  }

  function chosen() {
    const [limit, sensitivity, specificity] = data.roc[Number(threshold.value)], row = byId("threshold-row");
    const text = Number(limit.toPrecision(4)).toString(), chart = byId("roc-chart"), point = byId("chosen-point");
    byId("threshold-value").textContent = "at or above " + text;
    threshold.setAttribute("aria-valuetext", "scores at or above " + text);
    row.cells[1].textContent = sensitivity.toFixed(3);
    row.cells[2].textContent = specificity.toFixed(3);
    fill(row, [sensitivity, null, null], [specificity, null, null]);
    if (chart && point && moved) {
      const [left, right] = chart.dataset.x.split(" ").map(Number), [bottom, top] = chart.dataset.y.split(" ").map(Number);
      point.setAttribute("visibility", "visible");
      point.setAttribute("cx", left + (1 - specificity) * (right - left));
      point.setAttribute("cy", bottom + sensitivity * (top - bottom));
    }
  }

  function draw() {
    data.points.forEach(function (point, place) { fill(rows[place], point.sensitivity, point.specificity); });
    if (threshold) { chosen(); }
    const text = (100 * prevalence).toFixed(1) + " %";
    byId("prevalence-said").textContent = text;
    slider.setAttribute("aria-valuetext", text);
  }

  function set(value, from) {
    if (!(value > 0 && value < 1)) { return; }
    prevalence = value;
    if (from !== slider) { slider.value = (100 * value).toFixed(1); }
    if (from !== field) { field.value = (100 * value).toFixed(1); }
    draw();
  }

  slider.addEventListener("input", function () { set(slider.value / 100, slider); });
  field.addEventListener("input", function () { set(field.value / 100, field); });
  byId("prevalence-reset").addEventListener("click", function () { set(sample); });
  if (threshold) {
    threshold.value = Math.floor(data.roc.length / 2);
    threshold.addEventListener("input", function () { moved = true; chosen(); });
  }
  if (sample > 0 && sample < 1) { set(sample); panel.hidden = false; }
})();
