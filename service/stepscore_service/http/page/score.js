import { readable } from "./latex.js";

const at = id => document.getElementById(id);
const EXAMPLE = {
  problem: "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did Natalia sell altogether in April and May?",
  solution: "Natalia sold 48/2 = 24 clips in May.\nNatalia sold 48+24 = 62 clips altogether in April and May.\nThe answer is 62.",
  candidates: [
    "Natalia sold 48/2 = 24 clips in May.\nShe sold 48+24 = 72 clips altogether.\nThe answer is 72.",
    "She sold 48*2 = 96 clips in May.\nThat is 48+96 = 144 clips.\nThe answer is 144.",
    "Half of 48 is 24.\nTogether 48+24 = 72 clips.\nThe answer is 72.",
  ],
  split: "auto", aggregate: "", model: "", many: false,
};
const AGGREGATES = ["min", "prod", "mean", "last", "geometric_mean", "weighted_mean", "soft_min", "sum"];
const HISTORY = "stepscore-history", KEPT = 20;
let cards = [];

function make(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

// ---- the input

const input = () => ({
  problem: at("problem").value, solution: at("solution").value,
  candidates: [...at("candidates").querySelectorAll("textarea")].map(each => each.value),
  split: at("split").value, aggregate: at("aggregate").value, model: at("model").value, many: !at("many").hidden,
});

function fill(given) {
  const all = { ...EXAMPLE, ...given };
  at("problem").value = all.problem;
  at("solution").value = all.solution;
  at("candidates").replaceChildren(...all.candidates.map(candidate));
  number();
  at("split").value = all.split;
  at("aggregate").value = all.aggregate;
  if (all.model) at("model").value = all.model;
  choose(all.many);
}

function candidate(text) {
  const area = make("textarea"), box = make("div", "one-candidate");
  area.rows = 4;
  area.value = text;
  const remove = make("button", "plain", "Remove");
  remove.type = "button";
  remove.addEventListener("click", () => { box.remove(); number() });
  box.append(make("label"), area, remove);
  return box;
}

// As the answer numbers them.
function number() {
  at("candidates").querySelectorAll(".one-candidate").forEach((box, index) => {
    const name = `Candidate ${index + 1}`;
    box.querySelector("label").textContent = name;
    box.querySelector("textarea").setAttribute("aria-label", name);
    box.querySelector("button").setAttribute("aria-label", `Remove candidate ${index + 1}`);
  });
}

function choose(many) {
  at("one").hidden = many;
  at("many").hidden = !many;
  for (const [id, on] of [["tab-solution", !many], ["tab-candidates", many]]) {
    at(id).setAttribute("aria-selected", String(on));
    at(id).tabIndex = on ? 0 : -1;
  }
}

function requestOf(given) {
  const options = { ...(given.aggregate && { aggregate: given.aggregate }), ...(given.model && { model: given.model }) };
  return given.many
    ? ["rerank", { problem: given.problem, candidates: given.candidates, split: given.split, vote: "weighted", ...options }]
    : ["score", { problem: given.problem, solution: given.solution, split: given.split, ...options }];
}

// ---- the answer

// 0 to 1 over the model's range; a range without bounds by a logistic curve around the threshold.
function place(reward, card, threshold) {
  const { low, high } = card.reward_range;
  const share = low !== null && high !== null ? (reward - low) / (high - low) : 1 / (1 + Math.exp(threshold - reward));
  return Math.min(1, Math.max(0, share));
}

function steps(texts, rewards, card, threshold, firstError, weakest) {
  return make("ol", "steps", ...texts.map((text, index) => {
    const reward = rewards[index], share = place(reward, card, threshold), item = make("li"), track = make("span", "track");
    const fill = make("i"), line = make("u"), body = make("span", "text", ...readable(text));
    item.style.setProperty("--hue", `hsl(${Math.round(120 * share)} 60% 45%)`);
    fill.style.width = `${100 * share}%`;
    line.style.left = `${100 * place(threshold, card, threshold)}%`;
    line.title = `threshold ${threshold}`;
    track.append(fill, line);
    if (index === firstError) { item.classList.add("first"); body.append(make("small", "", `first step under the threshold ${threshold}`)) }
    else if (index === weakest) body.append(make("small", "", "weakest step"));
    item.append(make("b", "", reward.toFixed(3)), track, body);
    return item;
  }));
}

function facts(pairs) {
  at("summary").replaceChildren(...Object.entries(pairs).map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", String(value)))));
}

function showScore(answer, given) {
  const card = cards.find(each => each.id === answer.model);
  // Spans count Unicode characters; JavaScript's strings count UTF-16 units.
  const characters = [...given.solution], texts = answer.spans.map(([start, end]) => characters.slice(start, end).join(""));
  facts({ [`score (${answer.aggregate})`]: answer.score.toFixed(4), ...Object.fromEntries(Object.entries(answer.aggregates)
    .filter(([name]) => name !== answer.aggregate).map(([name, value]) => [name, value.toFixed(4)])), tokens: answer.token_count });
  at("result").replaceChildren(steps(texts, answer.rewards, card, answer.threshold, answer.first_error, answer.weakest_step),
    make("p", "hint", `${answer.model} · revision ${answer.revision}${answer.dtype ? ` · ${answer.dtype}` : ""}`));
}

function showRanking(answer, given) {
  const card = cards.find(each => each.id === answer.model);
  facts({ candidates: given.candidates.length, aggregate: answer.aggregate, tokens: answer.usage.total_tokens });
  const answers = new Map(answer.groups.flatMap(group => group.members.map(member => [member, group.answer])));
  const table = make("table", "", make("tr", "", ...["answer", "weight", "candidates"].map(name => make("th", "", name))),
    ...answer.groups.map(group => make("tr", "", ...[group.answer ?? "none found", group.weight.toFixed(3), group.members.map(each => each + 1).join(", ")].map(cell => make("td", "", cell)))));
  const ranked = answer.results.map((result, rank) => {
    const lowest = result.rewards.indexOf(Math.min(...result.rewards)), first = result.rewards.findIndex(reward => reward < card.threshold);
    const bars = make("ol", "steps", ...steps(result.rewards.map((_, step) => `step ${step + 1}`), result.rewards, card, card.threshold, first, lowest).children);
    return make("article", "", make("h3", "", `${rank + 1}. candidate ${result.index + 1}`, make("span", "", `score ${result.score.toFixed(4)}`),
      make("span", "", `answer ${answers.get(result.index) ?? "none found"}`)), make("p", "text", ...readable(given.candidates[result.index])), bars);
  });
  at("result").replaceChildren(make("h2", "", "Votes"), table, make("h2", "", "Best first"), ...ranked);
}

function fail(message) {
  at("error").textContent = message;
  at("error").hidden = false;
  at("answer").hidden = true;
}

async function submit(event) {
  event?.preventDefault();
  const given = input(), [path, body] = requestOf(given);
  at("error").hidden = true;
  at("go").disabled = true;
  try {
    const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) return fail(`${answer.message} (${answer.code})`);
    (given.many ? showRanking : showScore)(answer, given);
    at("json").textContent = JSON.stringify(answer, null, 1);
    at("curl").textContent = curl(path, body);
    at("answer").hidden = false;
    remember(given, answer);
    history.replaceState(null, "", `#${encode(given)}`);
  } catch (error) {
    fail(`The service does not answer: ${error.message}`);
  } finally {
    at("go").disabled = false;
  }
}

const curl = (path, body) => `curl -s ${new URL(path, document.baseURI)} -H 'content-type: application/json' -d '${JSON.stringify(body, null, 1).replaceAll("'", "'\\''")}'`;

// ---- links and history

const encode = given => btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(given)))).replaceAll("+", "-").replaceAll("/", "_");

