"""MSAL, Microsoft's own login library, unmodified, against the sandbox. One line a step; ends at the first surprise.

It speaks to nothing but https, so the sandbox listens encrypted, and the library trusts the sandbox's authority.
"""

import json
import os
import sys

import msal
import requests

SANDBOX = json.loads(os.environ["SANDBOX"])
AUTHORITY_FILE = os.environ["AUTHORITY_FILE"]
# What the machine trusts otherwise would come before what the library is to trust.
os.environ.pop("REQUESTS_CA_BUNDLE", None)
os.environ.pop("CURL_CA_BUNDLE", None)
TENANT = SANDBOX["tenantId"]
HOST = SANDBOX["dynamicsTls"]
SCOPE = [f"{HOST}/.default"]


def client(authority=f"{HOST}/{TENANT}", credential=SANDBOX["clientSecret"], **options):
    # The library asks Microsoft which hosts are directories, which a machine of one's own is not.
    return msal.ConfidentialClientApplication(
        SANDBOX["clientId"], authority=authority, client_credential=credential, verify=AUTHORITY_FILE, instance_discovery=False, **options
    )


def who_am_i(token):
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{HOST}/api/data/v9.2/WhoAmI", headers=headers, verify=AUTHORITY_FILE)


def reads_the_directory_and_gets_a_token():
    app = client()
    answer = app.acquire_token_for_client(scopes=SCOPE)
    assert answer["token_type"] == "Bearer" and answer["token_source"] == "identity_provider", answer
    assert who_am_i(answer["access_token"]).json()["OrganizationId"]
    assert app.acquire_token_for_client(scopes=SCOPE)["token_source"] == "cache"


def finds_the_directory_by_its_issuer():
    app = client(authority=None, oidc_authority=f"{HOST}/{TENANT}/v2.0")
    assert who_am_i(app.acquire_token_for_client(scopes=SCOPE)["access_token"]).status_code == 200


def signs_with_a_certificate():
    key = {"private_key": os.environ["PRIVATE_KEY"], "public_certificate": os.environ["CERTIFICATE"]}
    answer = client(credential=key).acquire_token_for_client(scopes=SCOPE)
    assert "access_token" in answer, answer
    assert who_am_i(answer["access_token"]).status_code == 200


def is_refused_with_the_directorys_own_errors():
    wrong = client(credential="wrong").acquire_token_for_client(scopes=SCOPE)
    assert (wrong["error"], wrong["error_codes"]) == ("invalid_client", [7000215]), wrong
    try:
        client(authority=f"{HOST}/contoso.onmicrosoft.com").acquire_token_for_client(scopes=SCOPE)
    except ValueError as error:
        assert "AADSTS90002" in str(error) or "tenant" in str(error).lower(), error
    else:
        raise AssertionError("there is no such tenant")


def the_first_version_of_the_endpoint_takes_a_resource():
    form = {"grant_type": "client_credentials", "client_id": SANDBOX["clientId"], "client_secret": SANDBOX["clientSecret"]}
    address = f"{HOST}/{TENANT}/oauth2/token"
    answer = requests.post(address, data={**form, "resource": HOST}, verify=AUTHORITY_FILE).json()
    assert answer["resource"] == HOST and answer["expires_in"] == "3599", answer
    assert int(answer["expires_on"]) - int(answer["not_before"]) == 3599, answer
    assert who_am_i(answer["access_token"]).status_code == 200
    refused = requests.post(address, data=form, verify=AUTHORITY_FILE).json()
    assert refused["error_codes"] == [900144] and "resource" in refused["error_description"], refused


for step in (
    reads_the_directory_and_gets_a_token,
    finds_the_directory_by_its_issuer,
    signs_with_a_certificate,
    is_refused_with_the_directorys_own_errors,
    the_first_version_of_the_endpoint_takes_a_resource,
):
    step()
    print(f"msal {step.__name__.replace('_', ' ')}")
sys.exit(0)
