import { readable } from "./latex.js";

const at = id => document.getElementById(id);
const SIZES = {
  beam: size => ({ n: size, width: Math.min(4, size) }), dvts: size => ({ n: size, width: Math.min(4, size) }),
  rebase: size => ({ width: size }), mcts: size => ({ simulations: size }), greedy: () => ({}),
};
const CAN_SOLVE = at("no-policy").hidden;
let stop = null;
const items = new Map();

function make(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** A node of the tree: added where its parent is, or brought up to date. */
function show(node) {
  if (!items.has(node.id)) {
    const line = make("div", "node"), below = make("ul");
    items.set(node.id, { line, below });
    (items.get(node.parent)?.below ?? at("tree")).append(make("li", "", line, below));
  }
  const { line } = items.get(node.id), reward = make("b", "", node.reward === null ? "–" : node.reward.toFixed(3));
  line.className = `node ${node.status}`;
  if (node.reward !== null) line.style.setProperty("--hue", `hsl(${Math.round(120 * Math.min(1, Math.max(0, node.reward)))} 60% 45%)`);
  line.replaceChildren(reward, make("span", "text", ...readable(node.text.trim())), make("small", "", node.reason || node.status));
}

function finish(result) {
  const facts = { answer: result.answer ?? "none found", score: result.score === null ? "–" : result.score.toFixed(4),
    candidates: result.candidates.length, "policy tokens": result.policy_tokens, ended: result.reason || result.stopped };
  at("summary").replaceChildren(...Object.entries(facts).map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", String(value)))));
  at("solution").replaceChildren(...readable(result.solution ?? ""));
  at("answer").hidden = false;
  if (result.chosen !== null) items.get(result.chosen)?.line.classList.add("chosen");
}

function fail(message) {
  at("error").textContent = message;
  at("error").hidden = false;
}

const HANDLERS = { nodes: data => data.nodes.forEach(show), result: finish, error: data => fail(`${data.message} (${data.code})`) };

/** Server-sent events of a POST, which EventSource cannot make. */
async function read(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (rest + part.value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const [name, data] = block.split("\n");
      HANDLERS[name.slice("event: ".length)]?.(JSON.parse(data.slice("data: ".length)));
    }
  }
}

async function solve(event) {
  event?.preventDefault();
  if (!CAN_SOLVE) return;
  stop?.abort();
  stop = new AbortController();
  items.clear();
  at("tree").replaceChildren();
  at("error").hidden = at("answer").hidden = true;
  at("go").disabled = true;
  at("stop").disabled = false;
  const method = at("method").value, size = Number(at("size").value), options = (SIZES[method] ?? (n => ({ n })))(size);
  try {
    const body = JSON.stringify({ problem: at("problem").value, method, options });
    const response = await fetch("search", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal: stop.signal });
    if (response.ok) await read(response);
    else HANDLERS.error(await response.json());
  } catch (error) {
    fail(error.name === "AbortError" ? "Stopped." : `The service does not answer: ${error.message}`);
  } finally {
    at("go").disabled = false;
    at("stop").disabled = true;
  }
}

if (!CAN_SOLVE) for (const each of at("form").elements) each.disabled = true;
at("form").addEventListener("submit", solve);
at("stop").addEventListener("click", () => stop?.abort());
document.addEventListener("keydown", event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) solve(event) });
if (location.hash === "#go") solve();
