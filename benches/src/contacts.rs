//! Contacts as Dataverse writes them: pages rendered beforehand.

use std::fmt::Write;

use serde_json::{Value, json};

/// Records of a page, the most that Dataverse gives.
pub(crate) const PAGE: u32 = 5_000;

/// The fields, each with the type that Dataverse gives it.
pub(crate) const FIELDS: [(&str, &str); 12] = [
    ("contactid", "Uniqueidentifier"),
    ("firstname", "String"),
    ("lastname", "String"),
    ("emailaddress1", "String"),
    ("telephone1", "String"),
    ("address1_city", "String"),
    ("birthdate", "DateOnly"),
    ("numberofchildren", "Integer"),
    ("annualincome", "Money"),
    ("statecode", "State"),
    ("createdon", "DateTime"),
    ("modifiedon", "DateTime"),
];

const FIRST: [&str; 16] = [
    "Augusta Ada",
    "Grace",
    "Edsger",
    "Barbara",
    "Zoë",
    "Søren",
    "Niklaus",
    "Margaret",
    "Tim",
    "Radia",
    "Donald",
    "Frances",
    "Ken",
    "Adele",
    "John",
    "Shafi",
];
const LAST: [&str; 16] = [
    "Lovelace",
    "Hopper",
    "Dijkstra",
    "Liskov",
    "Ångström",
    "Kierkegaard",
    "Wirth",
    "Hamilton",
    "Berners-Lee",
    "Perlman",
    "Knuth",
    "Allen",
    "Thompson",
    "Goldberg",
    "O'Neumann",
    "Goldwasser",
];
const CITY: [&str; 8] =
    ["London", "New York", "Rotterdam", "Los Angeles", "Göteborg", "København", "Zürich", "Saint-Étienne"];

/// A page from record `from` on; `next` is the address of the next one.
pub(crate) fn page(root: &str, from: u32, to: u32, next: Option<&str>) -> String {
    let mut page = String::with_capacity(512 * PAGE as usize);
    write(&mut page, format_args!("{{\"@odata.context\":\"{root}$metadata#contacts\",\"value\":["));
    for number in from..to {
        if number > from {
            page.push(',');
        }
        record(&mut page, number);
    }
    match next {
        Some(next) => write(&mut page, format_args!("],\"@odata.nextLink\":\"{next}\"}}")),
        None => page.push_str("]}"),
    }
    page
}

/// One contact; of the optional values some are null.
fn record(page: &mut String, n: u32) {
    let draw = u64::from(n).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let pick = |shift: u32, of: u64| (draw >> shift) % of;
    let name = |list: &[&'static str; 16], shift| list[usize::try_from(pick(shift, 16)).unwrap_or_default()];
    let (first, last) = (name(&FIRST, 8), name(&LAST, 16));
    let city = CITY[usize::try_from(pick(24, 8)).unwrap_or_default()];
    let (month, day, hour) = (1 + pick(12, 12), 1 + pick(20, 28), pick(28, 24));
    write(
        page,
        format_args!(
            "{{\"@odata.etag\":\"W/\\\"{}\\\"\",\"contactid\":\"{:08x}-2f1b-4a6e-9d3c-{n:012x}\"",
            72_201_545 + n,
            draw >> 32
        ),
    );
    write(
        page,
        format_args!(
            ",\"firstname\":\"{first}\",\"lastname\":\"{last}\",\"emailaddress1\":\"{}.{n}@customers.example.com\"",
            format!("{first}.{last}").to_lowercase().replace(' ', "")
        ),
    );
    match pick(32, 4) {
        0 => page.push_str(",\"telephone1\":null"),
        _ => write(page, format_args!(",\"telephone1\":\"+44 20 {:04} {:04}\"", pick(33, 10_000), pick(40, 10_000))),
    }
    write(page, format_args!(",\"address1_city\":\"{city}\""));
    match pick(36, 3) {
        0 => page.push_str(",\"birthdate\":null"),
        _ => write(page, format_args!(",\"birthdate\":\"{}-{month:02}-{day:02}\"", 1940 + pick(44, 65))),
    }
    match pick(40, 2) {
        0 => page.push_str(",\"numberofchildren\":null"),
        _ => write(page, format_args!(",\"numberofchildren\":{}", pick(48, 5))),
    }
    match pick(41, 2) {
        0 => page.push_str(",\"annualincome\":null,\"_transactioncurrencyid_value\":null"),
        _ => write(
            page,
            format_args!(
                ",\"annualincome\":{}.{:04},\"_transactioncurrencyid_value\":\"6fd3b7a1-0c2e-ed11-9db1-000d3a2b4c5d\"",
                12_000 + pick(13, 90_000),
                100 * pick(30, 100)
            ),
        ),
    }
    write(page, format_args!(",\"statecode\":{}", u8::from(pick(50, 20) == 0)));
    write(
        page,
        format_args!(",\"createdon\":\"2023-{month:02}-{day:02}T{hour:02}:{:02}:{:02}Z\"", n % 60, n / 60 % 60),
    );
    write(
        page,
        format_args!(",\"modifiedon\":\"2025-{month:02}-{day:02}T{hour:02}:{:02}:{:02}Z\"}}", n / 7 % 60, n % 60),
    );
}

/// Writing to a text cannot fail.
fn write(page: &mut String, what: std::fmt::Arguments<'_>) {
    page.write_fmt(what).ok();
}

/// What the environment says of the table.
pub(crate) fn description() -> Value {
    let attributes: Vec<Value> = FIELDS.iter().map(|(name, kind)| attribute(name, kind)).collect();
    json!({
        "LogicalName": "contact", "EntitySetName": "contacts", "PrimaryIdAttribute": "contactid",
        "DisplayName": label("Contact"), "Attributes": attributes
    })
}

/// What it says of all tables.
pub(crate) fn tables() -> Value {
    json!({ "value": [{ "LogicalName": "contact", "EntitySetName": "contacts", "DisplayName": label("Contact") }] })
}

fn attribute(name: &str, kind: &str) -> Value {
    let behavior = match kind {
        "DateOnly" => json!({ "Value": "DateOnly" }),
        "DateTime" => json!({ "Value": "UserLocal" }),
        _ => Value::Null,
    };
    let kind = if kind == "DateOnly" { "DateTime" } else { kind };
    let options = json!({ "Options": [
        { "Value": 0, "Label": label("Active") }, { "Value": 1, "Label": label("Inactive") }
    ] });
    json!({
        "LogicalName": name, "AttributeType": kind, "DisplayName": label(name), "IsValidForRead": true,
        "IsValidForCreate": true, "IsValidForUpdate": true, "IsValidODataAttribute": true,
        "MaxLength": if kind == "String" { json!(100) } else { Value::Null },
        "DateTimeBehavior": behavior,
        "OptionSet": if kind == "State" { options } else { Value::Null }
    })
}

fn label(text: &str) -> Value {
    json!({ "UserLocalizedLabel": { "Label": text }, "LocalizedLabels": [{ "Label": text }] })
}
