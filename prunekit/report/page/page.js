"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (name, look, text) => {
    const element = document.createElement(name);
    if (look) element.className = look;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // ------------------------------------------------------------------------------------------------ light and dark

  const dark = matchMedia("(prefers-color-scheme: dark)");
  $("#theme").addEventListener("click", () => {
    const root = document.documentElement;
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });

  // ------------------------------------------------------------------------------------------- one comparison shown

  const picker = $("#comparison");
  const chosen = () => (picker ? Number(picker.value) : 0);
  const showComparison = () => {
    for (const part of all("[data-comparison]")) part.hidden = Number(part.dataset.comparison) !== chosen();
  };
  picker?.addEventListener("change", showComparison);
  showComparison();

  // ------------------------------------------------------------------------------------------ contents: where one is

  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        for (const [id, link] of links) link.classList.toggle("here", id === entry.target.id);
      }
    },
    { rootMargin: "-20% 0px -70% 0px" },
  );
  for (const section of all("main > section")) seen.observe(section);

  // -------------------------------------------------------------------------------------------------------- gallery

  if (!$("#gallery-data")) return;
  const data = JSON.parse($("#gallery-data").textContent);
  const PAGE = matchMedia("(max-width: 40rem)").matches ? 16 : 30;
  const OUTCOMES = ["now wrong", "now right", "wrong before and now", "nobody said it"];
  const cards = $("#cards");
  const [ofClass, direction, outcome, order, search] = ["#of-class", "#direction", "#outcome", "#order", "#search"].map((id) => $(id));
  let found = []; // what passes the filters, in order
  let laidOut = 0; // of them, how many stand on the page
  let current = -1; // the one that the keyboard is on

  const read = ([example, before, after, shareBefore, shareAfter, change]) => {
    const label = data.labels[example];
    const result = !data.labelled ? 3 : before === label ? 0 : after === label ? 1 : 2;
    return { example, label, before, after, shareBefore, shareAfter, change, result, id: data.ids[example] };
  };
  const comparison = () => data.comparisons[chosen()];
  const votes = (each) => {
    const [before, after] = comparison().members;
    return [`${Math.round(each.shareBefore * before)}/${before}`, `${Math.round(each.shareAfter * after)}/${after}`];
  };
  const name = (label) => data.classes[label];

  const sheets = data.sheets.map((uri) => {
    let image;
    return () => {
      if (!image) {
        image = new Image();
        image.src = uri;
      }
      return image.decode().then(() => image);
    };
  });
  const picture = (example) => {
    const canvas = make("canvas");
    canvas.setAttribute("aria-hidden", "true");
    paint(canvas, example);
    return canvas;
  };
  const paint = (canvas, example) => {
    const { width, height, columns } = data;
    [canvas.width, canvas.height] = [width, height];
    canvas.classList.toggle("exact", data.exact);
    const place = example % (columns * columns);
    const [x, y] = [(place % columns) * width, Math.floor(place / columns) * height];
    sheets[Math.floor(example / (columns * columns))]().then((image) =>
      canvas.getContext("2d").drawImage(image, x, y, width, height, 0, 0, width, height),
    );
  };

  const cardOf = (each, position) => {
    const [votesBefore, votesAfter] = votes(each);
    const card = make("button", "card");
    card.type = "button";
    card.tabIndex = -1;
    card.dataset.position = position;
    card.setAttribute(
      "aria-label",
      `${each.id}, true class ${name(each.label)}: ${name(each.before)} (${votesBefore} votes) to ` +
        `${name(each.after)} (${votesAfter} votes), vote change ${each.change.toFixed(2)}, ${OUTCOMES[each.result]}`,
    );
    if (sheets.length) card.append(picture(each.example));
    const change = make("span", "change");
    change.append(make("span", "before", name(each.before)), " → ", make("span", "after", name(each.after)));
    card.append(
      change,
      make("span", "", `${votesBefore} → ${votesAfter} votes`),
      make("span", "", `true: ${name(each.label)}, ${OUTCOMES[each.result]}`),
      make("span", "", `vote change ${each.change.toFixed(2)}`),
      make("span", "id", each.id),
    );
    const item = make("li");
    item.append(card);
    return item;
  };

  const fill = (select, options) => {
    const before = select.value;
    select.replaceChildren(...options.map(([value, text]) => Object.assign(make("option", "", text), { value })));
    select.value = options.some(([value]) => value === before) ? before : "";
  };
  const counted = (values, label) => {
    const counts = new Map();
    for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
    const sorted = [...counts].sort((a, b) => b[1] - a[1]);
    return [["", "any"], ...sorted.map(([value, count]) => [String(value), `${label(value)} (${count})`])];
  };
  const directionOf = (each) => `${each.before},${each.after}`;
  const offer = () => {
    const everything = comparison().cards.map(read);
    fill(ofClass, counted(everything.map((each) => each.label), name));
    fill(direction, counted(everything.map(directionOf), (pair) => pair.split(",").map(name).join(" → ")));
    $("#before").textContent = `label in ${comparison().reference}`;
    $("#after").textContent = `label in ${comparison().pruned}`;
  };

  const ORDERS = {
    largest: (a, b) => b.change - a.change,
    smallest: (a, b) => a.change - b.change,
    id: (a, b) => a.id.localeCompare(b.id, undefined, { numeric: true }),
  };
  const passes = (each) =>
    (!ofClass.value || each.label === Number(ofClass.value)) &&
    (!direction.value || directionOf(each) === direction.value) &&
    (!outcome.value || each.result === Number(outcome.value)) &&
    each.id.toLowerCase().includes(search.value.trim().toLowerCase());

  const show = () => {
    found = comparison().cards.map(read).filter(passes).sort(ORDERS[order.value]);
    cards.replaceChildren();
    laidOut = 0;
    current = -1;
    showMore();
  };
  const showMore = () => {
    const next = found.slice(laidOut, laidOut + PAGE).map((each, i) => cardOf(each, laidOut + i));
    cards.append(...next);
    laidOut += next.length;
    if (current < 0 && laidOut) moveTo(0, false);
    $("#more").hidden = laidOut === found.length;
    $("#count").textContent = said();
  };
  const said = () => {
    const { total, cards: kept, reference, pruned } = comparison();
    if (!total) return `No example has another modal label in ${pruned} than in ${reference}.`;
    const [matching, held, shown, left] = [found.length, kept.length, laidOut, total - kept.length].map((n) => n.toLocaleString("en"));
    const some = matching === held ? held : `${matching} of ${held}`;
    return (
      `${some} ${held === "1" ? "example" : "examples"}, ${shown} shown.` +
      (left === "0" ? "" : ` ${left} more changed, with smaller vote changes: they are left out to keep this page small.`)
    );
  };

  // -------------------------------------------------------------------------------------------------------- keyboard

  const cardAt = (position) => $(`[data-position="${position}"]`, cards);
  const moveTo = (position, focus = true) => {
    if (position < 0 || position >= found.length) return;
    while (position >= laidOut) showMore();
    const last = cardAt(current);
    if (last) last.tabIndex = -1;
    current = position;
    cardAt(current).tabIndex = 0;
    if (focus) cardAt(current).focus();
  };
  const perRow = () => getComputedStyle(cards).gridTemplateColumns.split(" ").length;
  const step = (key) => ({ ArrowRight: 1, ArrowLeft: -1, ArrowDown: perRow(), ArrowUp: -perRow() })[key];

  const large = $("#large");
  const enlarge = (position) => {
    const each = found[position];
    $("canvas", large).hidden = !sheets.length;
    if (sheets.length) paint($("canvas", large), each.example);
    $("h3", large).textContent = each.id;
    const { reference, pruned } = comparison();
    const [votesBefore, votesAfter] = votes(each);
    const rows = [
      [reference, `${name(each.before)}, ${votesBefore} votes`, "before"],
      [pruned, `${name(each.after)}, ${votesAfter} votes`, "after"],
      ["true class", `${name(each.label)}: ${OUTCOMES[each.result]}`],
      ["vote change", each.change.toFixed(2)],
    ];
    $("dl", large).replaceChildren(...rows.flatMap(([term, text, look]) => [make("dt", "", term), make("dd", look, text)]));
    if (!large.open) large.showModal();
  };

  cards.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (!card) return;
    moveTo(Number(card.dataset.position));
    enlarge(current);
  });
  large.addEventListener("click", (event) => {
    if (event.target === large || event.target.closest(".close")) large.close();
  });
  large.addEventListener("close", () => cardAt(current)?.focus());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, select, textarea");
    if (event.key === "/" && !typing && !large.open) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape" && event.target === search) {
      search.value = "";
      show();
      search.blur();
    } else if (step(event.key) && (large.open || event.target.closest("#cards"))) {
      event.preventDefault();
      moveTo(current + step(event.key), !large.open);
      if (large.open) enlarge(current);
    } else if (event.key === "Escape" && event.target.closest(".card") && !large.open) {
      event.target.blur();
    }
  });

  for (const select of [ofClass, direction, outcome, order]) select.addEventListener("change", show);
  search.addEventListener("input", show);
  $("#more").addEventListener("click", showMore);
  picker?.addEventListener("change", () => {
    offer();
    show();
  });
  for (const part of all(".controls, .legend, .keys", $("#gallery"))) part.hidden = !data.comparisons.some((each) => each.total);
  offer();
  show();
})();
