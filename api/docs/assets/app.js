// Shows an OpenAPI document and sends requests. Everything from the document and from answers
// is inserted as text, never as HTML.

const keyName = "mailroom-docs-key";
const methods = ["get", "post", "put", "patch", "delete"];
const maxDepth = 12; // of a schema that is shown, and of an example

let doc = {};

// plain returns the text of a description. A document has &lt; where it would be HTML.
const plain = (text) => (text ?? "").replaceAll("&lt;", "<");

const $ = (id) => document.getElementById(id);

// make returns an element. Children are elements or texts.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") element.className = value;
    else if (key === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (value !== false && value != null) element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child != null && child !== ""));
  return element;
}

// resolve follows the references of a part of the document.
function resolve(part) {
  for (let i = 0; i < 20 && part && typeof part.$ref === "string"; i++) {
    let target = doc;
    for (const step of part.$ref.replace(/^#\//, "").split("/")) {
      const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
      target = target && Object.hasOwn(target, name) ? target[name] : undefined;
    }
    part = target;
  }
  return part ?? {};
}

// lazy returns details whose content is made when they open for the first time.
function lazy(className, summary, content, open = false) {
  const details = make("details", { class: className }, make("summary", {}, ...summary));
  let made = false;
  const fill = () => {
    if (made || !details.open) return;
    made = true;
    details.append(content());
  };
  details.addEventListener("toggle", fill);
  details.open = open;
  fill();
  return details;
}

function typeOf(schema) {
  if (schema === true || schema === false) return schema ? "any" : "nothing";
  const own = resolve(schema);
  if (Array.isArray(own.type)) return own.type.join(" | ");
  if (own.type === "array") return typeOf(own.items ?? {}) + "[]";
  if (own.type) return own.format ? `${own.type} (${own.format})` : own.type;
  if (own.enum) return "enum";
  if ("const" in own) return "constant";
  for (const key of ["anyOf", "oneOf"]) if (own[key]) return own[key].map(typeOf).join(" | ");
  if (own.allOf) return own.allOf.map(typeOf).join(" & ");
  return own.properties ? "object" : "any";
}

function limits(schema) {
  const found = [];
  for (const key of ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "pattern"]) {
    if (schema[key] != null) found.push(`${key} ${schema[key]}`);
  }
  if (schema.enum) found.push("one of " + schema.enum.map((v) => JSON.stringify(v)).join(", "));
  if ("const" in schema) found.push("is " + JSON.stringify(schema.const));
  if ("default" in schema) found.push("default " + JSON.stringify(schema.default));
  if (schema.examples?.length) found.push("such as " + schema.examples.map((v) => JSON.stringify(v)).join(", "));
  return found.join("; ");
}

// field describes one value, and below it the values that it holds.
function field(name, schema, required, depth) {
  const own = resolve(schema);
  const line = [make("code", {}, name), " ", make("span", { class: "soft" }, typeOf(schema) + (required ? ", required" : ""))];
  const item = make("li", {}, ...line);
  if (own.description) item.append(" ", plain(own.description));
  const more = limits(own);
  if (more) item.append(" ", make("span", { class: "soft" }, `(${more})`));
  const inner = children(own, depth + 1);
  if (inner) item.append(depth < 1 ? inner() : lazy("", ["fields"], inner));
  return item;
}

// children returns a function that makes the list of the values in a schema; null: it has none.
function children(own, depth) {
  if (depth > maxDepth) return null;
  const items = [];
  for (const [name, schema] of Object.entries(own.properties ?? {})) {
    items.push(() => field(name, schema, (own.required ?? []).includes(name), depth));
  }
  const nested = (label, schema) => { if (schema && typeof schema === "object" && children(resolve(schema), depth + 1)) items.push(() => field(label, schema, false, depth)); };
  nested("each", own.items);
  nested("other fields", own.additionalProperties);
  for (const key of ["anyOf", "oneOf", "allOf"]) for (const schema of own[key] ?? []) nested(key, schema);
  return items.length === 0 ? null : () => make("ul", { class: "fields" }, ...items.map((item) => item()));
}

function describe(name, schema, required) { return make("ul", { class: "fields" }, field(name, schema, required, 0)); }

// sample returns an example of a schema.
function sample(schema, depth = 0) {
  const own = resolve(schema);
  if (own.examples?.length) return own.examples[0];
  if ("default" in own) return own.default;
  if ("const" in own) return own.const;
  if (own.enum?.length) return own.enum[0];
  if (depth > maxDepth) return null;
  if (own.allOf) return Object.assign({}, ...own.allOf.map((one) => sample(one, depth + 1)));
  const choice = own.anyOf?.[0] ?? own.oneOf?.[0];
  if (choice) return sample(choice, depth + 1);
  const type = Array.isArray(own.type) ? own.type.find((one) => one !== "null") : own.type;
  switch (type ?? (own.properties ? "object" : "")) {
    case "object": return Object.fromEntries(Object.entries(own.properties ?? {}).map(([name, one]) => [name, sample(one, depth + 1)]));
    case "array": return own.items ? [sample(own.items, depth + 1)] : [];
    case "integer": case "number": return own.minimum ?? 1;
    case "boolean": return true;
    case "string": return "";
    default: return null;
  }
}

