// What stands after the selected step: the operation and its source, the locks, who waits for whom.
const details = (() => {
  const at = (id) => document.getElementById(id);
  let go = () => {};

  const link = (i, text = `step ${i}`) => {
    const button = make("button", { type: "button", class: "step", "data-step": i }, text);
    button.addEventListener("click", () => go(i));
    return button;
  };

  const answers = () => {
    for (const [question, lines] of run.data.answers) {
      const list = make("ul");
      for (const [text, step] of lines) list.append(step < 0 ? make("li", {}, text) : make("li", {}, `${text} `, link(step)));
      const box = make("div", { tabindex: "0", role: "group", "aria-label": question }, make("h2", {}, question), list);
      at("answers").append(box);
    }
    at("answers").hidden = !run.data.answers.length;
  };

  const step = (i) => {
    at("which").textContent = `Step ${i} (of 0 to ${run.count - 1})`;
    const rows = [["thread", run.title(run.task[i])], ["operation", run.did(i)]];
    if (run.result(i)) rows.push(["result", run.result(i)]);
    if (run.how(i)) rows.push(["came to run by", run.how(i)]);
    rows.push(["virtual time", run.time(i)], ["source", run.siteOf(i) || "not known"]);
    at("facts").replaceChildren(...rows.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
    const source = run.source(run.siteOf(i));
    const around = source ? source.lines.map((text, n) => [source.first + n, text]).filter(([n]) => Math.abs(n - source.line) <= 4) : [];
    at("source").hidden = !around.length;
    at("source").replaceChildren(...around.map(([n, text]) => {
      const line = make("div", n === source.line ? { class: "here" } : {}, make("span", { class: "no" }, String(n)), text || " ");
      return line;
    }));
  };

  const nothing = (text) => make("p", { class: "quiet" }, text);
  const unknown = "This trace does not say: it was recorded before holds and waits were kept, or is longer than what is kept.";

  const locks = (i) => {
    if (i >= run.data.kept) return at("locks").replaceChildren(nothing(unknown));
    const held = run.holdsAt(i), waits = run.waitsAt(i);
    if (!held.length) return at("locks").replaceChildren(nothing("no lock is held"));
    const body = make("tbody");
    for (const { lock, who, first } of held) {
      const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.setProperty("--k", run.colour.get(lock));
      const waiters = waits.filter((wait) => wait.on === lock).map((wait) => run.title(wait.who)).join(", ");
      body.append(make("tr", {}, make("th", { scope: "row" }, swatch, run.thing(lock)),
        make("td", {}, `${run.title(who)}, since `, link(first)), make("td", {}, waiters || "nobody")));
    }
    const head = make("tr", {}, ...["lock", "owner", "waiting for it"].map((name) => make("th", { scope: "col" }, name)));
    at("locks").replaceChildren(make("table", {}, make("thead", {}, head), body));
  };

  const node = (x, y, text, what, width = 122) => {
    const group = draw("g", { class: what });
    group.append(draw("rect", { x: x - width / 2, y: y - 11, width, height: 22, rx: 3, class: what.includes("object") ? "object" : "" }));
    group.append(draw("text", { x, y: y + 4, "text-anchor": "middle" }, cut(text, Math.floor(width / 6.3))));
    group.append(draw("title", {}, text));
    return group;
  };
  const arrow = (x1, y1, x2, y2, text, hot) => {
    const group = draw("g", hot ? { class: "hot" } : {}), long = Math.hypot(x2 - x1, y2 - y1) || 1;
    const ux = (x2 - x1) / long, uy = (y2 - y1) / long, bx = x2 - ux * 8, by = y2 - uy * 8;
    group.append(draw("path", { d: `M${x1} ${y1}L${bx} ${by}` }));
    group.append(draw("path", { d: `M${x2} ${y2}L${bx - uy * 4} ${by + ux * 4}L${bx + uy * 4} ${by - ux * 4}z`, class: "tip" }));
    if (text) {
      const x = (x1 + x2) / 2, y = (y1 + y2) / 2, wide = text.length * 5.8 + 6;
      group.append(draw("rect", { x: x - wide / 2, y: y - 7, width: wide, height: 14, class: "plate" }));
      group.append(draw("text", { x, y: y + 3.5, "text-anchor": "middle", class: "label" }, text));
    }
    return group;
  };
  // Where the line from (x, y) towards (tx, ty) leaves the box around (x, y).
  const border = (x, y, tx, ty, w, h) => {
    const dx = tx - x, dy = ty - y, r = Math.min(dx ? w / Math.abs(dx) : 9e9, dy ? h / Math.abs(dy) : 9e9);
    return [x + dx * r, y + dy * r];
  };

  const ring = (cycle, waits) => {
    const n = cycle.length, rx = 128, ry = n === 2 ? 0 : 30 + n * 12, width = 420, height = 2 * ry + (n === 2 ? 84 : 46);
    const svg = draw("svg", { id: "graph", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    const spot = cycle.map((_, k) => {
      const turn = (2 * Math.PI * k) / n - (n === 2 ? Math.PI : Math.PI / 2);
      return [width / 2 + rx * Math.cos(turn), height / 2 + ry * Math.sin(turn)];
    });
    cycle.forEach((who, k) => {
      const wait = waits.find((each) => each.who === who), to = (k + 1) % n;
      const shift = n === 2 ? (k ? 15 : -15) : 0; // two arrows between two boxes run side by side
      const [x1, y1] = n === 2 ? [spot[k][0] + (k ? -20 : 20), spot[k][1] + (k ? 11 : -11)] : border(...spot[k], ...spot[to], 62, 12);
      const [x2, y2] = n === 2 ? [spot[to][0] + (k ? 20 : -20), spot[to][1] + (k ? 11 : -11)] : border(...spot[to], ...spot[k], 62, 12);
      const what = cut(run.thing(wait.on), 26);
      if (n === 2) {
        const group = draw("g", { class: "hot" });
        group.append(draw("path", { d: `M${x1} ${y1}Q${width / 2} ${y1 + shift * 1.6} ${x2 + (k ? 5 : -5)} ${y2 + (k ? 5 : -5)}` }));
        group.append(draw("path", { d: k ? `M${x2} ${y2}l1 8 7-3z` : `M${x2} ${y2}l-1-8-7 3z`, class: "tip" }));
        group.append(draw("text", { x: width / 2, y: y1 + shift * 1.1 + (k ? 10 : -3), "text-anchor": "middle", class: "label" }, what));
        svg.append(group);
      } else svg.append(arrow(x1, y1, x2, y2, what, true));
    });
    cycle.forEach((who, k) => svg.append(node(...spot[k], run.title(who), "hot", 124)));
    svg.setAttribute("aria-label", `Cycle: ${[...cycle, cycle[0]].map(run.title).join(", waits for ")}`);
    return svg;
  };

  const rowsOf = (waits) => {
    const width = 420, each = 30, height = waits.length * each + 4;
    const svg = draw("svg", { id: "graph", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    waits.forEach((wait, k) => {
      const y = k * each + 15, owned = wait.owner >= 0;
      const label = run.owned(wait.on, wait.owner) ? cut(run.thing(wait.on), 18) : cut(run.data.ops[wait.what], 16);
      svg.append(arrow(124, y, 250, y, label, false));
      svg.append(node(63, y, run.title(wait.who), "", 120));
      svg.append(node(335, y, owned ? run.title(wait.owner) : run.thing(wait.on), owned ? "" : "object", 168));
    });
    const says = waits.map((w) => `${run.title(w.who)} waits for ${run.thing(w.on)}${run.owned(w.on, w.owner) ? `, which ${run.title(w.owner)} has` : ""}`);
    svg.setAttribute("aria-label", says.join("; "));
    return svg;
  };

  const waits = (i) => {
    if (i >= run.data.kept) return at("waits").replaceChildren(nothing(unknown));
    const all = run.waitsAt(i), cycle = run.cycleOf(all);
    const others = all.filter((wait) => !cycle.includes(wait.who));
    const shown = others.slice(0, 12);
    const parts = [];
    if (cycle.length) parts.push(cycle.length <= 8 ? ring(cycle, all) : nothing(`cycle: ${cycle.map(run.title).join(" \u2192 ")}`));
    if (shown.length) parts.push(rowsOf(shown));
    if (others.length > shown.length) parts.push(nothing(`and ${others.length - shown.length} more`));
    if (!all.length) parts.push(nothing("nobody waits"));
    at("graph-title").textContent = cycle.length ? "Wait-for cycle after this step" : "Who waits for whom after this step";
    at("waits").replaceChildren(...parts);
  };

  const threads = () => {
    for (const end of run.data.ends) {
      const says = `${end.state}${end.waits ? `, waits for ${end.waits}` : ""}`;
      const lines = end.held.map(([lock, site]) => `holds ${lock}${site ? `, acquired at ${site}` : ""}`);
      for (const [place, text] of end.stack) lines.push(place, ...(text ? [`    ${text}`] : []));
      const summary = make("summary", {}, make("strong", {}, run.title(end.task)), ` ${says}${end.role ? ` (${end.role})` : ""}`);
      at("threads").append(make("details", {}, summary, make("pre", { tabindex: "0" }, lines.join("\n") || "no frame of the program")));
    }
    at("threads").hidden = !run.data.ends.length;
  };

  const about = () => {
    const failure = run.data.failure;
    at("cause").textContent = failure ? failure.cause : "no failure";
    if (!failure) at("cause").classList.add("good");
    at("message").textContent = failure ? failure.message : `${run.data.target} ended well`;
    const counted = (many, what) => `${many} ${what}${many === 1 ? "" : "s"}`;
    const counts = [counted(run.count, "step"), counted(run.preempted.size, "preemption"), counted(lanes.drawn.length, "thread")];
    if (run.count) counts.push(`${run.time(run.count - 1)} of virtual time`);
    at("about").textContent = `${run.data.target}: ${counts.join(", ")}`;
    const rows = [...(failure ? failure.details.map((text) => ["", text]) : []), ...run.data.facts, ["replay", run.data.replay.replace(/^replay: /, "")]];
    for (const [name, text] of rows) {
      at("about-run").append(make("tr", {}, make("th", { scope: "row" }, name || "detail"), make("td", name === "replay" || name === "ends well" ? { class: "mono" } : {}, text)));
    }
  };

  return { link, answers, threads, about, show: (i) => { step(i); locks(i); waits(i); }, onGo: (to) => { go = to; } };
})();
