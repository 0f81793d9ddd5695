"use strict";
// The episode viewer. Everything that it shows comes from the JSON in the page and is set as text, never as HTML.
(() => {
  const box = document.getElementById("viewer");
  if (!box) return;
  const data = JSON.parse(document.getElementById("episode-data").textContent);

  /** An element with attributes and children; texts become text nodes. */
  const el = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === false || value === null || value === undefined) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return made;
  };
  const percent = (tenThousandths) => {
    const value = tenThousandths / 100;
    return value > 0 && value < 0.1 ? "<0.1%" : `${value.toFixed(value >= 99.95 || value === 0 ? 0 : 1)}%`;
  };
  const argumentOf = (action) => action.slice(action.indexOf("[") + 1, -1);

  // For each policy its episodes by goal; of several on one goal the first.
  const byGoal = data.policies.map(() => new Map());
  for (const episode of data.episodes) if (!byGoal[episode.p].has(episode.g)) byGoal[episode.p].set(episode.g, episode);
  const searchable = new Map();
  const textOf = (goal) => {
    if (!searchable.has(goal)) {
      const about = data.goals[goal], words = [String(goal), about.instruction, ...(about.target || [])];
      for (const episodes of byGoal) {
        const episode = episodes.get(goal);
        if (episode && episode.receipt) words.push(episode.receipt.asin, episode.receipt.title);
      }
      searchable.set(goal, words.join("\n").toLowerCase());
    }
    return searchable.get(goal);
  };

  const state = { a: 0, b: -1, kind: "", words: "", goal: null, step: [0, 0] };

  // Controls
  const option = (value, text) => el("option", { value }, text);
  const policies = (extra) => [...extra, ...data.policies.map((name, place) => option(place, name))];
  const chooseA = el("select", { id: "policy-a" }, policies([]));
  const chooseB = el("select", { id: "policy-b" }, policies([option(-1, "no other")]));
  const kinds = data.kinds.filter((kind) => data.episodes.some((episode) => episode.k === kind));
  const chooseKind = el("select", { id: "outcome" }, option("", "every outcome"), option("failed", "every failure"),
    option("differ", "where the two differ"), kinds.map((kind) => option(kind, kind)));
  const search = el("input", { id: "search", type: "search", placeholder: "words, goal number or asin", autocomplete: "off" });
  const count = el("p", { class: "count", role: "status" });
  const goals = el("ul", { class: "goals", id: "goals", "aria-label": "Goals" });
  const main = el("div", { class: "main" });
  const spoken = el("p", { class: "hidden", "aria-live": "polite" });
  box.append(
    el("div", { class: "side-list" },
      el("div", { class: "controls" },
        el("label", {}, "Agent", chooseA), el("label", {}, "Side by side with", chooseB),
        el("label", {}, "Outcome", chooseKind), el("label", {}, "Search", search)),
      count, goals),
    main, spoken);

  const matches = (goal, episode) => {
    if (state.words && !state.words.split(/\s+/).every((word) => textOf(goal).includes(word))) return false;
    if (state.kind === "failed") return episode.k !== "success";
    if (state.kind === "differ") {
      const other = state.b < 0 ? null : byGoal[state.b].get(goal);
      return Boolean(other) && (other.k !== episode.k || other.r !== episode.r);
    }
    return !state.kind || episode.k === state.kind;
  };
  const chip = (name, episode) => el("span", { class: episode.k === "success" ? "good" : "bad" },
    `${name}${episode.k === "success" ? "success" : `${episode.k}${episode.r > 0 ? `, ${episode.r.toFixed(2)}` : ""}`}`);

  let listed = [];
  const list = () => {
    const found = [...byGoal[state.a]].filter(([goal, episode]) => matches(goal, episode));
    listed = found.map(([goal]) => goal);
    count.textContent = `${found.length} of ${byGoal[state.a].size} goals`;
    goals.replaceChildren(...found.map(([goal, episode]) => {
      const other = state.b < 0 ? null : byGoal[state.b].get(goal);
      return el("li", {}, el("button", { type: "button", "data-goal": goal, "aria-current": goal === state.goal ? "true" : null },
        el("span", { class: "what" }, data.goals[goal].instruction),
        el("span", { class: "chips" }, el("span", { class: "dim" }, `goal ${goal}`), chip("", episode),
          other ? chip(`${data.policies[state.b]}: `, other) : null)));
    }));
  };
  const mark = () => {
    for (const button of goals.querySelectorAll("[aria-current]")) button.removeAttribute("aria-current");
    const button = goals.querySelector(`[data-goal="${state.goal}"]`);
    if (!button) return;
    button.setAttribute("aria-current", "true");
    const top = button.offsetTop - goals.offsetTop;
    if (top < goals.scrollTop || top + button.offsetHeight > goals.scrollTop + goals.clientHeight)
      goals.scrollTop = top - goals.clientHeight / 3;
  };

  // Pages
  const action = (words, chance, taken, more = {}) => {
    const cells = [el("span", {}, words, taken ? el("span", { class: "did" }, "◂ chosen") : null)];
    if (chance !== null) {
      const fill = el("i");
      fill.style.width = `${chance / 100}%`;
      cells.push(el("span", { class: "p" }, percent(chance)), el("span", { class: "meter", "aria-hidden": "true" }, fill));
    }
    return el("li", { class: `act${taken ? " taken" : ""}`, ...more }, cells);
  };
  const rowsOf = (items, chances, taken) =>
    el("ul", { class: "acts" }, items.map(([place, words]) => action(words, chances ? chances[place] : null, place === taken)));
  /** Options and buttons as on a page, side by side; under each its probability as a bar. */
  const pillsOf = (items, chances, taken, chosen = []) => el("ul", { class: "pills" }, items.map(([place, words]) => {
    const chance = chances ? chances[place] : null, fill = el("i", { "aria-hidden": "true" });
    fill.style.width = `${(chance || 0) / 100}%`;
    return el("li", { class: `pill${place === taken ? " taken" : ""}${chosen.includes(words) ? " set" : ""}` },
      el("span", {}, words), chosen.includes(words) ? el("span", { class: "hidden" }, " (set)") : null,
      chance === null ? null : el("span", { class: "p" }, percent(chance)),
      place === taken ? el("span", { class: "did" }, "◂ chosen") : null, chance === null ? null : fill);
  }));
  const drawPage = (step) => {
    const [pagePlace, name, actionsPlace, taken, chances] = step;
    const page = data.pages[pagePlace], actions = data.actions[actionsPlace], odds = chances || null;
    const places = actions.map((text, place) => [place, argumentOf(text)]);
    const inside = [];
    if (page[0] === "s") {
      inside.push(el("p", { class: "group" }, "what it can search for"), rowsOf(places, odds, taken));
    } else if (page[0] === "r") {
      const [, , , products, visited] = page;
      const byName = new Map(places.map(([place, word]) => [word, place]));
      const used = new Set();
      inside.push(el("ul", { class: "acts" }, products.map((listedPlace, number) => {
        const [asin, title, price] = data.listed[listedPlace], place = byName.get(asin.toLowerCase());
        const again = used.has(place);
        used.add(place);
        const words = [el("span", { class: visited.includes(number) ? "seen" : null }, `${number + 1}. ${title}`),
          el("span", { class: "cost" }, price, visited.includes(number) ? " (opened)" : "")];
        return action(words, odds && place !== undefined && !again ? odds[place] : odds ? 0 : null, place === taken && !again);
      })));
      inside.push(pillsOf(places.filter(([place]) => !used.has(place)), odds, taken));
    } else if (page[0] === "i") {
      const [, title, price, groups, clicked] = page;
      inside.push(el("p", { class: "title" }, data.texts[title]), el("p", { class: "price" }, price));
      const used = new Set();
      groups.forEach((groupPlace, number) => {
        const [group, values] = data.groups[groupPlace], chosen = clicked[number];
        const items = places.filter(([place, word]) => values.includes(word) && !used.has(place));
        items.forEach(([place]) => used.add(place));
        inside.push(el("p", { class: "group" }, `${group}${chosen.length ? `: ${chosen.join(", ")}` : ": nothing chosen yet"}`));
        inside.push(pillsOf(items, odds, taken, chosen));
      });
      inside.push(el("p", { class: "group" }, "buttons"), pillsOf(places.filter(([place]) => !used.has(place)), odds, taken));
    } else {
      inside.push(el("p", { class: "text" }, data.texts[page[1]] || "Nothing is written here."), pillsOf(places, odds, taken));
    }
    return [name, inside];
  };
  const drawRead = (episode, at) => {
    let notes = 0;
    for (let place = Math.min(at, episode.steps.length - 1); place >= 0 && !notes; place -= 1) notes = episode.steps[place][6];
    if (!notes || !notes.length) return el("div", { class: "read" }, el("h4", {}, "Opened so far"), el("p", { class: "more" }, "no product yet"));
    return el("div", { class: "read" }, el("h4", {}, "Opened so far"), el("ul", {}, notes.map(([, title, price, features, description]) => {
      const read = [["features", features], ["description", description]].filter(([, place]) => place >= 0);
      return el("li", {}, title, " ", el("span", { class: "cost" }, price),
        read.length ? read.map(([name, place]) => el("details", {}, el("summary", {}, `${name}, read`), el("pre", {}, data.texts[place] || "(empty)")))
          : el("span", { class: "dim" }, " - nothing read"));
    })));
  };
  const drawEnd = (episode) => {
    const receipt = episode.receipt, inside = [];
    const verdict = episode.k === "success" ? "Success: reward 1." : `${episode.k[0].toUpperCase()}${episode.k.slice(1)}: reward ${episode.r.toFixed(3)}.`;
    inside.push(el("p", { class: `verdict ${episode.k === "success" ? "good" : "bad"}` }, verdict));
    if (receipt) {
      inside.push(el("p", { class: "title" }, `Bought: ${receipt.title}`), el("p", { class: "price" }, `${receipt.asin}, ${receipt.price}`));
      const cells = receipt.lines.map(([part, asked, got, share, weight]) => el("tr", {}, el("th", { scope: "row" }, part), el("td", {}, asked), el("td", {}, got),
        el("td", { class: share < 1 ? "bad" : "good" }, weight === null ? `× ${share}` : `${share.toFixed(2)} × ${weight.toFixed(2)}`)));
      inside.push(el("div", { class: "scroll", tabindex: "0" }, el("table", {},
        el("thead", {}, el("tr", {}, ["part", "asked for", "got", "share × weight"].map((text) => el("th", { scope: "col" }, text)))), el("tbody", {}, cells))));
      inside.push(el("p", { class: "more" }, `${data.formula}.`));
      if (episode.r < 1) {
        const [asin, title] = data.goals[episode.g].target;
        inside.push(el("p", {}, `This product could have earned ${receipt.best.toFixed(3)}, with ${receipt.with}. Meant was ${asin}: ${title}`));
      }
    } else if (episode.parts) {
      inside.push(el("p", { class: "more" }, Object.entries(episode.parts).map(([name, value]) => `${name} ${value}`).join(", ")));
    }
    if (episode.why) inside.push(el("dl", { class: "whys" }, Object.entries(episode.why).filter(([name]) => name !== "bought" || !receipt).map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])));
    return ["how it ended", el("div", { class: "receipt" }, inside)];
  };
  const drawScreen = (episode, at) => {
    const ended = at >= episode.steps.length;
    const [name, inside] = ended ? drawEnd(episode) : drawPage(episode.steps[at]);
    const value = ended ? null : episode.steps[at][5];
    const plain = ended || !episode.steps[at][4];
    return el("div", { class: `screen${plain ? " plain" : ""}` },
      el("div", { class: "bar" }, el("strong", {}, ended ? name : `Step ${at + 1}: ${name}`),
        value === null ? null : el("span", {}, `value ${value.toFixed(2)}`), ended || !plain ? null : el("span", { class: "dim" }, "a rule: no probabilities")),
      el("div", { class: "inside" }, inside));
  };
  const say = (episode, at) => {
    if (at >= episode.steps.length) return `The end: ${episode.k}, reward ${episode.r.toFixed(2)}`;
    const [, name, actionsPlace, taken, chances] = episode.steps[at];
    return `Step ${at + 1} of ${episode.steps.length}: ${name}; chosen: ${argumentOf(data.actions[actionsPlace][taken])}${chances ? `, ${percent(chances[taken])}` : ""}`;
  };

  const drawSide = (side) => {
    const policy = side ? state.b : state.a, episode = byGoal[policy].get(state.goal);
    const name = data.policies[policy];
    if (!episode) return el("article", { class: "side" }, el("header", {}, el("h3", {}, name)), el("p", { class: "notice" }, "has no episode of this goal"));
    const last = episode.steps.length, at = Math.min(state.step[side], last);
    const go = (to) => { state.step[side] = Math.max(0, Math.min(last, to)); draw(side); };
    const steps = Array.from({ length: last + 1 }, (_, place) => el("li", {}, el("button", {
      type: "button", "data-key": place, "aria-current": place === at ? "step" : null, title: place < last ? episode.steps[place][1] : "how it ended",
      "aria-label": place < last ? `step ${place + 1}: ${episode.steps[place][1]}` : "how it ended", onclick: () => go(place) }, place < last ? String(place + 1) : "end")));
    return el("article", { class: "side", "data-side": side, "aria-label": name },
      el("header", {}, el("h3", {}, name), el("span", { class: episode.k === "success" ? "good" : "bad" }, episode.k === "success" ? "success" : `${episode.k}, reward ${episode.r.toFixed(2)}`),
        el("span", { class: "dim" }, `${last} steps`)),
      el("div", { class: "way" }, el("ol", { class: "steps" }, steps),
      el("div", { class: "move" }, el("button", { type: "button", "data-key": "back", disabled: at === 0, onclick: () => go(at - 1) }, "← back"),
        el("button", { type: "button", "data-key": "next", disabled: at === last, onclick: () => go(at + 1) }, "next →"))),
      el("div", { class: "stage" }, drawScreen(episode, at), drawRead(episode, at)));
  };
  /** Draws both sides, or one of them where the other stays as it is. */
  const draw = (side = null) => {
    const sides = state.b < 0 ? [0] : [0, 1];
    const old = main.querySelector(`[data-side="${side}"]`);
    if (side !== null && old) {
      const focused = old.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      const made = drawSide(side);
      old.replaceWith(made);
      if (focused) (made.querySelector(`[data-key="${focused}"]:not(:disabled)`) || made.querySelector(".move button:not(:disabled)")).focus();
    } else if (state.goal !== null) {
      const target = data.goals[state.goal].target;
      main.replaceChildren(el("p", { class: "wish" }, data.goals[state.goal].instruction),
        el("p", { class: "more" }, `Goal ${state.goal}${target ? `; meant is ${target[0]}: ${target[1]}` : ""}`),
        el("div", { class: `sides${sides.length > 1 ? " two" : ""}` }, sides.map(drawSide)));
    } else main.replaceChildren(el("p", { class: "notice" }, "No goal is like that."));
    const episode = state.goal === null ? null : byGoal[side ? state.b : state.a].get(state.goal);
    if (episode) spoken.textContent = say(episode, Math.min(state.step[side || 0], episode.steps.length));
    remember();
  };
  const remember = () => {
    const hash = new URLSearchParams({ goal: state.goal, a: state.a, b: state.b, step: state.step[0] });
    try { history.replaceState(null, "", `#${hash}`); } catch { /* a page that may not have an address */ }
  };
  const choose = (goal, step = 0) => {
    state.goal = goal;
    state.step = [step, step];
    mark();
    draw();
  };
  const refresh = () => {
    list();
    if (!listed.includes(state.goal)) choose(listed.length ? listed[0] : null);
    else { mark(); draw(); }
  };

  chooseA.addEventListener("change", () => { state.a = Number(chooseA.value); refresh(); });
  chooseB.addEventListener("change", () => { state.b = Number(chooseB.value); refresh(); });
  chooseKind.addEventListener("change", () => { state.kind = chooseKind.value; refresh(); });
  search.addEventListener("input", () => { state.words = search.value.trim().toLowerCase(); refresh(); });
  goals.addEventListener("click", (event) => {
    const button = event.target.closest("[data-goal]");
    if (button) choose(Number(button.dataset.goal));
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const inView = box.getBoundingClientRect(), visible = inView.top < innerHeight && inView.bottom > 0;
    if (event.key === "/") {
      box.scrollIntoView({ behavior: "instant" }); // a key pressed while it still glides would not be the viewer's
      search.focus();
    } else if (!visible) return;
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      const by = event.key === "ArrowRight" ? 1 : -1;
      (state.b < 0 ? [0] : [0, 1]).forEach((side) => {
        const episode = state.goal === null ? null : byGoal[side ? state.b : state.a].get(state.goal);
        if (!episode) return;
        state.step[side] = Math.max(0, Math.min(episode.steps.length, state.step[side] + by));
        draw(side);
      });
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const place = listed.indexOf(state.goal) + (event.key === "ArrowDown" ? 1 : -1);
      if (place >= 0 && place < listed.length) choose(listed[place]);
    } else return;
    event.preventDefault();
  });
  // On paper every step of the chosen episode is shown.
  window.addEventListener("beforeprint", () => {
    for (const article of main.querySelectorAll("[data-side]")) {
      const episode = byGoal[Number(article.dataset.side) ? state.b : state.a].get(state.goal);
      article.querySelector(".screen").replaceWith(...Array.from({ length: episode.steps.length + 1 }, (_, at) => drawScreen(episode, at)));
    }
  });
  window.addEventListener("afterprint", () => draw());

  const fromAddress = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    const policy = (name, least) => { const place = Number(asked.get(name)); return asked.has(name) && place >= least && place < data.policies.length ? place : null; };
    state.a = policy("a", 0) ?? state.a;
    state.b = policy("b", -1) ?? state.b;
    chooseA.value = state.a;
    chooseB.value = state.b;
    list();
    const goal = Number(asked.get("goal"));
    if (asked.has("goal") && byGoal[state.a].has(goal)) choose(goal, Math.max(0, Number(asked.get("step")) || 0));
    else choose(listed.length ? listed[0] : null);
  };
  box.hidden = false;
  fromAddress();
})();