const show = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function scopes(operation) {
  const needed = new Set((operation.security ?? []).flatMap((one) => Object.values(one).flat()));
  return needed.size ? [make("span", { class: "badge" }, "scopes: " + [...needed].join(", "))] : [];
}

function operationView(path, method, operation) {
  const summary = [
    make("span", { class: `method ${method}` }, method.toUpperCase()), make("span", { class: "mono" }, path),
    make("span", { class: "soft" }, operation.summary ?? ""), ...scopes(operation),
    operation.deprecated ? make("span", { class: "badge" }, "deprecated") : "",
  ];
  const view = lazy("operation" + (operation.deprecated ? " deprecated" : ""), summary.filter(Boolean), () => body(path, method, operation));
  view.id = operation.operationId;
  return view;
}

function body(path, method, operation) {
  const view = make("div", {}, make("p", { class: "soft mono" }, operation.operationId), make("p", {}, operation.description ?? ""));
  const parameters = (operation.parameters ?? []).map(resolve);
  if (parameters.length) {
    view.append(make("h3", {}, "Parameters"), make("ul", { class: "fields" }, ...parameters.map((one) => {
      const item = field(`${one.name} (${one.in})`, one.schema ?? {}, one.required, 0);
      if (one.description) item.append(" ", plain(one.description));
      return item;
    })));
  }
  const request = resolve(operation.requestBody);
  const schema = request.content?.["application/json"]?.schema;
  if (schema) view.append(make("h3", {}, "Body"), describe("body", schema, request.required));
  view.append(make("h3", {}, "Answers"));
  for (const [status, one] of Object.entries(operation.responses ?? {})) {
    const answer = resolve(one);
    view.append(lazy("", [make("code", {}, status), " ", answer.description ?? ""], () => {
      const list = make("div", {});
      const headers = Object.entries(answer.headers ?? {}).map(([name, header]) => make("li", {}, make("code", {}, name), " ", resolve(header).description ?? ""));
      if (headers.length) list.append(make("ul", { class: "fields" }, ...headers));
      const content = answer.content?.["application/json"]?.schema;
      if (content) list.append(describe("body", content, false));
      return list;
    }));
  }
  view.append(make("h3", {}, "Try it"), form(path, method, parameters, schema));
  return view;
}

// form sends the request of an operation to the gateway of this page.
function form(path, method, parameters, schema) {
  const inputs = [];
  const grid = (list) => make("div", { class: "form" }, ...list.flatMap((one) => {
    const id = `f${Math.random().toString(36).slice(2)}`;
    const example = sample(one.schema ?? {});
    const input = make("input", { id, spellcheck: "false", autocomplete: "off", required: one.required, placeholder: one.required ? "" : show(example) ?? "" });
    if (one.required) input.value = show(example) ?? "";
    inputs.push([one, input]);
    return [make("label", { for: id }, one.name + (one.required ? " *" : "")), input];
  }));
  const own = parameters.filter((one) => one.in !== "header");
  const headers = parameters.filter((one) => one.in === "header");
  const text = schema && make("textarea", { "aria-label": "Body", spellcheck: "false" });
  if (text) text.value = JSON.stringify(sample(schema), null, 2);
  const output = make("div", { "aria-live": "polite" });
  const button = make("button", { type: "submit" }, "Send");
  const send = async (event) => {
    event.preventDefault();
    button.disabled = true;
    output.replaceChildren(make("p", { class: "soft" }, "Waiting…"));
    try {
      output.replaceChildren(...(await request(path, method, inputs, text)));
    } catch (error) {
      output.replaceChildren(make("p", { class: "bad" }, String(error)));
    }
    button.disabled = false;
  };
  const view = make("form", { on: { submit: send } });
  if (own.length) view.append(grid(own));
  if (headers.length) view.append(make("details", {}, make("summary", {}, "Headers"), grid(headers)));
  view.append(text || "", button, output);
  return view;
}

