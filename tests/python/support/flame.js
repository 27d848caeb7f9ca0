// Runs the script of a flame graph in a document that has just what it asks for: flame.js FILE.svg [click NAME | search WORD]...
// Prints, as JSON, what is shown after each step.
const fs = require("fs");

class Element {
  constructor(kind, attributes, parent) {
    Object.assign(this, { kind, attributes, parentNode: parent, children: [], listeners: {}, textContent: "" });
    this.classes = new Set((attributes.class || "").split(" ").filter(Boolean));
    this.dataset = { name: attributes["data-name"] };
    this.classList = { toggle: (name, on) => (on ? this.classes.add(name) : this.classes.delete(name)) };
  }
  getAttribute(name) { return this.attributes[name]; }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  addEventListener(kind, listener) { this.listeners[kind] = listener; }
  closest() { return svg; }
  querySelectorAll(selector) {
    const is = (one) => (selector[0] === "." ? one.classes.has(selector.slice(1)) : one.kind === selector);
    return this.children.flatMap((child) => [...(is(child) ? [child] : []), ...child.querySelectorAll(selector)]);
  }
  querySelector(selector) { return this.querySelectorAll(selector)[0]; }
}

const [text, script] = fs.readFileSync(process.argv[2], "utf8").split("<script><![CDATA[");
let open = new Element("document", {}, null);
const root = open;
for (const [, end, kind, inside, isEmpty] of text.matchAll(/<(\/?)([\w]+)([^>]*?)(\/?)>/g)) {
  if (end) {
    open = open.parentNode;
    continue;
  }
  const attributes = Object.fromEntries([...inside.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
  const element = new Element(kind, attributes, open);
  open.children.push(element);
  if (!isEmpty) open = element;
}
const svg = root.querySelector("svg");
const document = { currentScript: svg };
eval(script.split("]]>")[0]);

const cells = svg.querySelectorAll(".cell");
const shown = [];
for (let at = 3; at < process.argv.length; at += 2) {
  const [step, word] = process.argv.slice(at, at + 2);
  if (step === "click") cells.find((cell) => cell.dataset.name === word).listeners.click();
  else svg.querySelector("input").listeners.input({ target: { value: word } });
  const visible = cells.filter((cell) => !cell.classes.has("hidden"));
  const width = (cell) => Number(cell.querySelector("rect").getAttribute("width"));
  shown.push({
    widths: Object.fromEntries(visible.map((cell) => [cell.dataset.name, width(cell)])),
    marked: visible.filter((cell) => cell.classes.has("marked")).map((cell) => cell.dataset.name),
    found: svg.querySelector(".found").textContent,
  });
}
console.log(JSON.stringify(shown));