function decode(text) {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), each => each.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    fail("The link does not hold an input of this page.");
    return null;
  }
}

const past = () => JSON.parse(localStorage.getItem(HISTORY) ?? "[]");

function remember(given, answer) {
  const score = given.many ? answer.results[0]?.score : answer.score, entry = { given, score, when: Date.now() };
  const others = past().filter(each => JSON.stringify(each.given) !== JSON.stringify(given));
  localStorage.setItem(HISTORY, JSON.stringify([entry, ...others].slice(0, KEPT)));
  showHistory();
}

function showHistory() {
  at("history").replaceChildren(...past().map(({ given, score, when }) => {
    const kind = given.many ? `${given.candidates.length} candidates` : "solution";
    const button = make("button", "plain", `${new Date(when).toLocaleTimeString()} · ${kind} · ${score?.toFixed(3) ?? "–"} · ${given.problem}`);
    button.type = "button";
    button.addEventListener("click", () => { fill(given); submit() });
    return make("li", "", button);
  }));
  at("past").hidden = !past().length;
}

async function copy(text, said) {
  try { await navigator.clipboard.writeText(text); at("copied").textContent = said }
  catch { at("copied").textContent = "The browser does not allow copying; select the text instead." }
}

// ---- start

async function start() {
  at("aggregate").append(...AGGREGATES.map(name => new Option(name, name)));
  const response = await fetch("v1/models");
  const answer = await response.json();
  if (!response.ok) return fail(`${answer.message} (${answer.code})`);
  cards = answer.data;
  at("model").replaceChildren(...cards.map(card => new Option(card.id, card.id)));
  const linked = location.hash.length > 1 ? decode(location.hash.slice(1)) : null;
  fill(linked ?? {});
  showHistory();
  if (linked) submit();
}

at("form").addEventListener("submit", submit);
at("tab-solution").addEventListener("click", () => choose(false));
at("tab-candidates").addEventListener("click", () => choose(true));
document.querySelector(".tabs").addEventListener("keydown", event => {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  choose(at("many").hidden);
  document.querySelector(".tabs [aria-selected=true]").focus();
});
document.addEventListener("keydown", event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event) });
at("add").addEventListener("click", () => { const added = candidate(""); at("candidates").append(added); number(); added.querySelector("textarea").focus() });
at("forget").addEventListener("click", () => { localStorage.removeItem(HISTORY); showHistory() });
at("copy-link").addEventListener("click", () => copy(location.href, "Link copied."));
at("copy-curl").addEventListener("click", () => copy(at("curl").textContent, "Command copied."));
fill({});
start().catch(error => fail(`The service does not answer: ${error.message}`));
