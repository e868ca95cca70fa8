// jsforce, unmodified, against the sandbox. One line a step; ends at the first surprise.
"use strict";
const assert = require("node:assert/strict");
const jsforce = require("jsforce");

const sandbox = JSON.parse(process.env.SANDBOX);
const org = sandbox.salesforce;

async function admin(method, path, body) {
  const response = await fetch(`${sandbox.admin}${path}`, { method, body: body && JSON.stringify(body) });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

// What the client throws for an error of the server.
async function refused(promise, code) {
  const error = await promise.then(() => assert.fail("the server should have refused"), (error) => error);
  assert.equal(error.errorCode ?? error.name, code, String(error));
  return error;
}

const oauth2 = { loginUrl: org.url, clientId: org.clientId, clientSecret: org.clientSecret };
const conn = new jsforce.Connection({ instanceUrl: org.url, oauth2, version: "60.0", maxRequest: 4 });
const ids = {};

const steps = {
  async "logs in by client credentials, by password, over SOAP and with a refresh token"() {
    const user = await conn.authorize({ grant_type: "client_credentials" });
    assert.match(user.id, /^005.{15}$/);
    assert.match(user.organizationId, /^00D.{15}$/);
    const byPassword = new jsforce.Connection({ oauth2 });
    await byPassword.login(org.username, org.password + org.securityToken);
    assert.equal(byPassword.instanceUrl, org.url);
    const soap = new jsforce.Connection({ loginUrl: org.url });
    const soapUser = await soap.loginBySoap(org.username, org.password + org.securityToken);
    assert.equal(soapUser.id, user.id);
    assert.equal((await soap.query("SELECT COUNT() FROM Contact")).totalSize, 5000);
    await refused(new jsforce.Connection({ oauth2 }).login(org.username, "wrong"), "invalid_grant");
    const refreshed = new jsforce.Connection({ oauth2, instanceUrl: org.url, accessToken: "expired", refreshToken: org.refreshToken });
    assert.equal((await refreshed.identity()).username, org.username);
  },

  async "describes objects and the whole organisation"() {
    const global = await conn.describeGlobal();
    assert.ok(global.sobjects.some((object) => object.name === "Campaign"));
    const contact = await conn.sobject("Contact").describe();
    const field = contact.fields.find((field) => field.name === "ExtId__c");
    assert.deepEqual([field.externalId, field.unique, field.type], [true, true, "string"]);
    assert.ok((await conn.limits()).DailyApiRequests.Max > 0);
    assert.ok(conn.limitInfo.apiUsage.used > 0);
  },

  async "reads pages to the end, and those in the bin as well"() {
    const first = await conn.query("SELECT Id, Name, Account.Name FROM Contact ORDER BY Name");
    assert.deepEqual([first.totalSize, first.records.length, first.done], [5000, 2000, false]);
    const second = await conn.queryMore(first.nextRecordsUrl);
    assert.equal(second.records.length, 2000);
    const [one] = first.records;
    await conn.sobject("Contact").destroy(one.Id);
    const all = await conn.query("SELECT Id FROM Contact", { autoFetch: true, maxFetch: 10000 });
    assert.equal(new Set(all.records.map((record) => record.Id)).size, 4999);
    const deleted = await conn.query("SELECT Id, IsDeleted FROM Contact", { autoFetch: true, maxFetch: 10000, scanAll: true });
    assert.deepEqual([deleted.records.length, deleted.records.find((record) => record.IsDeleted).Id], [5000, one.Id]);
    const found = await conn.sobject("Contact").find({ LastName: { $like: "%e%" }, CreatedDate: { $gt: jsforce.SfDate.toDateTimeLiteral("2020-01-01T00:00:00Z") } }, "Id, LastName").limit(5);
    assert.equal(found.length, 5);
  },

  async "creates, changes, upserts and deletes single records"() {
    const account = await conn.sobject("Account").create({ Name: "Acme", ExtId__c: "acme" });
    const created = await conn.sobject("Contact").create({ LastName: "Lovelace", Account: { ExtId__c: "acme" } });
    assert.ok(created.success);
    ids.one = created.id;
    assert.equal((await conn.sobject("Contact").retrieve(created.id)).AccountId, account.id);
    await conn.sobject("Contact").update({ Id: created.id, FirstName: "Ada" });
    const upserted = await conn.sobject("Contact").upsert({ LastName: "Hopper", ExtId__c: "h 1" }, "ExtId__c");
    assert.equal(upserted.created, true);
    const again = await conn.sobject("Contact").upsert({ FirstName: "Grace", ExtId__c: "h 1" }, "ExtId__c");
    assert.deepEqual([again.id, again.created], [upserted.id, false]);
    ids.two = upserted.id;
    const error = await refused(conn.sobject("Contact").create({ FirstName: "x" }), "REQUIRED_FIELD_MISSING");
    assert.deepEqual(error.data?.fields ?? ["LastName"], ["LastName"]);
    await refused(conn.query("SELECT Nothing FROM Contact"), "INVALID_FIELD");
    await refused(conn.sobject("Contact").retrieve("003gL00000ZZZZZZZZ"), "NOT_FOUND");
  },

  async "writes collections of records, each with an outcome"() {
    const names = Array.from({ length: 450 }, (_, number) => ({ LastName: `Many ${number}`, ExtId__c: `many${number}` }));
    names[7] = { FirstName: "no last name" };
    const results = await conn.sobject("Contact").create(names, { allowRecursive: true });
    assert.equal(results.filter((result) => result.success).length, 449);
    assert.equal(results[7].errors[0].statusCode, "REQUIRED_FIELD_MISSING");
    const upserts = await conn.sobject("Contact").upsert([{ ExtId__c: "many1", FirstName: "x" }, { ExtId__c: "new", LastName: "New" }, { ExtId__c: "bad" }], "ExtId__c");
    assert.deepEqual(upserts.map((result) => [result.success, result.created]), [[true, false], [true, true], [false, true]]);
    const some = results.filter((result) => result.success).slice(0, 3).map((result) => result.id);
    const updates = await conn.sobject("Contact").update(some.map((Id) => ({ Id, Title: "T" })));
    assert.ok(updates.every((result) => result.success));
    const read = await conn.sobject("Contact").retrieve([...some, ids.one]);
    assert.deepEqual(read.map((record) => record.Title), ["T", "T", "T", null]);
    const deleted = await conn.sobject("Contact").delete(some);
    assert.ok(deleted.every((result) => result.success));
  },

  async "tells what was changed and deleted"() {
    const now = Date.now();
    const [start, end] = [new Date(now - 3600e3), new Date(now + 120e3)];
    const deleted = await conn.sobject("Contact").deleted(start, end);
    assert.ok(deleted.deletedRecords.length >= 4 && deleted.latestDateCovered);
    const updated = await conn.sobject("Contact").updated(start, end);
    assert.ok(updated.ids.includes(ids.one) && updated.ids.includes(ids.two));
    await refused(conn.sobject("Contact").deleted(new Date(now - 20 * 86400e3), end), "INVALID_REPLICATION_DATE");
  },

  async "logs in again by itself when the session is over"() {
    const refreshing = new jsforce.Connection({ oauth2, instanceUrl: org.url, refreshToken: org.refreshToken });
    assert.equal((await refreshing.query("SELECT COUNT() FROM User")).totalSize, 12);
    const before = refreshing.accessToken;
    await admin("POST", "/tokens/revoke");
    const both = await Promise.all([refreshing.query("SELECT COUNT() FROM User"), refreshing.limits()]);
    assert.equal(both[0].totalSize, 12);
    assert.notEqual(refreshing.accessToken, before);
    await conn.authorize({ grant_type: "client_credentials" });
  },

  async "gives a signature that the consumer secret proves"() {
    const { createHmac } = require("node:crypto");
    const form = new URLSearchParams({ grant_type: "client_credentials", client_id: org.clientId, client_secret: org.clientSecret });
    const answer = await (await fetch(`${org.url}/services/oauth2/token`, { method: "POST", body: form })).json();
    const expected = createHmac("sha256", org.clientSecret).update(`${answer.id}${answer.issued_at}`).digest("base64");
    assert.equal(answer.signature, expected);
  },

  async "gets a sentence for what the sandbox leaves out"() {
    const left = [
      conn.query("SELECT COUNT(Id) FROM Contact GROUP BY LastName"),
      conn.query("SELECT Id, (SELECT Id FROM Contacts) FROM Account"),
      conn.query("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact)"),
      conn.search("FIND {Smith} IN ALL FIELDS RETURNING Contact(Id)"),
      conn.bulk.load("Contact", "insert", [{ LastName: "One" }]),
      conn.tooling.query("SELECT Id FROM ApexClass"),
      conn.metadata.describe(),
    ];
    for (const refusal of await Promise.allSettled(left)) {
      assert.match(String(refusal.reason), /not part of this stand-in|stand-in has the login call only/);
    }
  },

  async "loads with bulk jobs and reads what became of each row"() {
    conn.bulk2.pollInterval = 50;
    const input = [{ ExtId__c: "b1", LastName: "One" }, { ExtId__c: "b2", LastName: 'Quoted "two", and\nmore' }, { ExtId__c: "b3", FirstName: "no last name" }];
    const results = await conn.bulk2.loadAndWaitForResults({ object: "Contact", operation: "upsert", externalIdFieldName: "ExtId__c", input });
    assert.deepEqual([results.successfulResults.length, results.failedResults.length, results.unprocessedRecords.length], [2, 1, 0]);
    assert.match(results.failedResults[0].sf__Error, /^REQUIRED_FIELD_MISSING:Required fields are missing: \[LastName\]:LastName --$/);
    const job = conn.bulk2.createJob({ object: "Contact", operation: "delete" });
    await job.open();
    await job.uploadData(results.successfulResults.map((row) => ({ Id: row.sf__Id })));
    await job.close();
    await job.poll(50);
    assert.equal((await job.check()).numberRecordsProcessed, 2);
    await job.delete();
    const empty = conn.bulk2.createJob({ object: "Contact", operation: "insert" });
    await empty.open();
    await empty.uploadData("");
    await empty.abort();
    assert.equal((await empty.check()).state, "Aborted");
  },

  async "reads with bulk queries, also those in the bin"() {
    const stream = await conn.bulk2.query("SELECT Id, LastName, CreatedDate FROM Contact");
    const records = await stream.toArray();
    const { totalSize } = await conn.query("SELECT COUNT() FROM Contact");
    assert.equal(records.length, totalSize);
    assert.match(records[0].CreatedDate, /^\d{4}-\d\d-\d\dT[\d:]{8}\.000Z$/);
    const all = await (await conn.bulk2.query("SELECT Id FROM Contact", { scanAll: true })).toArray();
    assert.ok(all.length > records.length);
    await refused(conn.bulk2.query("SELECT Nothing FROM Contact"), "INVALID_FIELD");
  },
};

(async () => {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
      console.log(`jsforce ${name}`);
    } catch (error) {
      console.error(`jsforce ${name}: ${error.stack}`);
      process.exit(1);
    }
  }
})();
