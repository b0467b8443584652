// Moving about: keys, buttons, the address, search and filters, the list of steps, folding, themes, print.
(() => {
  const at = (id) => document.getElementById(id);
  const PAGE = 100;
  const KINDS = [
    ["", "all operations"], ["take release", "locks"], ["wait wake", "waiting and waking"], ["read write", "data"],
    ["switch", "switches"], ["preemption", "preemptions"],
  ];
  let chosen = 0, listed = [], top = 0, found = null;

  const select = (i, { scroll = true } = {}) => {
    if (!run.count) return;
    chosen = Math.min(run.count - 1, Math.max(0, i));
    lanes.choose(chosen);
    details.show(chosen);
    at("said").textContent = `Step ${chosen}: ${run.title(run.task[chosen])}, ${run.did(chosen)}${run.how(chosen) ? `, ${run.how(chosen)}` : ""}`;
    try { history.replaceState(null, "", `#step=${chosen}`); } catch { location.hash = `step=${chosen}`; }
    if (scroll) page(listed.indexOf(chosen));
    list();
    at("previous").disabled = chosen === 0;
    at("next").disabled = chosen === run.count - 1;
  };
  const page = (place) => { if (place >= 0 && (place < top || place >= top + PAGE)) top = Math.max(0, place - Math.floor(PAGE / 2)); };

  const row = (i) => {
    const cells = [
      make("td", { class: "number" }, details.link(i, String(i))), make("td", {}, run.title(run.task[i])), make("td", {}, run.did(i)),
      make("td", {}, run.result(i)), make("td", { class: "kind" }, run.how(i)), make("td", { class: "number" }, run.time(i)), make("td", {}, run.siteOf(i)),
    ];
    return make("tr", i === chosen ? { "aria-current": "step" } : {}, ...cells);
  };
  const list = () => {
    const shown = listed.slice(top, top + PAGE);
    at("rows").replaceChildren(...shown.map(row));
    const all = listed.length === run.count ? "" : ` of ${listed.length} that match`;
    at("listed").textContent = shown.length ? `Steps ${shown[0]} to ${shown[shown.length - 1]}${all}` : "No step matches";
    at("earlier").disabled = top === 0;
    at("later").disabled = top + PAGE >= listed.length;
  };

  const fits = (i, kinds, words) => {
    if (kinds === "switch" && !(i && run.task[i] !== run.task[i - 1])) return false;
    if (kinds === "preemption" && !run.preempted.has(i)) return false;
    if (kinds && kinds !== "switch" && kinds !== "preemption" && !kinds.split(" ").includes(run.kinds[run.op[i]])) return false;
    if (lanes.folded.size && lanes.folded.has(run.task[i])) return false;
    return !words.length || words.every((word) => run.asText(i).includes(word));
  };
  const filter = () => {
    const kinds = at("kind").value, words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    listed = [];
    for (let i = 0; i < run.count; i++) if (fits(i, kinds, words)) listed.push(i);
    found = kinds || words.length ? new Set(listed) : null;
    at("found").textContent = found ? `${listed.length} of ${run.count}` : "";
    lanes.match(found);
    top = 0;
    page(listed.indexOf(chosen));
    list();
  };

  const nextIn = (steps, from) => steps.find((i) => i > from);
  const previousIn = (steps, from) => steps.filter((i) => i < from).pop();
  const to = (i) => { if (i !== undefined && i >= 0) select(i); };
  const move = {
    previous: () => select(chosen - 1), next: () => select(chosen + 1),
    "previous-switch": () => to(previousIn(run.switches, chosen)), "next-switch": () => to(nextIn(run.switches, chosen)),
    decision: () => to(run.decision), failure: () => to(run.lastFailing), first: () => select(0), last: () => select(run.count - 1),
    "next-found": () => to(nextIn(listed, chosen) ?? listed[0]),
    in: lanes.zoomIn, out: lanes.zoomOut, fit: lanes.fit, search: () => at("search").focus(),
    theme: () => {
      const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      document.documentElement.dataset.theme = dark ? "light" : "dark";
      lanes.render();
    },
    help: () => at("keys").showModal(),
    fold: () => {
      const all = lanes.folded.size === lanes.drawn.length;
      for (const who of lanes.drawn) if (all) lanes.folded.delete(who); else lanes.folded.add(who);
      names();
      lanes.render();
      names();
    },
  };
  const KEYS = {
    ArrowLeft: "previous", ArrowRight: "next", k: "previous", j: "next", p: "previous-switch", n: "next-switch", d: "decision", f: "failure",
    Home: "first", End: "last", "/": "search", "+": "in", "=": "in", "-": "out", 0: "fit", t: "theme", "?": "help",
  };
  const MEANS = [
    ["\u2190 \u2192 or k j", "previous, next step"], ["p n", "previous, next switch"], ["d", "the switch that decided"], ["f", "where it failed"],
    ["Home End", "first, last step"], ["/ then Enter", "search, next match"], ["+ \u2212 0", "zoom in, out, whole run"], ["t", "dark or light"], ["Esc", "leave the search"],
  ];

  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || at("keys").open) return;
    if (event.target === at("search")) {
      if (event.key === "Enter") move["next-found"]();
      if (event.key === "Escape") { at("search").value = ""; filter(); at("scroller").focus(); }
      return;
    }
    if (event.target instanceof HTMLSelectElement) return;
    const what = KEYS[event.key];
    if (!what) return;
    event.preventDefault();
    move[what]();
  };

  const names = () => {
    const heights = lanes.heights();
    at("names").replaceChildren(...lanes.drawn.map((who, k) => {
      const end = run.data.ends.find((each) => each.task === who);
      const button = make("button", { type: "button", "aria-expanded": lanes.folded.has(who) ? "false" : "true", title: run.data.tasks[who][1] }, run.title(who));
      if (end) button.append(make("small", {}, end.state));
      button.style.height = `${heights[k]}px`;
      button.addEventListener("click", () => {
        if (lanes.folded.has(who)) lanes.folded.delete(who); else lanes.folded.add(who);
        lanes.render();
        names();
        filter();
        at("names").children[k].focus();
      });
      return button;
    }));
  };

  const legend = () => {
    const says = [["take", "take"], ["release", "give back"], ["wait", "wait"], ["wake", "wake, start, send"], ["read", "read"], ["write", "write"]];
    for (const [kind, text] of says) {
      const svg = draw("svg", { width: 12, height: 12, "aria-hidden": "true" });
      svg.append(lanes.SHAPE[kind](6, 6));
      at("legend").append(make("span", {}, svg, text));
    }
    for (const [what, text] of [["plain", "switch"], ["preempts", "preemption"], ["decides", "decides"]]) {
      const svg = draw("svg", { width: 10, height: 12, "aria-hidden": "true" });
      svg.append(draw("path", { d: "M5 0v12", class: what }));
      at("legend").append(make("span", {}, svg, text));
    }
    const svg = draw("svg", { width: 22, height: 12, "aria-hidden": "true" });
    svg.append(draw("rect", { x: 1, y: 1, width: 20, height: 10, class: "waits" }));
    at("legend").append(make("span", {}, svg, "waits"), make("span", {}, "bars below a thread: locks it holds"));
  };

  const fromAddress = () => {
    const match = /^#step=(\d{1,9})$/.exec(location.hash);
    return match ? Number(match[1]) : -1;
  };

  const begin = () => {
    at("page").hidden = false;
    details.onGo((i) => select(i));
    details.about();
    details.answers();
    details.threads();
    for (const [value, text] of KINDS) at("kind").append(make("option", { value }, text));
    for (const [keys, text] of MEANS) at("key-list").append(make("dt", {}, make("kbd", {}, keys)), make("dd", {}, text));
    for (const [id, action] of Object.entries(move)) if (at(id) instanceof HTMLButtonElement) at(id).addEventListener("click", action);
    at("decision").disabled = !(run.decision >= 0);
    at("failure").disabled = run.lastFailing < 0;
    at("keys-close").addEventListener("click", () => at("keys").close());
    at("search").addEventListener("input", filter);
    at("kind").addEventListener("change", filter);
    at("rows").addEventListener("click", (event) => {
      const button = event.target.closest("tr")?.querySelector("button");
      if (button && event.target !== button) select(Number(button.dataset.step), { scroll: false });
    });
    at("earlier").addEventListener("click", () => { top = Math.max(0, top - PAGE); list(); });
    at("later").addEventListener("click", () => { top += PAGE; list(); });
    document.addEventListener("keydown", onKey);
    window.addEventListener("hashchange", () => { const i = fromAddress(); if (i >= 0 && i !== chosen) select(i); });
    let restore = () => {};
    window.addEventListener("beforeprint", () => { restore = lanes.forPrint(); });
    window.addEventListener("afterprint", () => restore());
    lanes.onPick((i) => { select(i); at("scroller").focus({ preventScroll: true }); });
    lanes.begin();
    names();
    legend();
    filter();
    const asked = fromAddress();
    select(asked >= 0 ? asked : run.lastFailing >= 0 ? run.lastFailing : 0);
    document.documentElement.dataset.ready = "yes";
  };
  begin();
})();
