"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);
  document.documentElement.classList.add("script");

  // --- what is shown: rows and tables that have a check of the chosen tier and verdict, and the words looked for
  const sections = all("section.table");
  let chosen = "";

  const has = (element, token) => !token || (element.dataset.c || "").split(" ").includes(token);

  function apply() {
    const wanted = one("find").value.trim().toLowerCase();
    let rows = 0, tables = 0;
    for (const section of sections) {
      const named = (section.querySelector("h2").textContent + " " + section.querySelector(".caption").textContent).toLowerCase();
      const inTitle = named.includes(wanted), lines = all("table.main tbody tr", section);
      const hits = lines.filter((line) => has(line, chosen)
        && (inTitle || line.querySelector("th").textContent.toLowerCase().includes(wanted)));
      const claims = Boolean(chosen) && has(section, chosen) && inTitle;
      const shown = hits.length > 0 || claims;
      const places = new Set((hits.length ? hits : lines).map((line) => line.dataset.r));
      section.hidden = !shown;
      all("tr[data-r]", section).forEach((line) => { line.hidden = !places.has(line.dataset.r); });
      all(`nav li[data-for="${section.id}"]`).forEach((item) => { item.hidden = !shown; });
      if (shown) { tables += 1; rows += hits.length; }
    }
    const active = Boolean(chosen || wanted);
    document.documentElement.classList.toggle("filtered", active);
    one("clear").hidden = !active;
    one("found").textContent = active ? `${rows} row${rows === 1 ? "" : "s"} in ${tables} of ${sections.length} tables`
      + (chosen ? ` with ${chosen.replace("none:", "").replace(":", ": ")}` : "") : "";
  }

  const buttons = all("button[data-f]");
  function choose(token) {
    chosen = token;
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.f === token)));
    apply();
  }
  buttons.forEach((button) => button.addEventListener("click", () => choose(chosen === button.dataset.f ? "" : button.dataset.f)));
  one("find").addEventListener("input", apply);
  one("clear").addEventListener("click", () => { one("find").value = ""; choose(""); });

  // --- predictions: one slider for all of a table, which can be dragged on any picture, and toggles
  for (const gallery of all(".gallery")) {
    const cut = gallery.querySelector(".cut"), size = gallery.querySelector(".size");
    const setCut = (value) => {
      cut.value = value;
      gallery.style.setProperty("--cut", `${cut.value}%`);
      gallery.classList.toggle("split", Number(cut.value) > 0);
    };
    cut.addEventListener("input", () => setCut(cut.value));
    size.addEventListener("input", () => gallery.style.setProperty("--size", `${size.value}px`));
    gallery.addEventListener("pointermove", (event) => {
      const picture = event.target.closest(".over");
      if (!picture || !event.buttons) return;
      const box = picture.getBoundingClientRect();
      setCut(Math.round((100 * (event.clientX - box.left)) / box.width));
    });
    gallery.addEventListener("dragstart", (event) => event.preventDefault());

    const images = all("button[data-image]", gallery);
    const show = (image) => {
      images.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.image === image)));
      all(".sheet", gallery).forEach((sheet) => { sheet.hidden = sheet.dataset.image !== image; });
    };
    images.forEach((button) => button.addEventListener("click", () => show(button.dataset.image)));
    if (images.length) show(images[0].dataset.image);

    for (const kind of ["task", "row"]) {
      all(`button[data-${kind}]`, gallery).forEach((button) => button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        all(`tr[data-${kind}], th[data-${kind}], td[data-${kind}]`, gallery).forEach((cell) => {
          if (cell.dataset[kind] === button.dataset[kind]) cell.hidden = !on;
        });
      }));
    }
  }

  // --- folded parts open where a link leads into them, and for printing; contents start closed on a phone
  const reveal = () => {
    const target = location.hash.length > 1 && one(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.hidden || target.closest("[hidden]")) { one("find").value = ""; choose(""); }
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  all('a[href^="#"]').forEach((link) => link.addEventListener("click", () => { if (link.hash === location.hash) reveal(); }));
  reveal();
  let closed = [];
  addEventListener("beforeprint", () => { closed = all("details:not([open])"); closed.forEach((part) => { part.open = true; }); });
  addEventListener("afterprint", () => closed.forEach((part) => { part.open = false; }));
  if (matchMedia("(max-width: 70rem)").matches) document.querySelector("nav details").open = false;
})();
