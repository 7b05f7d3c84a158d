(function () {
  const button = byId("copy-methods"), text = byId("methods-text");
  if (button) {
    button.addEventListener("click", function () {
      const say = function (message) { byId("copy-status").textContent = message; };
      const select = function () {
        window.getSelection().selectAllChildren(text);
        say("The text is selected; copy it with Ctrl+C or Cmd+C.");
      };
      if (!navigator.clipboard) { select(); return; }
      const lines = Array.from(text.querySelectorAll("p, h3, li")).map(function (part) {
        const number = part.tagName === "LI" ? Array.from(part.parentElement.children).indexOf(part) + 1 + ". " : "";
        return number + part.textContent.trim();
      });
      navigator.clipboard.writeText(lines.join("\n\n")).then(function () { say("Copied."); }, select);
    });
  }
  let opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (part) { part.open = true; });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (part) { part.open = false; });
  });
})();
