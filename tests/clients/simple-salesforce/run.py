"""simple-salesforce, unmodified, against the sandbox. One line a step; ends at the first surprise.

The client knows no hosts but Salesforce's own and no protocol but https: a transport adapter of requests, which the client takes
with its session, leads both to the sandbox.
"""

import datetime
import json
import os
import sys
import urllib.request
from urllib.parse import urlsplit, urlunsplit

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from simple_salesforce import Salesforce, exceptions, format_soql
from simple_salesforce.exceptions import SalesforceAuthenticationFailed

SANDBOX = json.loads(os.environ["SANDBOX"])
ORG = SANDBOX["salesforce"]


class ToSandbox(requests.adapters.HTTPAdapter):
    def send(self, request, **options):
        there, asked = urlsplit(ORG["url"]), urlsplit(request.url)
        request.url = urlunsplit((there.scheme, there.netloc, asked.path, asked.query, ""))
        return super().send(request, **options)


def session():
    session = requests.Session()
    session.mount("https://", ToSandbox())
    return session


def admin(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SANDBOX["admin"] + path, data=data, method=method)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def refused(call, kind, code):
    try:
        call()
    except kind as error:
        content = getattr(error, "content", None)
        found = content[0]["errorCode"] if isinstance(content, list) else error.code
        assert found == code, error
        return error
    raise AssertionError(f"the server should have refused with {code}")


def client():
    return Salesforce(username=ORG["username"], password=ORG["password"], security_token=ORG["securityToken"], session=session())


sf = client()


def logs_in_with_a_token_client_credentials_a_password_and_a_jwt():
    assert sf.query("SELECT COUNT() FROM Contact")["totalSize"] == 5000
    by_client = Salesforce(consumer_key=ORG["clientId"], consumer_secret=ORG["clientSecret"], domain="acme.my", session=session())
    assert by_client.limits()["DailyApiRequests"]["Max"] > 0
    password = ORG["password"] + ORG["securityToken"]
    by_password = Salesforce(username=ORG["username"], password=password, consumer_key=ORG["clientId"], consumer_secret=ORG["clientSecret"], session=session())
    assert by_password.query("SELECT COUNT() FROM User")["totalSize"] == 12
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    jwt = dict(username=ORG["username"], consumer_key=ORG["clientId"], privatekey=private)
    refused(lambda: Salesforce(session=session(), **jwt), SalesforceAuthenticationFailed, "invalid_grant")
    admin("PUT", "/salesforce/publicKey", {"pem": public.decode()})
    assert Salesforce(session=session(), **jwt).query("SELECT COUNT() FROM Contact")["totalSize"] == 5000
    wrong = dict(jwt, username="nobody@example.com")
    refused(lambda: Salesforce(session=session(), **wrong), SalesforceAuthenticationFailed, "invalid_grant")
    refused(
        lambda: Salesforce(username=ORG["username"], password="wrong", security_token="wrong", session=session()),
        SalesforceAuthenticationFailed,
        "INVALID_LOGIN",
    )


def describes():
    assert any(entry["name"] == "Lead" for entry in sf.describe()["sobjects"])
    fields = {field["name"]: field for field in sf.Contact.describe()["fields"]}
    assert fields["Email"]["type"] == "email" and fields["ExtId__c"]["externalId"]
    assert sf.Contact.metadata()["objectDescribe"]["keyPrefix"] == "003"


def reads_all_pages():
    everything = sf.query_all("SELECT Id, Name, Account.Name FROM Contact ORDER BY SystemModstamp")
    assert everything["totalSize"] == 5000 and len({record["Id"] for record in everything["records"]}) == 5000
    assert len(list(sf.query_all_iter("SELECT Id FROM Lead"))) == 100
    first = sf.query("SELECT Id FROM Contact")
    assert not first["done"] and len(sf.query_more(first["nextRecordsUrl"], True)["records"]) == 2000
    assert sf.api_usage["api-usage"].used > 0
    sf.Contact.create({"LastName": "O'Brien %"})
    found = sf.query(format_soql("SELECT Name FROM Contact WHERE LastName = {} AND LastName LIKE '%{:like}'", "O'Brien %", "%"))
    assert found["totalSize"] == 1


