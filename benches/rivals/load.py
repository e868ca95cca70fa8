"""A hand-written loop: requests, orjson and executemany load contacts of Dynamics into a table of SQLite. Arguments: the account
as JSON, the file of SQLite, the fields."""

import json
import sqlite3
import sys
import time
from operator import itemgetter

import orjson
import requests

ACCOUNT = json.loads(sys.argv[1])
FIELDS = sys.argv[3].split(",")
UPSERT = (
    f"INSERT INTO contact({', '.join(FIELDS)}) VALUES ({', '.join('?' * len(FIELDS))}) "
    f"ON CONFLICT(contactid) DO UPDATE SET {', '.join(f'{field} = excluded.{field}' for field in FIELDS[1:])}"
)

begin = time.process_time()
session = requests.Session()
form = {
    "grant_type": "client_credentials",
    "client_id": ACCOUNT["clientId"],
    "client_secret": ACCOUNT["clientSecret"],
    "scope": ACCOUNT["url"] + "/.default",
}
token = session.post(ACCOUNT["tokenUrl"], data=form)
token.raise_for_status()
session.headers.update({
    "Authorization": "Bearer " + token.json()["access_token"],
    "Accept": "application/json",
    "OData-Version": "4.0",
    "OData-MaxVersion": "4.0",
    "Prefer": "odata.maxpagesize=5000",
})
connection = sqlite3.connect(sys.argv[2])
values = itemgetter(*FIELDS)
url = f"{ACCOUNT['url']}/api/data/v9.2/contacts?$select={','.join(FIELDS)}"
count = 0
while url:
    reply = session.get(url)
    reply.raise_for_status()
    page = orjson.loads(reply.content)
    connection.executemany(UPSERT, map(values, page["value"]))
    connection.commit()
    count += len(page["value"])
    url = page.get("@odata.nextLink")
print(json.dumps({"processor_seconds": time.process_time() - begin, "records": count}))
