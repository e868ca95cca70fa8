// DynamicsWebApi, unmodified, against the sandbox. One line a step; ends at the first surprise.
"use strict";
const assert = require("node:assert/strict");
const { DynamicsWebApi } = require("dynamics-web-api");

const sandbox = JSON.parse(process.env.SANDBOX);
let tokens = 0;

async function token() {
  tokens += 1;
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: sandbox.clientId,
    client_secret: sandbox.clientSecret,
    scope: `${sandbox.dynamics}/.default`,
  });
  const response = await fetch(sandbox.tokenUrl, { method: "POST", body: form });
  assert.equal(response.status, 200);
  const body = await response.json();
  assert.equal(body.token_type, "Bearer");
  return body.access_token;
}

async function admin(method, path, body) {
  const response = await fetch(`${sandbox.admin}${path}`, { method, body: JSON.stringify(body) });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

const api = new DynamicsWebApi({ serverUrl: sandbox.dynamics, dataApi: { version: "9.2" }, onTokenRefresh: token });
const id = (number) => `c0000000-0000-4000-8000-0000000000${String(number).padStart(2, "0")}`;

// What the client throws for an error of the server.
async function refused(promise, status, code) {
  const error = await promise.then(() => assert.fail("the server should have refused"), (error) => error);
  const found = Array.isArray(error) ? error[0] : error;
  assert.equal(found.status, status, JSON.stringify(found));
  if (code) assert.equal(found.code ?? found.error?.code, code, JSON.stringify(found));
  return found;
}

const steps = {
  async "asks who it is with a token of its own"() {
    const me = await api.callFunction("WhoAmI");
    assert.match(me.UserId, /^[0-9a-f-]{36}$/);
    assert.equal(tokens, 1);
  },

  async "reads pages until there is no next link"() {
    const request = { collection: "contacts", select: ["fullname", "modifiedon"], maxPageSize: 2500, orderBy: ["modifiedon", "contactid"] };
    let page = await api.retrieveMultiple(request);
    const seen = new Set(page.value.map((record) => record.contactid));
    let pages = 1;
    while (page.oDataNextLink) {
      page = await api.retrieveMultiple(request, page.oDataNextLink);
      page.value.forEach((record) => seen.add(record.contactid));
      pages += 1;
    }
    assert.deepEqual([pages, seen.size], [5, 12000]);
    const all = await api.retrieveAll({ collection: "contacts", select: ["fullname"] });
    assert.equal(all.value.length, 12000);
  },

  async "counts, up to the platform's limit"() {
    assert.equal(await api.count({ collection: "contacts" }), 5000);
    assert.equal(await api.count({ collection: "contacts", filter: "address1_city eq 'london'" }) > 0, true);
    assert.equal(await api.countAll({ collection: "accounts" }), 100);
    const page = await api.retrieveMultiple({ collection: "accounts", select: ["name"], top: 3, count: true });
    assert.deepEqual([page.oDataCount, page.value.length], [100, 3]);
  },

  async "creates with an id of its own, reads, updates and deletes"() {
    const created = await api.create({ collection: "contacts", data: { contactid: id(1), firstname: "Ada", lastname: "O'Brien \u{1f33b}" } });
    assert.equal(created, id(1));
    await refused(api.create({ collection: "contacts", data: { contactid: id(1) } }), 412, "0x80040237");
    const back = await api.create({ collection: "contacts", data: { lastname: "Back" }, returnRepresentation: true, select: ["lastname"] });
    assert.deepEqual([back.lastname, typeof back.contactid, back.fullname], ["Back", "string", undefined]);
    assert.equal(await api.update({ collection: "contacts", key: id(1), data: { jobtitle: "Analyst" } }), true);
    await refused(api.update({ collection: "contacts", key: id(99), data: { jobtitle: "Ghost" } }), 404, "0x80040217");
    await api.updateSingleProperty({ collection: "contacts", key: id(1), fieldValuePair: { department: "R&D" } });
    const record = await api.retrieve({ collection: "contacts", key: id(1), select: ["lastname", "jobtitle", "department"] });
    assert.deepEqual([record.lastname, record.jobtitle, record.department], ["O'Brien \u{1f33b}", "Analyst", "R&D"]);
    assert.equal(await api.deleteRecord({ collection: "contacts", key: id(1), fieldName: "department" }), true);
    assert.equal((await api.retrieve({ collection: "contacts", key: id(1), select: ["department"] })).department, null);
    assert.equal(await api.deleteRecord({ collection: "contacts", key: id(1) }), true);
    await refused(api.deleteRecord({ collection: "contacts", key: id(1) }), 404);
  },

  async "upserts by id and by alternate key"() {
    await api.upsert({ collection: "contacts", key: id(2), data: { lastname: "Two" } });
    const byKey = { collection: "contacts", key: "new_extid='A 1'" };
    for (const lastname of ["first", "second"]) await api.upsert({ ...byKey, data: { lastname } });
    const record = await api.retrieve({ ...byKey, select: ["lastname", "new_extid"] });
    assert.deepEqual([record.lastname, record.new_extid], ["second", "A 1"]);
    assert.equal(await api.upsert({ ...byKey, data: { lastname: "never" }, ifnonematch: "*" }), null);
    assert.equal((await api.retrieve({ ...byKey, select: ["lastname"] })).lastname, "second");
    await refused(api.retrieve({ collection: "contacts", key: "nickname='x'" }), 400);
  },

  async "guards with etags"() {
    const record = await api.retrieve({ collection: "contacts", key: id(2), select: ["lastname"] });
    const etag = record["@odata.etag"];
    assert.equal(await api.retrieve({ collection: "contacts", key: id(2), select: ["lastname"], ifnonematch: etag }), undefined);
    assert.equal(await api.update({ collection: "contacts", key: id(2), data: { lastname: "Three" }, ifmatch: etag }), true);
    assert.equal(await api.update({ collection: "contacts", key: id(2), data: { lastname: "Four" }, ifmatch: etag }), false);
    assert.equal(await api.deleteRecord({ collection: "contacts", key: id(2), ifmatch: etag }), false);
  },

  async "binds and reads references with their annotations"() {
    const account = await api.create({ collection: "accounts", data: { name: "Contoso & Söhne" } });
    await api.associateSingleValued({ collection: "contacts", primaryKey: id(2), navigationProperty: "parentcustomerid_account", relatedCollection: "accounts", relatedKey: account });
    const record = await api.retrieve({ collection: "contacts", key: id(2), select: ["_parentcustomerid_value"], includeAnnotations: "*" });
    assert.equal(record._parentcustomerid_value, account);
    assert.equal(record._parentcustomerid_value_Formatted, "Contoso & Söhne");
    assert.equal(record._parentcustomerid_value_LogicalName, "account");
    await api.disassociateSingleValued({ collection: "contacts", primaryKey: id(2), navigationProperty: "parentcustomerid_account" });
    assert.equal((await api.retrieve({ collection: "contacts", key: id(2), select: ["_parentcustomerid_value"] }))._parentcustomerid_value, null);
  },

  async "sends a batch of single operations"() {
    api.startBatch();
    api.create({ collection: "contacts", data: { contactid: id(10), lastname: "batched" } });
    api.retrieveMultiple({ collection: "contacts", select: ["lastname"], filter: "lastname eq 'batched'" });
    api.count({ collection: "accounts" });
    api.deleteRecord({ collection: "contacts", key: id(10) });
    const answers = await api.executeBatch({ inChangeSet: false });
    assert.deepEqual([answers[0], answers[1].value.length, answers[2], answers[3]], [id(10), 1, 101, true]);
  },

  async "sends change sets that refer to themselves, and fails whole"() {
    api.startBatch();
    api.create({ collection: "accounts", data: { name: "in a set" }, contentId: "1" });
    api.create({ collection: "contacts", data: { contactid: id(11), lastname: "set", "parentcustomerid_account@odata.bind": "$1" } });
    const answers = await api.executeBatch();
    const record = await api.retrieve({ collection: "contacts", key: id(11), select: ["_parentcustomerid_value"] });
    assert.deepEqual([answers[1], record._parentcustomerid_value], [id(11), answers[0]]);
    api.startBatch();
    api.create({ collection: "contacts", data: { contactid: id(12), lastname: "kept?" } });
    api.update({ collection: "contacts", key: id(98), data: { lastname: "Ghost" } });
    await refused(api.executeBatch(), 404, "0x80040217");
    await refused(api.retrieve({ collection: "contacts", key: id(12) }), 404);
    api.startBatch();
    api.update({ collection: "contacts", key: id(98), data: { lastname: "Ghost" } });
    api.create({ collection: "contacts", data: { contactid: id(12), lastname: "kept" } });
    const mixed = await api.executeBatch({ inChangeSet: false, continueOnError: true }).catch((errors) => errors);
    assert.equal(mixed.length, 2);
    assert.equal((await api.retrieve({ collection: "contacts", key: id(12), select: ["lastname"] })).lastname, "kept");
  },

  async "sends an address that is too long as part of a batch"() {
    const names = Array.from({ length: 200 }, (_, number) => `lastname eq 'nobody number ${number}'`);
    const page = await api.retrieveMultiple({ collection: "contacts", select: ["lastname"], filter: [...names, "lastname eq 'kept'"].join(" or ") });
    assert.deepEqual(page.value.map((record) => record.lastname), ["kept"]);
  },

  async "reads the model"() {
    const table = await api.retrieveEntity({ key: "LogicalName='contact'", select: ["LogicalName", "EntitySetName"] });
    assert.equal(table.EntitySetName, "contacts");
    const column = await api.retrieveAttribute({ entityKey: "LogicalName='contact'", attributeKey: "LogicalName='gendercode'", castType: "Microsoft.Dynamics.CRM.PicklistAttributeMetadata", expand: [{ property: "OptionSet" }] });
    assert.deepEqual(column.OptionSet.Options.map((option) => option.Value), [1, 2]);
    const named = new DynamicsWebApi({ serverUrl: sandbox.dynamics, dataApi: { version: "9.2" }, onTokenRefresh: token, useEntityNames: true });
    assert.equal((await named.retrieveMultiple({ collection: "contact", select: ["lastname"], top: 1 })).value.length, 1);
  },

  async "reads relationships, shared choices and what a table is"() {
    const table = await api.retrieveEntity({
      key: "LogicalName='account'",
      select: ["PrimaryImageAttribute", "IsManaged", "CanBeInManyToMany", "Privileges"],
      expand: [{ property: "OneToManyRelationships", select: ["SchemaName", "ReferencingAttribute"], filter: "ReferencingEntity eq 'contact'" }],
    });
    assert.deepEqual([table.PrimaryImageAttribute, table.IsManaged, table.CanBeInManyToMany.Value], ["entityimage", true, true]);
    assert.equal(table.Privileges[0].Name, "prvCreateAccount");
    assert.deepEqual(table.OneToManyRelationships.map((way) => way.SchemaName), ["contact_customer_accounts"]);
    const castType = "Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata";
    const ways = await api.retrieveRelationships({ castType, select: ["SchemaName", "MetadataId"], filter: "ReferencedEntity eq 'sdkmessagefilter'" });
    assert.deepEqual(ways.value, []);
    const all = await api.retrieveRelationships({ castType, select: ["SchemaName"], filter: "SchemaName eq 'account_primary_contact'" });
    const way = await api.retrieveRelationship({ key: all.value[0].MetadataId, castType });
    assert.deepEqual([way.ReferencingEntityNavigationPropertyName, way.ReferencedEntityNavigationPropertyName], ["primarycontactid", "account_primary_contact"]);
    await admin("POST", "/attributes/contact", { name: "new_tone", type: "Picklist", optionSet: "new_tones", options: [{ value: 1, label: "Warm" }, { value: 2, label: "Cool" }] });
    const sets = await api.retrieveGlobalOptionSets({ castType: "Microsoft.Dynamics.CRM.OptionSetMetadata", select: ["Name"] });
    assert.deepEqual(sets.value.map((set) => set.Name), ["new_tones"]);
    const set = await api.retrieveGlobalOptionSet({ key: "Name='new_tones'" });
    assert.deepEqual(set.Options.map((option) => option.Label.UserLocalizedLabel.Label), ["Warm", "Cool"]);
    const attribute = await api.retrieveAttribute({ entityKey: "LogicalName='contact'", attributeKey: "LogicalName='new_tone'", castType: "Microsoft.Dynamics.CRM.PicklistAttributeMetadata", expand: [{ property: "GlobalOptionSet" }] });
    assert.equal(attribute.GlobalOptionSet.Name, "new_tones");
  },

  async "asks with the platform's own query functions, by parameter aliases too"() {
    const people = [[40, "Functions A", "2026-03-01"], [41, "Functions B", "2026-02-01"], [42, "Functions C", null]];
    for (const [number, lastname, birthdate] of people) await api.create({ collection: "contacts", data: { contactid: id(number), lastname, birthdate } });
    const names = async (filter, queryParams) => {
      const page = await api.retrieveMultiple({ collection: "contacts", select: ["lastname"], filter: `startswith(lastname,'Functions') and ${filter}`, orderBy: ["lastname"], queryParams });
      return page.value.map((record) => record.lastname.at(-1)).join("");
    };
    const f = (name) => `Microsoft.Dynamics.CRM.${name}`;
    assert.equal(await names(`${f("In")}(PropertyName='lastname',PropertyValues=["functions a","Functions C"])`), "AC");
    assert.equal(await names(`${f("NotIn")}(PropertyName=@p1,PropertyValues=@p2)`, ["@p1='lastname'", '@p2=["Functions A","@p1"]']), "BC");
    assert.equal(await names(`${f("Between")}(PropertyName='birthdate',PropertyValues=["2026-02-15","2026-03-15"])`), "A");
    assert.equal(await names(`${f("OnOrBefore")}(PropertyName='birthdate',PropertyValue='2026-02-01')`), "B");
    assert.equal(await names(`${f("LastXDays")}(PropertyName='createdon',PropertyValue=7)`), "ABC");
    assert.equal(await names(`${f("OlderThanXMinutes")}(PropertyName='createdon',PropertyValue=@p1)`, ["@p1=5"]), "");
    assert.equal(await names(f("Today") + "(PropertyName='createdon')"), "ABC");
    assert.equal(await names("lastname eq @name", ["@name='Functions B'"]), "B");
    assert.equal(await names("birthdate eq @none"), "C");
    await refused(api.retrieveMultiple({ collection: "contacts", filter: `${f("Nosuch")}(PropertyName='createdon')` }), 400);
    for (const number of [40, 41, 42]) await api.deleteRecord({ collection: "contacts", key: id(number) });
  },

  async "gets a sentence for what the sandbox leaves out"() {
    const left = [
      { collection: "contacts", select: ["lastname"], queryParams: ["sql=SELECT lastname FROM contact"] },
      { collection: "contacts", select: ["lastname"], savedQuery: id(1) },
      { collection: "accounts", select: ["name"], expand: [{ property: "contact_customer_accounts", select: ["lastname"] }] },
      { collection: "accounts", select: ["name"], filter: "contact_customer_accounts/any(c:c/lastname eq 'x')" },
      { collection: "contacts", filter: "Microsoft.Dynamics.CRM.InFiscalYear(PropertyName='createdon',PropertyValue=2026)" },
      { collection: "opportunities" },
    ];
    for (const request of left) {
      const error = await refused(api.retrieveMultiple(request), 501);
      assert.match(error.message, /not part of this stand-in/);
    }
    await refused(api.callAction({ actionName: "BulkDelete", action: {} }), 501);
  },

  async "cannot write a reference under the name by which it is read"() {
    const data = { lastname: "Value", _parentcustomerid_value: id(1) };
    const error = await refused(api.create({ collection: "contacts", data }), 400, "0x80060888");
    assert.match(error.message, /direct update of Entity Reference properties, Use Navigation properties/);
  },

  async "spells headers as the platform does"() {
    const headers = { authorization: `Bearer ${await token()}`, "content-type": "application/json" };
    const raw = await new Promise((resolve, reject) => {
      const request = require("node:http").request(`${sandbox.dynamics}/api/data/v9.2/contacts`, { method: "POST", headers }, (response) => response.resume().on("end", () => resolve(response.rawHeaders)));
      request.on("error", reject).end(JSON.stringify({ lastname: "Header" }));
    });
    for (const name of ["OData-EntityId", "OData-Version", "Date"]) assert.ok(raw.includes(name), raw.join());
  },

  async "follows what has changed"() {
    const request = { collection: "contacts", select: ["lastname"], trackChanges: true, maxPageSize: 5000 };
    let page = await api.retrieveMultiple(request);
    while (page.oDataNextLink) {
      assert.equal(page.oDataDeltaLink, undefined);
      page = await api.retrieveMultiple(request, page.oDataNextLink);
    }
    await api.create({ collection: "contacts", data: { contactid: id(20), lastname: "new" } });
    await api.update({ collection: "contacts", key: id(12), data: { lastname: "changed" } });
    await api.deleteRecord({ collection: "contacts", key: id(20) });
    const news = await api.retrieveMultiple(request, page.oDataDeltaLink);
    assert.deepEqual(news.value.map((record) => record.lastname ?? record.reason), ["changed", "deleted"]);
    assert.deepEqual([news.value[1].id, typeof news.oDataDeltaLink], [id(20), "string"]);
    await refused(api.retrieveMultiple({ ...request, filter: "lastname eq 'x'" }), 400);
  },

  async "reads records with those that they refer to"() {
    const page = await api.retrieveMultiple({
      collection: "contacts",
      select: ["lastname"],
      filter: "parentcustomerid_account/name eq 'in a set'",
      expand: [{ property: "parentcustomerid_account", select: ["name", "accountnumber"] }],
    });
    assert.deepEqual(page.value.map((record) => [record.lastname, record.parentcustomerid_account.name]), [["set", "in a set"]]);
  },

  async "asks in FetchXML, page by page"() {
    const fetchXml = "<fetch mapping='logical' count='40'><entity name='account'><attribute name='name'/><order attribute='name'/></entity></fetch>";
    const first = await api.fetch({ collection: "accounts", fetchXml, pageNumber: 1 });
    assert.deepEqual([first.value.length, first.PagingInfo.nextPage], [40, 2]);
    const all = await api.fetchAll({ collection: "accounts", fetchXml });
    assert.deepEqual([all.value.length, new Set(all.value.map((record) => record.accountid)).size], [102, 102]);
  },

  async "sends bulk messages"() {
    const type = "Microsoft.Dynamics.CRM.contact";
    const target = (number, lastname) => ({ "@odata.type": type, contactid: id(number), lastname });
    const bulk = (action, Targets) => api.callAction({ collection: "contacts", actionName: `Microsoft.Dynamics.CRM.${action}`, action: { Targets } });
    const created = await bulk("CreateMultiple", [target(30, "bulk"), target(31, "bulk")]);
    assert.deepEqual(created.Ids, [id(30), id(31)]);
    await refused(bulk("UpdateMultiple", [target(30, "no"), target(97, "no")]), 404, "0x80040217");
    await bulk("UpsertMultiple", [target(31, "more"), target(32, "more")]);
    const names = await api.retrieveMultiple({ collection: "contacts", select: ["lastname"], filter: "lastname eq 'bulk' or lastname eq 'more'" });
    assert.deepEqual(names.value.map((record) => record.lastname).sort(), ["bulk", "more", "more"]);
  },

  async "is told of limits, duplicates and values that do not fit"() {
    await admin("POST", "/faults", { route: "query", times: 1, status: 429, code: "0x80072326", retryAfter: 7 });
    const limited = await refused(api.retrieveMultiple({ collection: "contacts", select: ["lastname"] }), 429, "0x80072326");
    assert.equal(limited.headers["retry-after"], "7");
    await admin("POST", "/duplicates/contact", { name: "same mail", attributes: ["emailaddress1"] });
    const twin = { collection: "contacts", data: { lastname: "Twin", emailaddress1: "twin@example.com" } };
    await api.create(twin);
    await api.create(twin);
    await refused(api.create({ ...twin, duplicateDetection: true }), 500, "0x80040333");
    await refused(api.create({ collection: "contacts", data: { lastname: "x".repeat(51) } }), 400, "0x80044331");
    await refused(api.retrieveMultiple({ collection: "contacts", filter: "nosuch eq 1" }), 400, "0x80060888");
  },
};

(async () => {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
      console.log(`ok   ${name}`);
    } catch (error) {
      console.log(`FAIL ${name}\n${error.stack ?? JSON.stringify(error, null, 1)}`);
      process.exitCode = 1;
      if (!process.env.KEEP_GOING) return;
    }
  }
})();
