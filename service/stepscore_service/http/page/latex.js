// LaTeX made readable without a typesetter: fractions, roots, powers, boxes and the usual symbols. What it does not know
// stays as it was written.

const SYMBOLS = { times: "×", cdot: "·", div: "÷", pm: "±", mp: "∓", le: "≤", leq: "≤", ge: "≥", geq: "≥", ne: "≠", neq: "≠", approx: "≈",
  equiv: "≡", infty: "∞", pi: "π", theta: "θ", alpha: "α", beta: "β", gamma: "γ", delta: "δ", Delta: "Δ", lambda: "λ", mu: "μ", sigma: "σ",
  Sigma: "Σ", phi: "φ", omega: "ω", sum: "Σ", prod: "Π", int: "∫", in: "∈", notin: "∉", cup: "∪", cap: "∩", subset: "⊂", to: "→",
  rightarrow: "→", Rightarrow: "⇒", implies: "⇒", iff: "⇔", ldots: "…", dots: "…", cdots: "⋯", angle: "∠", circ: "°", degree: "°",
  mid: "|", quad: " ", qquad: "  ", left: "", right: "", displaystyle: "", therefore: "∴", because: "∵", triangle: "△", perp: "⊥" };
const PLAIN = new Set(["text", "textbf", "mathrm", "mathbf", "operatorname", "mathit", "textit", "mbox"]);
// A dollar sign opens a formula as in Markdown: nothing blank inside it, no digit after it; so "$5 and $7" is money.
const MATH = /\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\]|\\\(([\s\S]+?)\\\)|\$(?=\S)((?:[^$\\\n]|\\.)+?)(?<=\S)\$(?!\d)|(\\boxed\{[^]*)/;

/** Nodes that show a text: its formulas readable, the rest as it is. */
export function readable(text) {
  const nodes = [];
  let rest = text;
  for (let found = MATH.exec(rest); found; found = MATH.exec(rest)) {
    if (found.index) nodes.push(document.createTextNode(rest.slice(0, found.index)));
    const bare = found[5] === undefined ? null : group(found[5], "\\boxed".length);
    const body = bare ? found[5].slice(0, bare.end) : found[1] ?? found[2] ?? found[3] ?? found[4];
    nodes.push(formula(body ?? found[0]));
    rest = rest.slice(found.index + (bare ? bare.end : found[0].length));
  }
  nodes.push(document.createTextNode(rest));
  return nodes;
}

/** The braced group at a place, or the single character there. */
function group(source, at) {
  if (source[at] !== "{") return { body: source[at] ?? "", end: Math.min(source.length, at + 1) };
  for (let depth = 0, end = at; end < source.length; end++) {
    if (source[end] === "{") depth++;
    else if (source[end] === "}" && !--depth) return { body: source.slice(at + 1, end), end: end + 1 };
  }
  return { body: source.slice(at + 1), end: source.length };
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function formula(source) {
  const span = element("span", "math");
  span.title = source;
  for (let at = 0; at < source.length;) at = one(source, at, span);
  return span;
}

/** Append what stands at a place; returns the place after it. */
function one(source, at, span) {
  const character = source[at];
  if (character === "^" || character === "_") {
    const { body, end } = group(source, at + 1);
    span.append(element(character === "^" ? "sup" : "sub", "", formula(body)));
    return end;
  }
  if (character === "{" || character === "}") return at + 1;
  if (character !== "\\") { span.append(character); return at + 1 }
  const name = /^[a-zA-Z]+/.exec(source.slice(at + 1))?.[0];
  if (!name) { span.append(source[at + 1] === "\\" ? " " : ",;!: ".includes(source[at + 1] ?? " ") ? " " : source[at + 1]); return at + 2 }
  const after = at + 1 + name.length;
  if (/^[dtc]?frac$/.test(name)) {
    const above = group(source, after), below = group(source, above.end);
    span.append(element("span", "fraction", formula(above.body), formula(below.body)));
    return below.end;
  }
  if (name === "sqrt") {
    const root = source[after] === "[" ? source.indexOf("]", after) : -1, inner = group(source, root < 0 ? after : root + 1);
    if (root > 0) span.append(element("sup", "", source.slice(after + 1, root)));
    span.append("√(", formula(inner.body), ")");
    return inner.end;
  }
  if (name === "boxed" || name === "fbox" || PLAIN.has(name)) {
    const { body, end } = group(source, after);
    span.append(name === "boxed" || name === "fbox" ? element("span", "box", formula(body)) : body);
    return end;
  }
  span.append(SYMBOLS[name] ?? `\\${name}`);
  return source[after] === " " && name in SYMBOLS ? after + 1 : after;
}
