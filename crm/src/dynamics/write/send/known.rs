//! What an answer to all records at once leaves open: the ids behind other keys, and which records were there before.

use std::collections::HashMap;

use engine::failure::Failure;
use engine::outside::crm::{FieldKind, Object, Operation, Outcome, What, Write};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Sender, ids};
use crate::dynamics::fetch::urls;
use crate::dynamics::key;
use crate::dynamics::multipart::Part;
use crate::dynamics::session::GET_HEADERS;
use crate::http::{Refusal, Repeat, Reply};

/// Ids by keys in their normal form.
pub(super) type Known = HashMap<String, String>;

#[derive(Deserialize)]
struct List {
    value: Vec<Map<String, Value>>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

/// Whether records found by these fields can be told apart here as the CRM does it.
pub(in crate::dynamics::write) fn can_tell(write: &Write) -> bool {
    let is_plain = |name: &String| {
        let kind = write.object.fields.get(name).map(|field| field.kind);
        matches!(kind, Some(FieldKind::Text | FieldKind::Int | FieldKind::BigInt | FieldKind::Picklist))
    };
    write.key.iter().all(is_plain)
}

impl Sender<'_> {
    /// Which records are there, where the answer will not say it.
    pub(super) async fn known_before(&self) -> Result<Known, Failure> {
        match self.batch.write.operation {
            Operation::Upsert => self.look_up(0..self.records.len()).await,
            _ => Ok(Known::new()),
        }
    }

    /// What became of each record of a batch that was accepted as a whole.
    pub(super) async fn outcomes(&self, reply: &Reply, before: Known) -> Result<Vec<Outcome>, Failure> {
        let write = self.batch.write;
        if write.operation == Operation::Insert {
            let ids = ids(reply).unwrap_or_default();
            let done = |id: String| Outcome::Done { id: id.to_ascii_lowercase(), what: What::Created };
            return Ok(ids.into_iter().map(done).collect());
        }
        let keys: Vec<String> = self.records.iter().map(|record| normal(&write.object, record.place)).collect();
        let is_by_id = write.key.contains(&write.object.id);
        let missing = || keys.iter().any(|key| !before.contains_key(key));
        let after = if is_by_id || !missing() { Known::new() } else { self.look_up(0..self.records.len()).await? };
        let outcome = |key: &String| {
            let what = match write.operation {
                Operation::Upsert if !before.contains_key(key) && !self.again => What::Created,
                _ => What::Updated,
            };
            let id = if is_by_id { Some(key) } else { before.get(key).or_else(|| after.get(key)) };
            match id {
                Some(id) => Outcome::Done { id: id.clone(), what },
                None => {
                    Outcome::InDoubt { reason: "the CRM took the record, but did not find it by its key".to_owned() }
                }
            }
        };
        Ok(keys.iter().map(outcome).collect())
    }

    /// The ids of those of these records that are there.
    async fn look_up(&self, records: std::ops::Range<usize>) -> Result<Known, Failure> {
        let (session, write) = (self.session, self.batch.write);
        let object = &write.object;
        let mut select: Vec<&str> = vec![&object.id];
        select.extend(write.key.iter().map(String::as_str).filter(|name| *name != object.id));
        let base = format!("{}{}?$select={}", session.root, object.name, select.join(","));
        let conditions = self.records[records].iter().map(|record| condition(object, record.place));
        let host = session.root.origin().ascii_serialization().len();
        let urls = urls(&base, conditions);
        let part = |url: &String| Part { method: "GET", path: url[host..].to_owned(), headers: GET_HEADERS, body: &[] };
        let parts: Vec<Part<'_>> = urls.iter().map(part).collect();
        let what = format!("looking up {}", object.name);
        let judge = |reply: &Reply| {
            crate::dynamics::error::judge(session.account(), &what, reply)?;
            let list = serde_json::from_slice::<List>(&reply.body);
            list.map(|_| ()).map_err(|_| Refusal::from(session.no_sense(&what, reply)))
        };
        let replies = session.batch(&parts, &what, Repeat::Always, &judge).await.map_err(|refusal| refusal.failure)?;
        let mut found = Vec::new();
        for reply in &replies {
            let List { value, next } = session.parse(&what, reply)?;
            found.extend(value);
            if let Some(next) = next {
                found.extend(session.get_list(&next, &what).await?);
            }
        }
        Ok(found.iter().filter_map(|record| entry(write, record)).collect())
    }
}

/// A record's key in its normal form, and its id.
fn entry(write: &Write, record: &Map<String, Value>) -> Option<(String, String)> {
    let text = |name: &String| match record.get(name)? {
        Value::String(text) => key::normal(&write.object, name, text).ok(),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let id = text(&write.object.id)?;
    let key: Option<Vec<String>> = write.key.iter().map(text).collect();
    Some((key?.join("\u{1f}"), id))
}

/// The fields and values of a place such as `accountnumber='A%201',new_number=5`.
fn fields(object: &Object, place: &str) -> Vec<(String, String)> {
    if !place.contains('=') {
        return vec![(object.id.clone(), place.to_owned())];
    }
    let field = |part: &str| {
        let (name, value) = part.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    // Within values commas and equals signs are encoded.
    place.split(',').filter_map(field).collect()
}

fn condition(object: &Object, place: &str) -> String {
    let fields = fields(object, place);
    let one = |(name, value): &(String, String)| format!("{name}%20eq%20{value}");
    match fields.as_slice() {
        [only] => one(only),
        all => format!("({})", all.iter().map(one).collect::<Vec<_>>().join("%20and%20")),
    }
}

fn normal(object: &Object, place: &str) -> String {
    let value = |(name, value): &(String, String)| {
        let value = percent_decode_str(value).decode_utf8_lossy();
        let bare = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(&value);
        key::normal(object, name, &bare.replace("''", "'")).unwrap_or_else(|_| bare.to_owned())
    };
    fields(object, place).iter().map(value).collect::<Vec<_>>().join("\u{1f}")
}
