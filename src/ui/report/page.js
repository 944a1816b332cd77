// What the page can do beyond being read: search its changes, zoom its graph, choose a box. Everything here has a plain
// way without it: headings and details to open, a graph to scroll whose boxes are links.
"use strict";
(() => {
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const one = (selector, within = document) => within.querySelector(selector);
  for (const tools of all(".tools[hidden]")) tools.hidden = false;

  // Changes: by text, action and component.
  const form = one("#search");
  if (form) {
    const groups = all(".group").map((group) => ({
      element: group,
      changes: all(".change", group).map((element) => ({ element, text: element.textContent.toLowerCase() })),
    }));
    const text = one("#search-text"), action = one("#search-action"), component = one("#search-component");
    const found = one("#found");
    let waiting = 0;
    const filter = () => {
      const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const narrow = words.length > 0 || action.value !== "" || component.value !== "";
      let shown = 0, total = 0;
      for (const group of groups) {
        let here = 0;
        const named = component.value === "" || group.element.dataset.component === component.value;
        for (const change of group.changes) {
          const acts = action.value === "" || change.element.dataset.action === action.value;
          const match = named && acts && words.every((word) => change.text.includes(word));
          change.element.hidden = !match;
          here += match ? 1 : 0;
        }
        total += group.changes.length;
        shown += here;
        group.element.hidden = here === 0 && narrow;
        if (narrow && here > 0) group.element.open = true;
      }
      found.textContent = narrow ? `${shown} of ${total} changes` : `${total} changes`;
    };
    const soon = () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); };
    text.addEventListener("input", soon);
    action.addEventListener("change", filter);
    component.addEventListener("change", filter);
    form.addEventListener("submit", (event) => { event.preventDefault(); filter(); });
    form.addEventListener("reset", () => setTimeout(filter));
    const open = (state) => {
      for (const group of groups) {
        if (group.element.hidden) continue;
        group.element.open = state;
        for (const change of group.changes) if (!change.element.hidden) change.element.open = state;
      }
    };
    one("#open-all").addEventListener("click", () => open(true));
    one("#close-all").addEventListener("click", () => open(false));
    filter();
  }

  // A link to something that is folded away opens what it is in.
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let at = target; at; at = at.parentElement) {
      at.hidden = false;
      if (at.tagName === "DETAILS") at.open = true;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();

  // Graphs: zoomed by buttons, keys and the wheel with Ctrl; moved by dragging, scrolling and arrow keys.
  for (const frame of all(".graph")) {
    const svg = one("svg", frame);
    const width = Number(svg.getAttribute("width")), height = Number(svg.getAttribute("height"));
    const said = document.getElementById(frame.dataset.said);
    let scale = 1;
    const zoom = (next, x = frame.clientWidth / 2, y = frame.clientHeight / 2) => {
      const to = Math.min(4, Math.max(0.1, next));
      const left = (frame.scrollLeft + x) * (to / scale) - x, top = (frame.scrollTop + y) * (to / scale) - y;
      scale = to;
      svg.setAttribute("width", String(width * scale));
      svg.setAttribute("height", String(height * scale));
      frame.scrollTo(left, top);
    };
    const fit = () => zoom(Math.min(1, (frame.clientWidth - 4) / width, 540 / height));
    const does = { in: () => zoom(scale * 1.25), out: () => zoom(scale / 1.25), fit, full: () => zoom(1) };
    for (const button of all(`[data-graph="${frame.id}"]`)) button.addEventListener("click", () => does[button.dataset.zoom]());
    frame.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = frame.getBoundingClientRect();
      zoom(scale * (event.deltaY < 0 ? 1.12 : 1 / 1.12), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    frame.addEventListener("keydown", (event) => {
      const key = { "+": "in", "=": "in", "-": "out", "0": "fit", "1": "full" }[event.key];
      if (key && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); does[key](); }
      if (event.key === "Escape") choose(null);
    });
    let drag = null;
    frame.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button !== 0 || event.target.closest("a")) return;
      drag = { x: event.clientX, y: event.clientY, left: frame.scrollLeft, top: frame.scrollTop };
      frame.setPointerCapture(event.pointerId);
      frame.classList.add("dragging");
    });
    frame.addEventListener("pointermove", (event) => {
      if (drag) frame.scrollTo(drag.left + drag.x - event.clientX, drag.top + drag.y - event.clientY);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      frame.addEventListener(end, () => { drag = null; frame.classList.remove("dragging"); });
    }

    const nodes = new Map(all("[data-node]", frame).map((node) => [node.dataset.node, node]));
    const lines = all("[data-from]", frame);
    const name = (node) => one("title", node).textContent;
    const links = (names) => names.map((node) => {
      const link = document.createElement("a");
      link.href = node.getAttribute("href");
      link.textContent = name(node).split(",")[0];
      link.addEventListener("click", (event) => { event.preventDefault(); choose(node); node.focus(); });
      return link;
    });
    const list = (title, found) => {
      const part = document.createElement("span");
      part.append(` ${title} `);
      links(found).forEach((link, at) => part.append(at ? ", " : "", link));
      part.append(".");
      return part;
    };
    const choose = (chosen) => {
      frame.classList.toggle("chosen", Boolean(chosen));
      for (const node of nodes.values()) { node.classList.remove("selected", "near"); node.removeAttribute("aria-current"); }
      for (const line of lines) line.classList.remove("near");
      said.textContent = "";
      if (!chosen) return;
      const number = chosen.dataset.node, needs = [], needed = [];
      chosen.classList.add("selected");
      chosen.setAttribute("aria-current", "true");
      for (const line of lines) {
        const { from, to } = line.dataset;
        if (from !== number && to !== number) continue;
        line.classList.add("near");
        const other = nodes.get(from === number ? to : from);
        other.classList.add("near");
        (from === number ? needed : needs).push(other);
      }
      const title = document.createElement("strong");
      title.textContent = name(chosen) + ".";
      said.append(title);
      if (needs.length) said.append(list("Needs", needs));
      if (needed.length) said.append(list("Needed by", needed));
      const show = document.createElement("a");
      show.href = chosen.getAttribute("href");
      show.textContent = "Show what changes";
      said.append(" ", show, ".");
    };
    for (const node of nodes.values()) {
      node.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        choose(node.classList.contains("selected") ? null : node);
      });
    }
    if (frame.clientWidth > 700) fit();
    const holder = frame.closest("details");
    if (holder) holder.addEventListener("toggle", () => { if (holder.open && scale === 1) fit(); });
  }

  // On paper nothing can be opened.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])").slice(0, 800);
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of closed) details.open = false; });
})();