async function request(path, method, inputs, text) {
  const query = new URLSearchParams();
  const headers = new Headers();
  for (const [one, input] of inputs) {
    if (input.value === "") continue;
    if (one.in === "path") path = path.replace(`{${one.name}}`, () => encodeURIComponent(input.value));
    else if (one.in === "header") headers.set(one.name, input.value);
    else for (const value of typeOf(one.schema ?? {}).endsWith("[]") ? input.value.split(",") : [input.value]) query.append(one.name, value);
  }
  const key = $("key").value.trim();
  if (key.startsWith("mk_")) headers.set("X-API-Key", key);
  else if (key) headers.set("Authorization", "Bearer " + key);
  const content = text?.value.trim();
  if (content) headers.set("Content-Type", "application/json");
  const url = location.origin + path + (query.size ? "?" + query : "");
  const began = performance.now();
  const answer = await fetch(url, { method: method.toUpperCase(), headers, body: content || undefined, credentials: "omit", cache: "no-store", redirect: "manual" });
  const received = await answer.text();
  const took = Math.round(performance.now() - began);
  let shown = received;
  try { shown = JSON.stringify(JSON.parse(received), null, 2); } catch { /* it is shown as it is */ }
  const quote = (value) => `'${value.replaceAll("'", `'\\''`)}'`;
  const curl = ["curl", "-X", method.toUpperCase(), quote(url)];
  for (const [name, value] of headers) curl.push("-H", quote(`${name}: ${/^(x-api-key|authorization)$/.test(name) ? "…" : value}`));
  if (content) curl.push("-d", quote(content));
  return [
    make("p", { class: answer.ok ? "status" : "status bad" }, `${answer.status} ${answer.statusText} · ${took} ms`),
    make("pre", { class: "answer", tabindex: "0" }, shown),
    make("details", {}, make("summary", {}, "Headers of the answer"), make("pre", {}, [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n"))),
    make("details", {}, make("summary", {}, "curl"), make("pre", {}, curl.join(" "))),
  ];
}

// list shows the operations that fit the filter, by tag.
function list() {
  const wanted = $("filter").value.trim().toLowerCase();
  const tags = new Map((doc.tags ?? []).map((tag) => [tag.name, { ...tag, operations: [] }]));
  for (const [path, item] of Object.entries(doc.paths ?? {})) {
    for (const method of methods) {
      const operation = item[method];
      if (!operation || (wanted && !`${method} ${path} ${operation.operationId} ${operation.summary}`.toLowerCase().includes(wanted))) continue;
      tags.get(operation.tags?.[0])?.operations.push([path, method, operation]);
    }
  }
  const found = [...tags.values()].filter((tag) => tag.operations.length);
  const all = found.reduce((sum, tag) => sum + tag.operations.length, 0);
  const groups = found.map((tag) => lazy("tag",
    [tag.name, " ", make("span", { class: "soft" }, `${plain(tag.description)} ${tag.operations.length} operations`)],
    () => make("div", {}, ...tag.operations.map((one) => operationView(...one))), all <= 200));
  $("operations").replaceChildren(...(groups.length ? groups : [make("p", { role: "status" }, "No operation fits.")]));
}

function move(step) {
  const all = [...document.querySelectorAll(".operation > summary")].filter((one) => one.offsetParent);
  const at = all.indexOf(document.activeElement);
  all[Math.min(Math.max(at + step, 0), all.length - 1)]?.focus();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  if (event.key === "/") { event.preventDefault(); $("filter").focus(); }
  if (event.key === "j") move(1);
  if (event.key === "k") move(-1);
}

// credential returns the headers for the document itself.
function credential() {
  const key = $("key").value.trim();
  if (!key) return {};
  return key.startsWith("mk_") ? { "X-API-Key": key } : { Authorization: "Bearer " + key };
}

async function load() {
  const version = /^\/docs\/(v[0-9]+)\/?$/.exec(location.pathname)?.[1] ?? "";
  const url = version ? `/${version}/openapi.json` : "/openapi.json";
  $("source").href = url;
  try {
    const answer = await fetch(url, { headers: credential(), credentials: "omit" });
    if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`);
    doc = await answer.json();
  } catch (error) {
    $("operations").replaceChildren(make("p", { role: "status", class: "bad" }, String(error)));
    return;
  }
  document.title = `${doc.info.title} ${version}`;
  $("title").textContent = `${doc.info.title} ${version}`;
  $("description").textContent = doc.info.description ?? "";
  $("version").replaceChildren(...["", ...(doc["x-mailroom-versions"] ?? [])].map((name) =>
    make("option", { value: name, selected: name === version }, name || "services")));
  list();
}

$("version").addEventListener("change", (event) => { location.pathname = event.target.value ? `/docs/${event.target.value}` : "/docs"; });
$("filter").addEventListener("input", list);
$("key").value = sessionStorage.getItem(keyName) ?? "";
$("key").addEventListener("change", (event) => {
  sessionStorage.setItem(keyName, event.target.value.trim());
  if (!doc.info) load();
});
document.addEventListener("keydown", keys);
load();
