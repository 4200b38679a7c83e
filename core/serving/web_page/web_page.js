// The page that classifies: unpacks model and runtime, and answers while one types.

const MOST_SHOWN = 10; // Classes beyond it are folded away.
const PAUSE = 250; // Milliseconds without a key until the text is classified.

const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}%`;

function decode(id) {
  const block = element(id);
  const text = block.textContent;
  block.remove(); // Tens of megabytes that nobody needs twice.
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

async function unpack(id) {
  const stream = new Blob([decode(id)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function loadModel() {
  const address = URL.createObjectURL(new Blob([await unpack("script")], { type: "text/javascript" }));
  const ort = await import(address);
  URL.revokeObjectURL(address);
  ort.env.wasm.numThreads = 1; // More need headers that a file on the disk does not have.
  ort.env.wasm.wasmBinary = (await unpack("binary")).buffer;
  const session = await ort.InferenceSession.create(await unpack("model"), { executionProviders: ["wasm"] });
  return { ort, session };
}

async function logitsOf({ ort, session }, ids) {
  const numbers = BigInt64Array.from(ids, BigInt);
  const shape = [1, ids.length];
  const answer = await session.run({
    input_ids: new ort.Tensor("int64", numbers, shape),
    attention_mask: new ort.Tensor("int64", numbers.map(() => 1n), shape),
  });
  return Array.from(answer.logits.data);
}

function probabilitiesOf(logits, temperature) {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp((logit - most) / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

function make(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function rowOf(label, probability) {
  const row = make("li", "row");
  row.dataset.probability = probability;
  const name = make("span", "name", label);
  name.dir = "auto";
  const track = make("span", "track");
  const bar = make("span", "bar");
  bar.style.width = percent(probability);
  track.append(bar);
  track.setAttribute("aria-hidden", "true");
  row.append(name, make("span", "share", percent(probability)), track);
  return row;
}

function show(about, probabilities, cut) {
  const order = probabilities.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
  const rows = order.map((i) => rowOf(about.labels[i], probabilities[i]));
  const best = probabilities[order[0]];
  const unsure = about.threshold !== null && best < about.threshold;
  element("label").textContent = about.labels[order[0]];
  element("confidence").textContent = percent(best);
  element("unsure").hidden = !unsure;
  if (unsure) {
    element("unsure").textContent =
      `Unsure: below ${percent(about.threshold)}. Leave this text to a person.`;
  }
  element("cut").hidden = !cut;
  element("rows").replaceChildren(...rows.slice(0, MOST_SHOWN));
  element("more").hidden = rows.length <= MOST_SHOWN;
  element("others").replaceChildren(...rows.slice(MOST_SHOWN));
  element("answer").hidden = false;
}

function say(words, failed = false) {
  element("state").textContent = words;
  element("state").classList.toggle("failed", failed);
}

async function start() {
  const about = JSON.parse(element("about").textContent);
  const tokenizer = makeTokenizer(about.tokenizer);
  element("more-words").textContent = `The other ${about.labels.length - MOST_SHOWN} classes`;
  element("cut").textContent = `Only the first ${about.tokenizer.max_length} tokens of the text were read.`;
  const model = await loadModel();
  const box = element("text");
  let newest = 0;
  let before = Promise.resolve();

  async function answer(number) {
    if (number !== newest) return; // Typed on meanwhile.
    const text = box.value;
    element("answer").hidden = !text.trim();
    if (text.trim()) {
      const { ids, cut } = tokenizer.encode(text);
      show(about, probabilitiesOf(await logitsOf(model, ids), about.temperature), cut);
    }
    document.body.dataset.answered = text;
  }

  function ask() {
    const number = ++newest;
    before = before.then(() => answer(number)).catch(fail);
  }

  let timer;
  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  });
  say("Ready. What you type does not leave this machine.");
  document.body.dataset.ready = "yes";
  ask();
}

function fail(error) {
  say(`This browser cannot run the model (${error.message}). Try a newer one.`, true);
  document.body.dataset.ready = "failed";
}

start().catch(fail);
