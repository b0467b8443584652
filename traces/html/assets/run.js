"use strict";
// The run as the page's data has it, and what stood after each step. No drawing.
const run = (() => {
  const data = JSON.parse(document.getElementById("trace").textContent);
  const { task, op, object, site } = data.steps;
  const count = task.length;
  const preempted = new Set(data.steps.preempted);
  const times = new Float64Array(count);
  for (let i = 0, now = 0; i < count; i++) { now += data.steps.nanoseconds[i]; times[i] = now; }
  const switches = [];
  for (let i = 1; i < count; i++) if (task[i] !== task[i - 1]) switches.push(i);
  const lastFailing = data.failure && count ? count - 1 : -1;

  // Decisive steps: where the orders of the explanation come about, and the choice after which no schedule passed.
  const decisive = new Set();
  for (const order of data.orders) if (order.decided !== null) decisive.add(order.decided);
  const critical = data.orders.find((order) => order.critical && order.decided !== null);
  const decision = critical ? critical.decided : data.turning;
  if (data.turning >= 0) decisive.add(data.turning);

  const covers = (first, last, at) => first <= at && (last < 0 || at <= last);
  const holdsAt = (at) => data.holds.filter((h) => covers(h[2], h[3], at)).map(([lock, who, first]) => ({ lock, who, first }));
  const waitsAt = (at) => data.waits.filter((w) => covers(w[4], w[5], at))
    .map(([who, what, on, owner, first]) => ({ who, what, on, owner, first }));

  // The tasks of a cycle, each waiting for the next, or nothing.
  const cycleOf = (waits) => {
    const next = new Map(waits.filter((w) => w.owner >= 0).map((w) => [w.who, w.owner]));
    for (const start of next.keys()) {
      const path = [];
      let at = start;
      while (next.has(at) && !path.includes(at)) { path.push(at); at = next.get(at); }
      if (path.includes(at)) return path.slice(path.indexOf(at));
    }
    return [];
  };

  const SHAPES = [
    ["take", /(^|[._])(acquire|share|try_acquire|reacquire)$/], ["release", /(^|[._])release$/],
    ["wait", /(^|\.)(wait|join|select|poll|get|recv|accept|sleep)$|^sleep$/],
    ["wake", /(^|\.)(wake|timeout|notify|notify_all|set|put|send|try_send|start)$/],
    ["read", /^read$/], ["write", /^write$/],
  ];
  const kinds = data.ops.map((name) => (SHAPES.find(([, pattern]) => pattern.test(name)) || ["other"])[0]);

  const title = (who) => data.tasks[who][0];
  const thing = (what) => data.objects[what][0];
  // Whether it says more who has it: of a thread that is waited for, the thread is both.
  const owned = (what, owner) => owner >= 0 && thing(what) !== title(owner);
  const did = (i) => `${data.ops[op[i]]} ${thing(object[i])}`.trim();
  const result = (i) => data.steps.results[i] || "";
  const how = (i) => {
    const parts = [];
    if (preempted.has(i)) parts.push("preemption");
    else if (i && task[i] !== task[i - 1]) parts.push("switch");
    if (decisive.has(i)) parts.push(i === decision ? "decides" : "brings an order about");
    if (i === lastFailing) parts.push("fails here");
    return parts.join(", ");
  };
  const time = (i) => `${(times[i] / 1e9).toFixed(6)} s`;
  const source = (text) => {
    const match = /^(.+?):(\d+)(?: |$)/s.exec(text);
    if (!match) return null;
    const line = Number(match[2]);
    const block = data.sources.find(([file, first, lines]) => file === match[1] && first <= line && line < first + lines.length);
    return block ? { line, first: block[1], lines: block[2] } : null;
  };
  // Locks get a colour each, in the order in which they are first held for longest.
  const heldFor = new Map();
  for (const [lock, , first, last] of data.holds) {
    heldFor.set(lock, (heldFor.get(lock) || 0) + ((last < 0 ? count : last) - first + 1));
  }
  const ranked = [...heldFor.keys()].sort((a, b) => heldFor.get(b) - heldFor.get(a));
  const colour = new Map(ranked.map((lock, at) => [lock, `var(--k${Math.min(at, 7)})`]));

  const asText = (i) => `${title(task[i])} ${did(i)} ${data.sites[site[i]]} ${result(i)} ${how(i)}`.toLowerCase();
  return {
    data, count, task, op, object, preempted, switches, decisive, decision, lastFailing, kinds,
    holdsAt, waitsAt, cycleOf, title, thing, owned, did, result, how, time, times, source, colour, asText,
    siteOf: (i) => data.sites[site[i]],
    finalCycle: count ? cycleOf(waitsAt(count - 1)) : [],
  };
})();

// Elements: text never becomes markup.
const SVG = "http://www.w3.org/2000/svg";
const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};
const draw = (name, attributes = {}, text = null) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  return element;
};
const cut = (text, room) => (text.length <= room ? text : room < 3 ? "" : `${text.slice(0, room - 1)}\u2026`);