def creates_changes_upserts_and_deletes():
    created = sf.Contact.create({"LastName": "Smith", "Email": "example@example.com"})
    assert created["success"]
    assert sf.Contact.update(created["id"], {"LastName": "Jones"}) == 204
    assert sf.Contact.get(created["id"])["LastName"] == "Jones"
    assert sf.Contact.upsert("ExtId__c/11999", {"LastName": "One"}) == 201
    assert sf.Contact.upsert("ExtId__c/11999", {"FirstName": "Two"}) == 200
    assert sf.Contact.get_by_custom_id("ExtId__c", "11999")["FirstName"] == "Two"
    assert sf.Contact.delete(created["id"]) == 204
    refused(lambda: sf.Contact.get(created["id"]), exceptions.SalesforceResourceNotFound, "ENTITY_IS_DELETED")
    refused(lambda: sf.Contact.create({"FirstName": "x"}), exceptions.SalesforceMalformedRequest, "REQUIRED_FIELD_MISSING")
    refused(lambda: sf.query("SELECT Nothing FROM Contact"), exceptions.SalesforceMalformedRequest, "INVALID_FIELD")
    now = datetime.datetime.now(datetime.timezone.utc)
    span = (now - datetime.timedelta(hours=1), now + datetime.timedelta(minutes=2))
    assert created["id"] in [record["id"] for record in sf.Contact.deleted(*span)["deletedRecords"]]
    assert len(sf.Contact.updated(*span)["ids"]) >= 1


def logs_in_again_when_the_session_is_over():
    before = sf.session_id
    admin("POST", "/tokens/revoke")
    assert sf.query("SELECT COUNT() FROM User")["totalSize"] == 12
    assert sf.session_id != before
    bare = Salesforce(instance="acme.my.salesforce.com", session_id="expired", session=session())
    refused(lambda: bare.query("SELECT Id FROM User"), exceptions.SalesforceExpiredSession, "INVALID_SESSION_ID")


def loads_and_reads_with_bulk_jobs():
    records = [{"ExtId__c": f"b{number}", "LastName": f"Bulk {number}, \"x\""} for number in range(500)]
    records[7]["LastName"] = ""
    [job] = sf.bulk2.Contact.upsert(records=records, external_id_field="ExtId__c", wait=0)
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (500, 1), job
    assert len(sf.bulk2.Contact.get_successful_records(job["job_id"]).splitlines()) == 500
    failed = sf.bulk2.Contact.get_failed_records(job["job_id"])
    assert "REQUIRED_FIELD_MISSING" in failed and "sf__Error" in failed
    assert len(sf.bulk2.Contact.get_unprocessed_records(job["job_id"]).splitlines()) == 1
    pages = list(sf.bulk2.Contact.query("SELECT Id, LastName FROM Contact WHERE LastName LIKE 'Bulk %'", max_records=200, wait=0))
    assert [len(page.splitlines()) for page in pages] == [201, 201, 100], [len(page) for page in pages]
    ids = [{"Id": line.split(",")[0].strip('"')} for page in pages for line in page.splitlines()[1:]]
    [job] = sf.bulk2.Contact.delete(records=ids, wait=0)
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (499, 0), job
    everything = list(sf.bulk2.Contact.query_all("SELECT Id FROM Contact WHERE IsDeleted = true", wait=0))
    assert len(everything[0].splitlines()) >= 500


def gets_a_sentence_for_what_the_sandbox_leaves_out():
    left = (
        lambda: sf.bulk.Contact.insert([{"LastName": "One"}]),
        lambda: sf.search("FIND {Smith}"),
        lambda: sf.toolingexecute("query", params={"q": "SELECT Id FROM ApexClass"}),
        lambda: sf.query("SELECT COUNT(Id) FROM Contact GROUP BY LastName"),
        lambda: sf.apexecute("Own"),
    )
    for call in left:
        try:
            call()
        except exceptions.SalesforceError as error:
            assert error.status == 501 and "not part of this stand-in" in str(error.content), error
        else:
            raise AssertionError("the sandbox should have refused")


for step in (
    logs_in_with_a_token_client_credentials_a_password_and_a_jwt,
    describes,
    reads_all_pages,
    creates_changes_upserts_and_deletes,
    logs_in_again_when_the_session_is_over,
    loads_and_reads_with_bulk_jobs,
    gets_a_sentence_for_what_the_sandbox_leaves_out,
):
    step()
    print(f"simple-salesforce {step.__name__.replace('_', ' ')}")
sys.exit(0)
