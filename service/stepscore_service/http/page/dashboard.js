const SECONDS = 2, KEPT = 150;
const at = id => document.getElementById(id);
const series = new Map();
let before = null;

/** Samples of Prometheus' text format: {name, labels, value}. */
function parse(text) {
  return text.split("\n").filter(line => line && line[0] !== "#").map(line => {
    const [, name, labels, value] = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line);
    const pairs = [...(labels ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text]);
    return { name, labels: Object.fromEntries(pairs), value: Number(value) };
  });
}

const sum = (samples, name, matches = () => true) =>
  samples.filter(each => each.name === name && matches(each.labels)).reduce((total, each) => total + each.value, 0);

/** Cumulative counts by upper bound. */
function buckets(samples, name, matches = () => true) {
  const counts = new Map();
  for (const each of samples) if (each.name === `${name}_bucket` && matches(each.labels)) counts.set(each.labels.le, (counts.get(each.labels.le) ?? 0) + each.value);
  return [...counts].map(([le, count]) => [Number(le === "+Inf" ? Infinity : le), count]).sort((one, other) => one[0] - other[0]);
}

/** A quantile of what was observed between two readings, by linear interpolation. */
function quantile(now, then, share) {
  const counts = now.map(([bound, count], place) => [bound, count - (then[place]?.[1] ?? 0)]), total = counts.at(-1)?.[1] ?? 0;
  if (!total) return null;
  let below = 0, low = 0;
  for (const [bound, count] of counts) {
    if (count >= share * total) return bound === Infinity ? low : low + (bound - low) * (share * total - below) / Math.max(1, count - below);
    [below, low] = [count, bound];
  }
  return low;
}

function tile(parent, title, value, shown) {
  const kept = series.get(title) ?? [];
  kept.push(value ?? 0);
  series.set(title, kept.slice(-KEPT));
  const box = document.createElement("div"), heading = document.createElement("h2"), strong = document.createElement("strong");
  box.className = "tile";
  heading.textContent = title;
  strong.textContent = value === null ? "–" : shown(value);
  box.append(heading, strong, line(series.get(title), title));
  parent.append(box);
}

function line(values, title) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS(svg.namespaceURI, "polyline");
  const top = Math.max(...values, 1e-9);
  svg.setAttribute("viewBox", `0 0 ${KEPT} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${title}, last five minutes, highest ${top.toPrecision(3)}`);
  path.setAttribute("points", values.map((value, place) => `${KEPT - values.length + place},${97 - 94 * value / top}`).join(" "));
  svg.append(path);
  return svg;
}

