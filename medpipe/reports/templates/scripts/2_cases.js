(function () {
  const browser = byId("case-browser");
  if (!browser) { return; }
  const data = embedded("case-data");
  const table = byId("case-table"), gallery = byId("case-pictures"), status = byId("case-status");
  const heads = Array.from(table.tHead.querySelectorAll("th"));
  const finder = byId("case-filter"), outcome = byId("case-outcome"), view = byId("case-view"), rows = byId("case-rows");
  const numeric = heads.map(function (head) { return head.classList.contains("num"); });
  const printed = Array.from(document.querySelectorAll("#static-cases tbody tr"));
  const texts = data.rows.map(function (row) { return row.map(shown).join(" ").toLowerCase(); });
  let order = data.rows.map(function (_, index) { return index; }), page = 0;

  function shown(cell) { return String(Array.isArray(cell) ? cell[0] : cell); }
  function rank(cell) { return Array.isArray(cell) ? cell[1] : cell; }

  function picture(index) {
    const own = printed[index] && printed[index].querySelector("img");
    return own ? own.src : data.pictures[index] ? "data:image/jpeg;base64," + data.pictures[index] : "";
  }

  function kept(index) {
    const wanted = outcome ? outcome.value : "", found = data.outcomes[index];
    if (wanted === "wrong" ? found !== "miss" && found !== "false positive" : wanted && found !== wanted) { return false; }
    return finder.value.toLowerCase().split(/\s+/).every(function (word) { return texts[index].includes(word); });
  }

  function element(name, text, type) {
    const made = document.createElement(name);
    if (text !== undefined) { made.textContent = text; }
    if (type) { made.className = type; }
    return made;
  }

  function linked(index, content) {
    if (!data.links[index]) { return content; }
    const link = element("a");
    link.href = data.links[index];
    link.append(content);
    return link;
  }

  function image(index) {
    const made = element("img");
    made.src = picture(index);
    made.alt = shown(data.rows[index][0]) + " with its marks";
    return made;
  }

  function rowOf(index) {
    const row = element("tr");
    if (table.tHead.rows[0].cells.length > heads.length) {
      const cell = element("td");
      if (picture(index)) { cell.append(linked(index, image(index))); }
      row.append(cell);
    }
    data.rows[index].forEach(function (value, column) {
      const cell = element(column ? "td" : "th", undefined, column ? (numeric[column] ? "num" : "") : "file");
      if (column) { cell.textContent = shown(value); } else { cell.scope = "row"; cell.append(linked(index, shown(value))); }
      if (data.columns[column] === "Outcome" && value) { cell.className = "outcome-" + value.replace(" ", "-"); }
      row.append(cell);
    });
    return row;
  }

  function cardOf(index) {
    const card = element("figure"), caption = element("figcaption");
    card.append(linked(index, picture(index) ? image(index) : "no picture here"));
    const parts = data.columns.map(function (name, column) {
      const text = shown(data.rows[index][column]);
      return column && text ? name.toLowerCase() + " " + text : text;
    });
    caption.textContent = parts.filter(Boolean).join(", ");
    card.append(caption);
    return card;
  }

  function draw() {
    const found = order.filter(kept), size = Number(rows.value);
    page = Math.max(0, Math.min(page, Math.ceil(found.length / size) - 1));
    const part = found.slice(page * size, (page + 1) * size), pictures = view && view.value === "pictures";
    table.parentElement.hidden = pictures;
    gallery.hidden = !pictures;
    table.tBodies[0].replaceChildren.apply(table.tBodies[0], pictures ? [] : part.map(rowOf));
    gallery.replaceChildren.apply(gallery, pictures ? part.map(cardOf) : []);
    const all = data.rows.length.toLocaleString("en"), some = found.length.toLocaleString("en");
    status.textContent = (part.length ? page * size + 1 + " to " + (page * size + part.length) + " of " : "") + some
      + (found.length === data.rows.length ? " cases" : " matching cases, of " + all);
    byId("case-previous").disabled = page === 0;
    byId("case-next").disabled = (page + 1) * size >= found.length;
  }

  function sortBy(column) {
    const down = heads[column].getAttribute("aria-sort") === "ascending";
    heads.forEach(function (head, other) {
      head.setAttribute("aria-sort", other !== column ? "none" : down ? "descending" : "ascending");
    });
    order.sort(function (a, b) {
      const x = rank(data.rows[a][column]), y = rank(data.rows[b][column]);
      if (x === "" || y === "") { return x === y ? a - b : x === "" ? 1 : -1; }
      const least = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
      return (down ? -least : least) || a - b;
    });
    page = 0;
    draw();
  }

  heads.forEach(function (head, column) {
    head.querySelector("button").addEventListener("click", function () { sortBy(column); });
  });
  [finder, outcome, view, rows].forEach(function (control) {
    if (control) { control.addEventListener("input", function () { page = 0; draw(); }); }
  });
  byId("case-previous").addEventListener("click", function () { page -= 1; draw(); });
  byId("case-next").addEventListener("click", function () { page += 1; draw(); });
  if (view && browser.dataset.view) { view.value = browser.dataset.view; }
  draw();
})();
