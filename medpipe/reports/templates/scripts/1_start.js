"use strict";
document.documentElement.classList.add("scripted");
document.querySelectorAll(".needs-script").forEach(function (part) { part.hidden = false; });
function byId(id) { return document.getElementById(id); }
function embedded(id) { return JSON.parse(byId(id).textContent); }
