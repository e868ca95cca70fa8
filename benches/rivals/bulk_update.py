"""simple-salesforce's bulk2: updates contacts from a table of SQLite, and takes what became of each. Arguments: the account as
JSON, the file of SQLite."""

import json
import sqlite3
import sys
import time
from urllib.parse import urlsplit, urlunsplit

import requests
from simple_salesforce import Salesforce

ORG = json.loads(sys.argv[1])
FIELDS = {"Id": "id", "FirstName": "first_name", "LastName": "last_name", "Title": "title", "Phone": "phone"}


class ToSandbox(requests.adapters.HTTPAdapter):
    """The client knows no hosts but Salesforce's own, and no protocol but https."""

    def send(self, request, **options):
        there, asked = urlsplit(ORG["url"]), urlsplit(request.url)
        request.url = urlunsplit((there.scheme, there.netloc, asked.path, asked.query, ""))
        return super().send(request, **options)


begin = time.process_time()
session = requests.Session()
session.mount("https://", ToSandbox())
client = Salesforce(username=ORG["username"], password=ORG["password"], security_token=ORG["securityToken"], session=session)
rows = sqlite3.connect(sys.argv[2]).execute(f"SELECT {', '.join(FIELDS.values())} FROM contact")
records = [dict(zip(FIELDS, row)) for row in rows]
updated = 0
for job in client.bulk2.Contact.update(records=records, wait=1):
    client.bulk2.Contact.get_successful_records(job["job_id"])
    client.bulk2.Contact.get_failed_records(job["job_id"])
    client.bulk2.Contact.get_unprocessed_records(job["job_id"])
    updated += job["numberRecordsProcessed"] - job["numberRecordsFailed"]
print(json.dumps({"processor_seconds": time.process_time() - begin, "records": updated}))
