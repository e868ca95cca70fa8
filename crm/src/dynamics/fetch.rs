//! Records by the values of a key: several queries of a length that any server takes, in one request.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use engine::failure::{Class, Failure};
use engine::outside::crm::{FETCH_MAX, Page, Read, Versions};

use super::column;
use super::multipart::Part;
use super::odata;
use super::page::{Decoded, PageDecoder};
use super::query::Plan;
use super::session::{GET_HEADERS, Session, URL_CHARS_MAX};
use crate::http::{Refusal, Repeat, Reply, in_query};

/// The most queries of one batch; Dataverse takes 1,000, one after the other.
pub(super) const QUERIES_MAX: usize = 100;
/// The most comparisons of one query, which Dataverse limits to 500.
const VALUES_MAX: usize = 200;

/// What is asked for some values of a key.
pub(super) struct Asked {
    /// Without what a fetch does not heed.
    plain: Read,
    plan: Plan,
    /// Each for some of the values.
    pub(super) urls: Vec<String>,
}

/// The queries for these values of this field.
pub(super) fn ask(session: &Session, read: &Read, key: &str, values: &[String]) -> Result<Asked, Failure> {
    let account = session.account();
    if values.len() > FETCH_MAX {
        return Err(Failure::internal(format!("{} values are fetched at once, {FETCH_MAX} are allowed", values.len())));
    }
    column::found(read, key, account)?;
    let Some((field, property)) = column::comparable(read, key) else {
        return Err(Failure::new(Class::Config, format!("{account}: {} cannot be found by {key}", read.object.name))
            .help("choose the id, or a field that the CRM can compare"));
    };
    let plain = Read { filter: None, order: Vec::new(), window: None, range: None, feed: None, ..read.clone() };
    let plan = Plan::new(session, &plain)?;
    // What is no value of the field's type is no record's value either.
    let conditions = values.iter().filter_map(|value| odata::is_value(field, &property, value));
    let urls = urls(&plan.address(session)?, conditions.map(|text| in_query(&text)));
    Ok(Asked { plain, plan, urls })
}

/// The records that have these values of this field.
pub(super) async fn fetch(session: &Session, read: &Read, key: &str, values: &[String]) -> Result<Page, Failure> {
    let Asked { plain, plan, urls } = ask(session, read, key, values)?;
    let what = format!("reading {} by {key}", read.object.name);
    let mut pages =
        Pages { session, decoder: PageDecoder::of(&plain)?, prefer: plan.prefer_plain(), what, found: Vec::new() };
    match urls.as_slice() {
        [one] => pages.get(one).await?,
        many => {
            for some in many.chunks(QUERIES_MAX) {
                pages.batch(some).await?;
            }
        }
    }
    pages.into_page(&plain)
}

/// Addresses that each ask for some of the values and are no longer than a request line may be.
pub(super) fn urls(base: &str, conditions: impl Iterator<Item = String>) -> Vec<String> {
    const OR: &str = "%20or%20";
    let mut urls: Vec<String> = Vec::new();
    let mut values = 0;
    for condition in conditions {
        match urls.last_mut() {
            Some(url) if values < VALUES_MAX && url.len() + OR.len() + condition.len() <= URL_CHARS_MAX => {
                url.push_str(OR);
                url.push_str(&condition);
                values += 1;
            }
            _ => {
                urls.push(format!("{base}&$filter={condition}"));
                values = 1;
            }
        }
    }
    urls
}

struct Pages<'a> {
    session: &'a Session,
    decoder: PageDecoder,
    /// What every query prefers.
    prefer: Option<String>,
    what: String,
    found: Vec<Decoded>,
}

impl Pages<'_> {
    /// Reads an address, and what follows its page.
    async fn get(&mut self, url: &str) -> Result<(), Failure> {
        let (mut next, mut seen) = (Some(url.to_owned()), HashSet::new());
        while let Some(link) = next {
            if !seen.insert(link.clone()) {
                return Err(self.session.circle(&self.what));
            }
            let url = self.session.linked(&link)?;
            let prefer = self.prefer.as_deref().and_then(|prefer| prefer.parse().ok());
            let is_page = |reply: &Reply| self.check(reply);
            let reply = self.session.get(url, prefer, &self.what, &is_page).await?;
            next = self.keep(&reply)?;
        }
        Ok(())
    }

    async fn batch(&mut self, urls: &[String]) -> Result<(), Failure> {
        let prefer = self.prefer.as_ref().map(|prefer| format!("Prefer: {prefer}"));
        let headers: Vec<&str> = GET_HEADERS.iter().copied().chain(prefer.as_deref()).collect();
        let host = self.session.root.origin().ascii_serialization().len();
        let part = |url: &String| Part { method: "GET", path: url[host..].to_owned(), headers: &headers, body: &[] };
        let parts: Vec<Part<'_>> = urls.iter().map(part).collect();
        let judge = |reply: &Reply| {
            super::error::judge(self.session.account(), &self.what, reply).and_then(|()| self.check(reply))
        };
        let replies = self.session.batch(&parts, &self.what, Repeat::Always, &judge).await;
        for reply in replies.map_err(|refusal| refusal.failure)? {
            if let Some(link) = self.keep(&reply)? {
                self.get(&link).await?;
            }
        }
        Ok(())
    }

    fn check(&self, reply: &Reply) -> Result<(), Refusal> {
        match self.decoder.decode(&reply.body) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.session.no_sense(&self.what, reply).into()),
        }
    }

    fn keep(&mut self, reply: &Reply) -> Result<Option<String>, Failure> {
        let decoded = self.decoder.decode(&reply.body).map_err(|_| self.session.no_sense(&self.what, reply))?;
        let next = decoded.next_link.clone();
        self.found.push(decoded);
        Ok(next)
    }

    fn into_page(self, read: &Read) -> Result<Page, Failure> {
        let internal = |error: arrow::error::ArrowError| Failure::internal(error.to_string());
        let parts: Vec<_> = self.found.into_iter().flat_map(|decoded| decoded.parts).collect();
        let full = || parts.iter().filter(|part| part.records.num_rows() > 0);
        let records: Vec<&RecordBatch> = full().map(|part| &part.records).collect();
        let versions = Versions::concat(full().map(|part| part.versions.as_ref())).map_err(internal)?;
        let records = concat_batches(&read.schema(), records).map_err(internal)?;
        let rejects = parts.into_iter().flat_map(|part| part.misfits).collect();
        Ok(Page { versions, rejects, ..Page::new(records) })
    }
}
