// Keeps the live part of a page up to date, and adds keys. Every page works without it.
"use strict";
(() => {
  const body = document.body, live = document.getElementById("live"), state = document.getElementById("state");
  let chosen = -1, paused = false, waiting = null, source = null, go = 0, late = 0;

  const show = (html) => {
    if (paused || live.contains(document.activeElement) && document.activeElement.matches("input, select, textarea, summary")) {
      waiting = html;
      return;
    }
    waiting = null;
    const focused = live.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    live.innerHTML = html; // rendered by the server, where all texts are escaped
    if (focused) live.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    mark();
  };
  const listen = () => {
    if (!live || !live.firstElementChild || document.hidden || source) return;
    source = new EventSource("/console/live?page=" + encodeURIComponent(body.dataset.page));
    source.onopen = () => { clearTimeout(late); state.textContent = paused ? "paused" : "live"; };
    source.onmessage = (event) => show(JSON.parse(event.data));
    source.onerror = () => {
      clearTimeout(late); // a stream ends after a while, and the next one begins soon
      late = setTimeout(() => { state.textContent = "out of date, connecting again"; }, 5000);
      if (source && source.readyState === EventSource.CLOSED) { // such as after the end of the session
        source = null;
        setTimeout(listen, 5000);
      }
    };
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source?.close(); source = null; } else listen();
  });

  const rows = () => [...document.querySelectorAll("tr[data-href]")];
  const mark = () => rows().forEach((row, i) => row.classList.toggle("chosen", i === chosen));
  const move = (by) => {
    const all = rows();
    if (!all.length) return;
    chosen = Math.max(0, Math.min(all.length - 1, chosen + by));
    mark();
    all[chosen].scrollIntoView({ block: "nearest" });
  };
  const help = document.getElementById("help");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    const pages = { s: "/console/", r: "/console/recent", d: "/console/dead" };
    if (Date.now() - go < 1000 && pages[event.key]) { location.href = pages[event.key]; return; }
    switch (event.key) {
      case "/": event.preventDefault(); document.getElementById("search").focus(); break;
      case "j": move(1); break;
      case "k": move(-1); break;
      case "g": go = Date.now(); break;
      case "?": help.showModal(); break;
      case "Enter": { const row = rows()[chosen]; if (row && !event.target.closest("a, button")) location.href = row.dataset.href; break; }
    }
  });
  const pause = document.getElementById("pause");
  pause?.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume" : "Pause";
    state.textContent = paused ? "paused" : "live";
    if (!paused && waiting !== null) show(waiting);
  });
  for (const link of document.querySelectorAll("header nav a"))
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
  listen();
})();
