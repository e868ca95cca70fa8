// OASIS' converter of CSDL and its companion for OpenAPI, unmodified, read the sandbox's $metadata. Ends at the first surprise.
"use strict";
const assert = require("node:assert/strict");
const csdl = require("odata-csdl");
const { csdl2openapi } = require("odata-openapi");

const sandbox = JSON.parse(process.env.SANDBOX);
const NAMESPACE = "Microsoft.Dynamics.CRM";

async function token() {
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: sandbox.clientId,
    client_secret: sandbox.clientSecret,
    scope: `${sandbox.dynamics}/.default`,
  });
  return (await (await fetch(sandbox.tokenUrl, { method: "POST", body: form })).json()).access_token;
}

// No element has two children of one kind and one name: in JSON the later would hide the earlier.
function isWithoutRepeats(xml) {
  for (const [type, body] of [...xml.matchAll(/<(?:EntityType|ComplexType|EntityContainer) Name="(\w+)"[^>]*>(.*?)<\/(?:EntityType|ComplexType|EntityContainer)>/gs)].map((match) => [match[1], match[2]])) {
    const names = [...body.matchAll(/<(?:Property|NavigationProperty|EntitySet|FunctionImport) Name="(\w+)"/g)].map((match) => match[1]);
    assert.equal(new Set(names).size, names.length, `${type} repeats ${names.filter((name, place) => names.indexOf(name) !== place)}`);
  }
}

(async () => {
  const headers = { authorization: `Bearer ${await token()}` };
  const response = await fetch(`${sandbox.dynamics}/api/data/v9.2/$metadata?annotations=true`, { headers });
  assert.equal(response.status, 200);
  const xml = await response.text();
  isWithoutRepeats(xml);

  const messages = [];
  const model = csdl.xml2json(xml, { strict: true, messages });
  assert.deepEqual(messages, []);
  const schema = model[NAMESPACE];
  const own = (name) => schema[name.replace(/^(mscrm|Microsoft\.Dynamics\.CRM)\./, "")];
  // A type with what it inherits.
  const whole = (type) => (type.$BaseType ? { ...whole(own(type.$BaseType)), ...type } : type);

  for (const [name, type] of Object.entries(schema).filter(([, type]) => type.$Kind === "EntityType")) {
    const all = whole(type);
    assert.ok(type.$Abstract || all.$Key, `${name} has a key`);
    for (const key of all.$Key ?? []) assert.ok(all[key], `${name} has its key ${key}`);
    for (const [property, value] of Object.entries(type).filter(([property]) => !property.startsWith("$") && !property.startsWith("@"))) {
      const place = `${name}/${property}`;
      const target = value.$Type ?? "Edm.String";
      if (!target.startsWith("Edm.")) assert.ok(own(target), `${place} is of a type that is defined: ${target}`);
      if (value.$Kind !== "NavigationProperty") continue;
      const there = whole(own(target));
      if (value.$Partner) assert.equal(there[value.$Partner]?.$Partner, property, `${place} and its partner ${value.$Partner}`);
      for (const [dependent, principal] of Object.entries(value.$ReferentialConstraint ?? {})) {
        assert.ok(all[dependent] && there[principal], `${place} is constrained by ${dependent} and ${principal}`);
      }
    }
  }

  const container = own(model.$EntityContainer ?? `${NAMESPACE}.System`);
  for (const [name, set] of Object.entries(container).filter(([, set]) => set.$Collection)) {
    const type = whole(own(set.$Type));
    const held = Object.entries(type).filter(([, value]) => value.$Kind === "NavigationProperty");
    const bound = set.$NavigationPropertyBinding ?? {};
    for (const [path, target] of Object.entries(bound)) {
      assert.equal(own(type[path].$Type), own(container[target].$Type), `${name} binds ${path} to ${target}`);
    }
    const sets = Object.values(container).map((other) => own(other.$Type ?? ""));
    for (const [path, value] of held) {
      if (sets.includes(own(value.$Type))) assert.ok(bound[path], `${name} binds ${path}`);
    }
  }
  assert.equal(own("contact").ownerid.$Type.split(".").pop(), "principal");

  const warnings = [];
  const openapi = csdl2openapi(model, { messages: warnings, diagram: false });
  assert.deepEqual(warnings, []);
  assert.ok(openapi.paths["/contacts"].get && openapi.paths["/WhoAmI()"].get);
  console.log(`ok   reads the model of ${Object.keys(container).length} sets`);
})().catch((error) => {
  console.log(`FAIL ${error.stack}`);
  process.exitCode = 1;
});