function histogram(model, counts) {
  const box = document.createElement("div"), heading = document.createElement("h2"), svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const single = counts.map(([bound, count], place) => [bound, count - (counts[place - 1]?.[1] ?? 0)]).filter(([bound]) => bound >= 0 && bound <= 1 || reachesOutside(counts));
  const top = Math.max(...single.map(([, count]) => count), 1);
  box.className = "tile";
  heading.textContent = `${model}: ${counts.at(-1)?.[1] ?? 0} rewards, from low to high`;
  svg.setAttribute("viewBox", `0 0 ${single.length} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  single.forEach(([bound, count], place) => {
    const bar = document.createElementNS(svg.namespaceURI, "rect"), title = document.createElementNS(svg.namespaceURI, "title");
    title.textContent = `up to ${bound}: ${count}`;
    for (const [name, value] of Object.entries({ x: place + .08, width: .84, y: 100 - 98 * count / top, height: 98 * count / top })) bar.setAttribute(name, value);
    bar.append(title);
    svg.append(bar);
  });
  box.append(heading, svg);
  at("rewards").append(box);
}

/** Rewards outside [0, 1] exist, so every bucket is shown. */
function reachesOutside(counts) {
  const outside = counts.find(([bound]) => bound === 0)?.[1] ?? 0, all = counts.at(-1)?.[1] ?? 0, inside = counts.find(([bound]) => bound === 1)?.[1] ?? all;
  return outside > .5 * all || inside < all;
}

/** Probes, scrapes (this page's own among them), pages and what they load: not the work of the service. */
const NOT_SCORING = /^\/(metrics|health(\/\w+)?|dashboard|solve|page|docs|docs-assets|openapi\.json|(v1\/)?models|tei\/(info|health)|v2(\/health\/\w+|\/models\/\{name:path\}(\/ready)?)?)?$/;
const SCORING = labels => !NOT_SCORING.test(labels.route);

function show(samples, seconds) {
  const then = before?.samples ?? samples, rate = name => (sum(samples, name) - sum(then, name)) / seconds;
  const latency = share => quantile(buckets(samples, "stepscore_request_seconds", SCORING), buckets(then, "stepscore_request_seconds", SCORING), share);
  const requests = (sum(samples, "stepscore_requests_total", SCORING) - sum(then, "stepscore_requests_total", SCORING)) / seconds;
  const computed = rate("stepscore_tokens_computed_total"), prompt = rate("stepscore_prompt_tokens_total");
  at("tiles").replaceChildren();
  const number = digits => value => value.toLocaleString("en", { maximumFractionDigits: digits });
  const time = value => value < 1 ? `${(1000 * value).toFixed(0)} ms` : `${value.toFixed(2)} s`;
  tile(at("tiles"), "requests per second", requests, number(1));
  tile(at("tiles"), "requests running", sum(samples, "stepscore_requests_running"), number(0));
  tile(at("tiles"), "tokens waiting", sum(samples, "stepscore_queue_tokens"), number(0));
  tile(at("tiles"), "median latency", latency(.5), time);
  tile(at("tiles"), "99th percentile of latency", latency(.99), time);
  tile(at("tiles"), "tokens computed per second", computed, number(0));
  tile(at("tiles"), "tokens reused", prompt > 0 ? Math.max(0, 1 - computed / prompt) : null, value => `${(100 * value).toFixed(0)} %`);
  const full = samples.filter(each => each.name === "stepscore_kv_fill_ratio").map(each => each.value);
  tile(at("tiles"), "KV cache filled", full.length ? Math.max(...full) : null, value => `${(100 * value).toFixed(0)} %`);
  const memory = sum(samples, "process_resident_memory_bytes"), gpu = sum(samples, "stepscore_gpu_memory_used_bytes");
  const gib = value => `${(value / 2 ** 30).toFixed(2)} GiB`;
  tile(at("tiles"), "memory of the process", memory || null, gib);
  if (gpu) tile(at("tiles"), "memory of the GPUs", gpu, gib);
  const drift = samples.filter(each => each.name === "stepscore_score_drift_psi").map(each => each.value);
  tile(at("tiles"), "drift of the policy’s scores", drift.length ? Math.max(...drift) : null, value => `PSI ${number(2)(value)}`);
  tile(at("tiles"), "errors per second", rate("stepscore_errors_total"), number(2));
  at("rewards").replaceChildren();
  const models = samples.filter(each => each.name === "stepscore_model_info");
  for (const { labels } of models) histogram(labels.model, buckets(samples, "stepscore_step_reward", each => each.model === labels.model));
  const names = ["model", "family", "engine", "device", "dtype", "mode", "revision"];
  at("models").replaceChildren(row("th", names), ...models.map(({ labels }) => row("td", names.map(name => labels[name]))));
}

function row(tag, cells) {
  const made = document.createElement("tr");
  made.append(...cells.map(text => { const cell = document.createElement(tag); cell.textContent = text ?? ""; return cell }));
  return made;
}

async function update() {
  try {
    const response = await fetch("metrics");
    if (!response.ok) throw new Error(`status ${response.status}`);
    const samples = parse(await response.text()), now = performance.now();
    show(samples, before ? (now - before.now) / 1000 : SECONDS);
    before = { samples, now };
    at("error").hidden = true;
  } catch (error) {
    at("error").textContent = `The service does not answer: ${error.message}`;
    at("error").hidden = false;
  }
}

update();
setInterval(update, 1000 * SECONDS);
