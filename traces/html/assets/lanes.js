// The lanes: a row for each thread, holds and waits as bars, switches as lines. Only what is in view is drawn.
const lanes = (() => {
  const AXIS = 40, RUN = 20, SLOT = 13, GAP = 7, FOLDED = 20, MOST_SLOTS = 5, LETTER = 6.1;
  const LEAST = 0.5, MOST = 160, NAMED = 72;
  const svg = document.getElementById("lanes");
  const scroller = document.getElementById("scroller");
  const spacer = document.getElementById("spacer");
  const overview = document.getElementById("overview");
  const folded = new Set();
  let pitch = 14, chosen = 0, matching = null, rows = [];

  const drawn = [...new Set([...run.data.ends.map((end) => end.task), ...run.task])];
  const holdsOf = new Map(drawn.map((who) => [who, []]));
  for (const [lock, who, first, last] of run.data.holds) {
    if (!holdsOf.has(who)) holdsOf.set(who, []);
    const bars = holdsOf.get(who);
    const end = last < 0 ? run.count : last + 1;
    let slot = 0; // the first row in which no earlier bar is still open
    while (bars.some((bar) => bar.slot === slot && bar.end > first && slot < MOST_SLOTS - 1)) slot++;
    bars.push({ lock, first, end, open: last < 0, slot });
  }
  const slotsOf = (who) => Math.max(0, ...holdsOf.get(who).map((bar) => bar.slot + 1));
  const waitsOf = new Map(drawn.map((who) => [who, []]));
  for (const [who, what, on, owner, first, last] of run.data.waits) {
    if (waitsOf.has(who)) waitsOf.get(who).push({ what, on, owner, first, end: last < 0 ? run.count : last + 1, open: last < 0 });
  }

  const arrange = () => {
    let top = AXIS;
    const names = pitch >= NAMED ? 13 : 0; // room for the operations' names above the line
    rows = drawn.map((who) => {
      const height = folded.has(who) ? FOLDED : Math.max(names + RUN + SLOT * slotsOf(who) + GAP, 36);
      const middle = top + (folded.has(who) ? FOLDED / 2 : names + 12);
      const row = { who, top, height, middle, bars: top + names + RUN + 2 };
      top += height;
      return row;
    });
    return top;
  };
  const rowOf = (who) => rows.find((row) => row.who === who);

  // Marks of the steps, `k` times their full size.
  const box = (x, y, k, what) => draw("rect", { x: x - 3.5 * k, y: y - 3.5, width: 7 * k, height: 7, class: what });
  const disc = (x, y, k, what) => draw("ellipse", { cx: x, cy: y, rx: 3.6 * k, ry: 3.6, class: what });
  const diamond = (x, y, k, what) => draw("path", { d: `M${x} ${y - 4.6}l${4.6 * k} 4.6-${4.6 * k} 4.6-${4.6 * k}-4.6z`, class: what });
  const SHAPE = {
    take: (x, y, k = 1) => box(x, y, k, "op"), release: (x, y, k = 1) => box(x, y, k, "op open"),
    wait: (x, y, k = 1) => disc(x, y, k, "op open"), wake: (x, y, k = 1) => disc(x, y, k, "op"),
    read: (x, y, k = 1) => diamond(x, y, k, "op open"), write: (x, y, k = 1) => diamond(x, y, k, "op"),
    other: (x, y) => draw("path", { d: `M${x} ${y - 4}v8`, class: "op" }),
  };

  const patterns = () => {
    const all = draw("defs");
    for (const id of ["hatch", "hatch-bad"]) {
      const pattern = draw("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse" });
      pattern.append(draw("path", { d: "M-1 7L7-1M-1 1L1-1M5 7L7 5" }));
      all.append(pattern);
    }
    return all;
  };

  const mid = (i) => (i + 0.5) * pitch;

  const render = () => {
    const height = arrange();
    const width = scroller.clientWidth || 800;
    const whole = Math.max(run.count * pitch + 10, width);
    spacer.style.width = `${whole}px`;
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    const left = Math.min(scroller.scrollLeft, whole - width);
    const from = Math.max(0, Math.floor(left / pitch) - 1);
    const to = Math.min(run.count - 1, Math.ceil((left + width) / pitch) + 1);
    const view = draw("g", { transform: `translate(${-left} 0)` });
    const seen = (first, end) => end >= from && first <= to;
    back(view, from, to, height, left, width);
    for (const row of rows) lane(view, row, from, to, seen, left, width);
    switchLines(view, from, to, left + width);
    orderLines(view, seen);
    svg.replaceChildren(patterns(), view);
    strip(left, width, whole);
  };

  const back = (view, from, to, height, left, width) => {
    if (run.lastFailing >= 0) {
      view.append(draw("rect", { x: run.lastFailing * pitch, y: 14, width: Math.max(pitch, 2), height: height - 14, class: "fails" }));
      const right = mid(run.lastFailing) + 40 > left + width;
      if (run.lastFailing !== run.decision && run.lastFailing >= from && run.lastFailing <= to) {
        view.append(draw("text", { x: right ? Math.min(mid(run.lastFailing), left + width - 4) : mid(run.lastFailing), y: 10.5, "text-anchor": right ? "end" : "middle", class: "flagged" }, "fails"));
      }
    }
    view.append(draw("rect", { x: chosen * pitch, y: 14, width: Math.max(pitch, 2), height: height - 15, class: "chosen", id: "chosen" }));
    const each = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 1e5, 1e6].find((n) => n * pitch >= 74);
    for (let i = Math.ceil(from / each) * each; i <= to; i += each) {
      view.append(draw("path", { d: `M${mid(i)} 36v${height - 36}`, class: "rule" }));
      const place = mid(i) < 32 ? { x: Math.max(mid(i) - 3, 2) } : { x: mid(i), "text-anchor": "middle" };
      view.append(draw("text", { ...place, y: 22, class: "axis" }, String(i)));
      view.append(draw("text", { ...place, y: 33, class: "axis" }, run.time(i)));
    }
    for (const row of rows) view.append(draw("path", { d: `M${left} ${row.top}h${width}`, class: "rule" }));
  };

  const lane = (view, row, from, to, seen, left, width) => {
    const { who, middle, bars } = row;
    const inCycle = run.finalCycle.includes(who), stretches = [];
    for (let i = from; i <= to; i++) {
      if (run.task[i] !== who) continue;
      let end = i;
      while (end < to && run.task[end + 1] === who) end++;
      view.append(draw("path", { d: `M${i * pitch + 1} ${middle}H${(end + 1) * pitch - 1}`, class: "runs" }));
      stretches.push([i, end]);
      i = end;
    }
    for (const bar of waitsOf.get(who)) {
      if (!seen(bar.first, bar.end)) continue;
      const x = mid(bar.first) + Math.min(5, pitch / 3), end = bar.open ? run.count * pitch + 6 : mid(bar.end) - Math.min(5, pitch / 3);
      if (end - x < 0.5) continue;
      view.append(draw("rect", { x, y: middle - 6.5, width: end - x, height: 13, rx: 2, class: bar.open && inCycle ? "cycle" : "waits" }));
      const says = `waits: ${run.thing(bar.on)}${run.owned(bar.on, bar.owner) ? ` \u2190 ${run.title(bar.owner)}` : ""}`;
      label(view, says, x, end, middle, left, width, true);
    }
    if (pitch >= 5) for (const [i, end] of stretches) for (let at = i; at <= end; at++) mark(view, at, middle);
    if (folded.has(who)) return;
    for (const bar of holdsOf.get(who)) {
      if (!seen(bar.first, bar.end)) continue;
      const x = mid(bar.first), end = bar.open ? run.count * pitch + 6 : mid(bar.end);
      const y = bars + bar.slot * SLOT;
      const group = draw("g");
      group.style.setProperty("--k", run.colour.get(bar.lock));
      group.append(draw("rect", { x, y, width: Math.max(end - x, 1), height: SLOT - 2, class: "hold" }));
      group.append(draw("rect", { x, y, width: 2, height: SLOT - 2, class: "edge" }));
      if (!bar.open) group.append(draw("rect", { x: end - 1, y, width: 1, height: SLOT - 2, class: "edge" }));
      view.append(group);
      label(view, run.thing(bar.lock), x + 2, end, y + 5, left, width, false);
    }
  };

  const label = (view, text, x, end, y, left, width, plate) => {
    const start = Math.max(x, left) + 4;
    const room = Math.min(end, left + width) - start - 3;
    const shown = cut(text, Math.floor(Math.max(room, 0) / LETTER));
    if (shown.length < Math.min(text.length, 4)) return;
    if (plate) view.append(draw("rect", { x: start - 2, y: y - 5.5, width: shown.length * LETTER + 4, height: 11, class: "plate" }));
    view.append(draw("text", { x: start, y: y + 3.7 }, shown));
  };

  const mark = (view, i, y) => {
    const shape = SHAPE[run.kinds[run.op[i]]](mid(i), y, Math.min(1, pitch / 10));
    if (matching && !matching.has(i)) shape.classList.add("dim");
    view.append(shape);
    if (pitch >= NAMED && !folded.has(run.task[i])) {
      view.append(draw("text", { x: mid(i), y: y - 9, "text-anchor": "middle" }, cut(run.data.ops[run.op[i]], Math.floor((pitch - 6) / LETTER))));
    }
  };

  const switchLines = (view, from, to, rim) => {
    for (const i of run.switches) {
      if (i < from || i > to) continue;
      const one = rowOf(run.task[i - 1]).middle, other = rowOf(run.task[i]).middle;
      const marked = run.decisive.has(i), preempts = run.preempted.has(i);
      if (pitch < 2 && !marked && !preempts) continue;
      const what = i === run.decision ? "switch decides" : marked ? "switch brings" : preempts ? "switch preempts" : "switch";
      view.append(draw("path", { d: `M${i * pitch} ${one}V${other}`, class: what, "data-step": i }));
    }
    for (const i of run.decisive) {
      if (i < from || i > to) continue;
      const goesOn = i === 0 || run.task[i] === run.task[i - 1], x = goesOn ? mid(i) : i * pitch;
      if (goesOn) view.append(draw("path", { d: `M${x} 11V${rowOf(run.task[i]).middle - 5}`, class: "switch brings" }));
      view.append(draw("path", { d: `M${x - 5} 3h10l-5 8z`, class: "flag", "data-decides": i }));
      if (i === run.decision) {
        const right = x + 60 > rim;
        view.append(draw("text", { x: right ? x - 8 : x + 8, y: 10.5, class: "flagged", "text-anchor": right ? "end" : "start" }, "decides"));
      }
    }
  };

  const orderLines = (view, seen) => {
    for (const { before, after } of run.data.orders) {
      if (before[3] === null) continue;
      const end = after[3] === null ? run.count : after[3];
      if (!seen(before[3], end) || !rowOf(before[0]) || !rowOf(after[0])) continue;
      const x1 = mid(before[3]), y1 = rowOf(before[0]).middle;
      const x2 = after[3] === null ? run.count * pitch + 2 : mid(end) - 5, y2 = rowOf(after[0]).middle;
      const bend = Math.max((x2 - x1) / 2, 14);
      view.append(draw("path", { d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, class: "order" }));
      view.append(draw("path", { d: `M${x2} ${y2}l-7-3.5v7z`, class: "tip" }));
    }
  };

  // The whole run in one strip: who runs, preemptions, the decision, the failure, and what is in view.
  const strip = (left, width, whole) => {
    const ratio = window.devicePixelRatio || 1, across = overview.clientWidth, high = 20;
    overview.hidden = whole <= width + 1;
    if (overview.hidden || !across) return;
    overview.width = across * ratio; overview.height = high * ratio;
    const pen = overview.getContext("2d");
    const look = getComputedStyle(document.documentElement);
    const colour = (name) => look.getPropertyValue(name).trim();
    pen.scale(ratio, ratio);
    const each = across / run.count, thick = Math.max(1, Math.min(3, (high - 4) / drawn.length));
    pen.fillStyle = colour("--quiet");
    const place = new Map(drawn.map((who, at) => [who, 2 + at * ((high - 4) / drawn.length)]));
    for (let i = 0; i < run.count;) {
      let end = i;
      while (end + 1 < run.count && run.task[end + 1] === run.task[i]) end++;
      pen.fillRect(i * each, place.get(run.task[i]), Math.max((end - i + 1) * each, 0.6), thick);
      i = end + 1;
    }
    pen.fillStyle = colour("--accent");
    if (run.preempted.size < across) for (const i of run.preempted) pen.fillRect(i * each, 0, 1, high);
    pen.fillStyle = colour("--bad");
    for (const i of run.decisive) pen.fillRect(i * each - 1, 0, 2, high);
    if (run.lastFailing >= 0) pen.fillRect(across - 2, 0, 2, high);
    pen.strokeStyle = colour("--ink");
    pen.strokeRect((left / whole) * across + 0.5, 0.5, Math.max((width / whole) * across - 1, 3), high - 1);
  };

  let waiting = false;
  const later = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; render(); });
  };

  const reveal = (i) => {
    const width = scroller.clientWidth, x = mid(i), left = scroller.scrollLeft;
    if (x < left + 40 || x > left + width - 40) scroller.scrollLeft = Math.max(0, x - width / 2);
  };

  const zoom = (next) => {
    const middle = (scroller.scrollLeft + scroller.clientWidth / 2) / pitch;
    pitch = Math.min(MOST, Math.max(LEAST, next));
    spacer.style.width = `${run.count * pitch + 10}px`;
    scroller.scrollLeft = middle * pitch - scroller.clientWidth / 2;
    render();
  };
  const fitting = () => Math.max(0, (scroller.clientWidth - 12) / Math.max(run.count, 1));

  const stepAt = (event) => {
    const x = event.clientX - scroller.getBoundingClientRect().left + scroller.scrollLeft;
    return Math.min(run.count - 1, Math.max(0, Math.floor(x / pitch)));
  };

  return {
    drawn, folded, render, later, SHAPE,
    heights: () => rows.map((row) => row.height),
    choose: (i) => { chosen = i; reveal(i); render(); },
    match: (found) => { matching = found; later(); },
    zoomIn: () => zoom(pitch * 1.5), zoomOut: () => zoom(pitch / 1.5), fit: () => zoom(fitting()),
    begin: () => { pitch = Math.min(110, Math.max(fitting(), 6)); render(); },
    forPrint: () => { const before = pitch; pitch = Math.max(fitting(), 1); scroller.scrollLeft = 0; render(); return () => { pitch = before; render(); }; },
    onPick: (pick) => {
      svg.addEventListener("click", (event) => pick(stepAt(event)));
      overview.addEventListener("click", (event) => pick(Math.min(run.count - 1, Math.floor((event.offsetX / overview.clientWidth) * run.count))));
      scroller.addEventListener("scroll", later);
      window.addEventListener("resize", later);
    },
  };
})();
