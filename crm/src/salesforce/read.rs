//! Reads pages, by REST or by a bulk job; the next pages are fetched while this one is worked on ([`Ahead`]), and those of
//! a job also while it is decoded.
//!
//! ```text
//!   begin ── few records, or an order ──▶ pages of REST ──▶ end
//!     └───── many ──▶ a job, whose id is in the cursor ── done ──▶ pages of its result ──▶ end
//! ```
//!
//! A locator of REST that is lost costs nothing where the order is that of ids: the reading begins anew after the last
//! one. A job's result can be read for seven days.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::outside::crm::{CURSOR_BYTES_MAX, Cursor, Page, Read};
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::header::{ACCEPT, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::error::LOCATOR;
use super::job;
use super::page::{Decoded, PageDecoder};
use super::query::Plan;
use super::session::{Ask, CSV, Session};
use crate::ahead::{self, Ahead};
use crate::http::{Refusal, Reply, Waits};

/// Records of a page of REST: what Salesforce takes.
const BATCH: std::ops::RangeInclusive<u32> = 200..=2_000;

/// A place in a reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Place {
    /// The first page, of the records after this id.
    Begin {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// A further page of REST. Should it be lost, the reading begins after this id.
    Next {
        url: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// A page of a bulk job's result; without a locator the first, once the job is done.
    Job {
        job: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        locator: Option<String>,
    },
}

impl Place {
    /// Of its address, which two pages do not share.
    fn hashed(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        match self {
            Self::Begin { after } => after.hash(&mut hasher),
            Self::Next { url, .. } => url.hash(&mut hasher),
            Self::Job { job, locator } => (job, locator).hash(&mut hasher),
        }
        hasher.finish()
    }
}

/// What a cursor holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    /// Of the query.
    query: String,
    place: Place,
    /// Parts of that page that were read before.
    #[serde(default)]
    parts: usize,
}

/// Records of a page of REST.
pub(super) fn page_size(session: &Session) -> u32 {
    session.http.limits().records_per_page.clamp(*BATCH.start(), *BATCH.end())
}

/// Whether so many records, which are more than one page, are read by a job.
pub(super) fn is_many(session: &Session, records: u64) -> bool {
    records > u64::from(session.bulk.from)
}

/// The pages of a reading, from the beginning or from a cursor.
pub(super) fn pages(
    session: Arc<Session>,
    read: Arc<Read>,
    from: Option<Cursor>,
) -> BoxStream<'static, Result<Page, Failure>> {
    let begin = Plan::new(&session, &read).and_then(|plan| {
        let (place, skip) = match from {
            None => (Place::Begin { after: None }, 0),
            Some(cursor) => resume(&session, &plan, cursor)?,
        };
        let decoder = Arc::new(PageDecoder::new(&read, &plan, session.http.limits().records_per_page));
        let waits = Waits::new(session.http.limits());
        let source = Arc::new(Source { session, read, plan, decoder });
        let (ready, seen) = (VecDeque::new(), HashSet::new());
        Ok(Reader { source, place: Some(place), skip, ahead: None, waits, ready, seen })
    });
    match begin {
        Err(failure) => stream::once(async { Err(failure) }).boxed(),
        Ok(reader) => stream::unfold(reader, |mut reader| async move {
            let page = reader.next().await.transpose()?;
            if page.is_err() {
                reader.place = None;
                reader.ahead = None;
                reader.ready.clear();
            }
            Some((page, reader))
        })
        .boxed(),
    }
}

fn resume(session: &Session, plan: &Plan, cursor: Cursor) -> Result<(Place, usize), Failure> {
    let lost = |why: &str| {
        let message = format!("{}: reading {}: the place kept from before {why}", session.account(), plan.object);
        Failure::new(Class::CursorLost, message).help("restart the activity to read from the beginning")
    };
    let position: Position = serde_json::from_value(cursor.0).map_err(|_| lost("is not understood"))?;
    if position.query != plan.hash {
        return Err(lost("belongs to another account, object or query"));
    }
    Ok((position.place, position.parts))
}

/// What is read, and by whom.
struct Source {
    session: Arc<Session>,
    read: Arc<Read>,
    plan: Plan,
    decoder: Arc<PageDecoder>,
}

struct Reader {
    source: Arc<Source>,
    /// The page that comes next; none after the last.
    place: Option<Place>,
    /// Parts of that page that were read before.
    skip: usize,
    ahead: Option<Ahead<Fetched, Place>>,
    /// Before the page at `place` is asked for again, where it made no sense.
    waits: Waits,
    ready: VecDeque<Page>,
    /// Pages that were asked for, by a hash.
    seen: HashSet<u64>,
}

/// What came for a place.
enum Fetched {
    /// Records.
    Page(Decoded),
    /// A page of a job's result, which is being decoded.
    Result {
        decoding: JoinHandle<Result<Decoded, String>>,
        reply: Reply,
        /// Records of the whole result, if it must be all on this page.
        whole: Option<u64>,
    },
    /// Nothing yet: it goes on there.
    Instead(Place),
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Page>, Failure> {
        loop {
            if let Some(page) = self.ready.pop_front() {
                return Ok(Some(page));
            }
            let Some(place) = self.place.clone() else { return Ok(None) };
            let source = self.source.clone();
            let ahead = self.ahead.get_or_insert_with(|| {
                Ahead::start(place.clone(), move |place| {
                    let source = source.clone();
                    async move { source.fetch(&place).await }
                })
            });
            let (fetched, next) = ahead.next().await?;
            if next.is_none() {
                self.ahead = None;
            }
            match fetched {
                Fetched::Instead(_) if self.skip > 0 => return Err(self.source.lost_midway()),
                Fetched::Instead(next) => {
                    // A job is remembered before anything is read of it.
                    let is_news = matches!(&next, Place::Job { .. });
                    let cursor = self.source.cursor(&next, 0)?;
                    self.place = Some(next);
                    if is_news {
                        return Ok(Some(self.source.nothing(Some(cursor))));
                    }
                }
                Fetched::Page(decoded) => self.take(&place, decoded, next)?,
                Fetched::Result { decoding, reply, whole } => {
                    if let Some(decoded) = self.decoded(decoding, &reply, whole).await? {
                        self.take(&place, decoded, next)?;
                    }
                }
            }
        }
    }

    /// A page of a job's result; `None` where it must be asked for again.
    async fn decoded(
        &mut self,
        decoding: JoinHandle<Result<Decoded, String>>,
        reply: &Reply,
        whole: Option<u64>,
    ) -> Result<Option<Decoded>, Failure> {
        let decoded = decoding.await.map_err(|error| Failure::internal(format!("decoding a page: {error}")))?;
        let reason = match decoded {
            Ok(decoded) if whole.is_some_and(|whole| whole != decoded.rows as u64) => {
                format!("{} records, which may not be all: it does not say whether others follow", decoded.rows)
            }
            Ok(decoded) if job::records(reply).is_none_or(|records| records == decoded.rows) => {
                self.waits = Waits::new(self.source.session.http.limits());
                return Ok(Some(decoded));
            }
            Ok(decoded) => format!("{} records, where the head says otherwise", decoded.rows),
            Err(reason) => reason,
        };
        self.ahead = None;
        let failure = self.source.no_page(&self.source.what(), reply, &reason);
        self.waits.pause(self.source.session.account(), failure).await?;
        Ok(None)
    }

    /// Keeps a page's parts, and where it goes on.
    fn take(&mut self, place: &Place, page: Decoded, next: Option<Place>) -> Result<(), Failure> {
        let last = page.parts.len().saturating_sub(1);
        let parts = page.parts.into_iter().zip(page.last).enumerate();
        for (number, (part, id)) in parts.skip(std::mem::take(&mut self.skip)) {
            let cursor = match &next {
                _ if number < last => Some(self.source.within(place, number + 1, id)?),
                Some(next) => Some(self.source.cursor(next, 0)?),
                None => None,
            };
            let (versions, rejects) = (part.versions, part.misfits);
            self.ready.push_back(Page { versions, rejects, next: cursor, ..Page::new(part.records) });
        }
        self.seen.insert(place.hashed());
        if next.as_ref().is_some_and(|next| self.seen.contains(&next.hashed())) {
            return Err(self.source.session.circle(&self.source.what()));
        }
        self.place = next;
        Ok(())
    }
}

impl Source {
    fn cursor(&self, place: &Place, parts: usize) -> Result<Cursor, Failure> {
        let position = Position { query: self.plan.hash.clone(), place: place.clone(), parts };
        let value = serde_json::to_value(position).map_err(|error| Failure::internal(error.to_string()))?;
        let bytes = value.to_string().len();
        if bytes > CURSOR_BYTES_MAX {
            let message = format!(
                "{}: the link to the next page has {bytes} bytes, {CURSOR_BYTES_MAX} are kept",
                self.session.account()
            );
            return Err(Failure::new(Class::Limit, message));
        }
        Ok(Cursor(value))
    }

    /// The place in a page of which so many parts were read, up to this id. Asked for again, a page of REST may have other
    /// records, so that what comes after the id is asked for where it can be; the result of a job stays the same.
    fn within(&self, place: &Place, parts: usize, id: Option<String>) -> Result<Cursor, Failure> {
        match place {
            Place::Begin { .. } | Place::Next { .. } if self.plan.is_by_id && id.is_some() => {
                self.cursor(&Place::Begin { after: id }, 0)
            }
            _ => self.cursor(place, parts),
        }
    }

    /// A page without records.
    fn nothing(&self, next: Option<Cursor>) -> Page {
        Page { next, ..Page::new(arrow::array::RecordBatch::new_empty(self.read.schema())) }
    }

    async fn fetch(&self, place: &Place) -> ahead::Fetched<Fetched, Place> {
        match place {
            Place::Begin { after } => self.begin(after.as_deref()).await,
            Place::Next { url, after } => match self.page(Ask::get(url.as_str()), false).await {
                Err(failure) if failure.code.as_deref() == Some(LOCATOR) && self.plan.is_by_id => {
                    tracing::warn!(account = self.session.account(), %failure, "the reading begins anew after the last id");
                    Ok((Fetched::Instead(Place::Begin { after: after.clone() }), None))
                }
                other => other.map(|decoded| self.fetched(decoded, after.as_deref())),
            },
            Place::Job { job, locator } => self.result(job, locator.as_deref()).await,
        }
    }

    /// The first page; of many records a job in its place.
    async fn begin(&self, after: Option<&str>) -> ahead::Fetched<Fetched, Place> {
        let may_be_bulk = after.is_none() && self.plan.is_by_id;
        if may_be_bulk && self.plan.is_too_long() {
            return Ok((Fetched::Instead(self.job().await?), None));
        }
        let decoded = self.page(Ask::get(self.plan.address(&self.plan.soql(after))), true).await;
        let decoded = decoded.map_err(|failure| self.explained(failure))?;
        if may_be_bulk && decoded.next.is_some() && is_many(&self.session, decoded.total) {
            match self.job().await {
                Ok(job) => return Ok((Fetched::Instead(job), None)),
                // Some objects are not for the Bulk API, and some users; a job is only the faster way.
                Err(failure) if matches!(failure.class, Class::Config | Class::Limit | Class::Quota) => {
                    tracing::info!(account = self.session.account(), %failure, "reading by REST instead");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(self.fetched(decoded, after))
    }

    /// A query that is too long for an address could go into a job, were it not for its order.
    fn explained(&self, failure: Failure) -> Failure {
        match failure.class {
            Class::Limit if !self.plan.is_by_id => failure.help(
                "without `orderBy`, Salesforce reads a query of this length by a bulk job; with it, the query must fit into an \
                 address: leave `orderBy` out, read fewer fields, or shorten the filter",
            ),
            _ => failure,
        }
    }

    fn fetched(&self, decoded: Decoded, after: Option<&str>) -> (Fetched, Option<Place>) {
        let after =
            decoded.last.last().cloned().flatten().or_else(|| after.map(str::to_owned)).filter(|_| self.plan.is_by_id);
        let next = decoded.next.clone().map(|url| Place::Next { url, after });
        (Fetched::Page(decoded), next)
    }

    fn what(&self) -> String {
        format!("reading {}", self.plan.object)
    }

    /// A page of REST; one that makes no sense is asked for again.
    async fn page(&self, ask: Ask, is_first: bool) -> Result<Decoded, Failure> {
        let what = self.what();
        let size = page_size(&self.session);
        let options = HeaderValue::try_from(format!("batchSize={size}"));
        let options = options.map_err(|error| Failure::internal(error.to_string()))?;
        let ask = ask.header(HeaderName::from_static("sforce-query-options"), options);
        let mut waits = Waits::new(self.session.http.limits());
        loop {
            let is_json = |reply: &Reply| self.session.require_json(&what, reply);
            let reply = self.session.send(&ask, &what, &is_json).await?;
            let (decoder, body) = (self.decoder.clone(), reply.body.clone());
            let decoding = tokio::task::spawn_blocking(move || decoder.json(&body));
            let decoded = decoding.await.map_err(|error| Failure::internal(format!("decoding a page: {error}")))?;
            match if is_first { decoded.and_then(Decoded::first) } else { decoded } {
                Ok(decoded) => return Ok(decoded),
                Err(reason) => waits.pause(self.session.account(), self.no_page(&what, &reply, &reason)).await?,
            }
        }
    }

    fn no_page(&self, what: &str, reply: &Reply, reason: &str) -> Failure {
        let mut failure = self.session.no_sense(what, reply);
        failure.message = format!("{} ({reason})", failure.message);
        failure
    }

    /// A new job for the whole reading.
    async fn job(&self) -> Result<Place, Failure> {
        let job = job::query(&self.session, &self.plan.unordered(), self.plan.all).await?;
        Ok(Place::Job { job, locator: None })
    }

    /// A page of a job's result.
    async fn result(&self, job: &str, locator: Option<&str>) -> ahead::Fetched<Fetched, Place> {
        let what = format!("{} by job {job}", self.what());
        let mut processed = None;
        if locator.is_none() {
            match job::finished(&self.session, "jobs/query", job, &what).await {
                Err(failure) if job::is_gone(&failure) => return Ok((Fetched::Instead(self.job().await?), None)),
                other => processed = job::succeeded(self.session.account(), &what, &other?)?,
            }
        }
        let most = self.session.bulk.records_per_page.max(1);
        let from = locator.map(|locator| format!("&locator={locator}")).unwrap_or_default();
        let ask = Ask::get(format!("jobs/query/{job}/results?maxRecords={most}{from}")).header(ACCEPT, CSV);
        let reply = match self.session.send(&ask, &what, &is_csv).await {
            Err(failure) if job::is_gone(&failure) => return Err(self.lost(job, &failure)),
            other => other?,
        };
        let whole = match (job::has_locator(&reply), processed) {
            (true, _) => None,
            (false, Some(processed)) => Some(processed),
            (false, None) => return Err(self.no_page(&what, &reply, "it does not say whether others follow")),
        };
        let next = job::locator(&reply).map(|locator| Place::Job { job: job.to_owned(), locator: Some(locator) });
        let (decoder, body) = (self.decoder.clone(), reply.body.clone());
        let decoding = tokio::task::spawn_blocking(move || decoder.csv(&body));
        Ok((Fetched::Result { decoding, reply, whole }, next))
    }

    /// Of the page where it is to go on some records were read before. What stands in its place has others, or has them in
    /// another order, so that nobody knows which of them are still to come.
    fn lost_midway(&self) -> Failure {
        let message = format!(
            "{}: {}: the page of which some records were read before is no longer there",
            self.session.account(),
            self.what()
        );
        Failure::new(Class::CursorLost, message).help("restart the activity to read from the beginning")
    }

    fn lost(&self, job: &str, failure: &Failure) -> Failure {
        let account = self.session.account();
        let said = failure.message.strip_prefix(&format!("{account}: ")).unwrap_or(&failure.message);
        let message = format!("{account}: the result of job {job} is no longer there: {said}");
        Failure::new(Class::CursorLost, message)
            .help("Salesforce keeps results for seven days; restart the activity to read from the beginning")
    }
}

/// A page of a proxy is no result.
fn is_csv(reply: &Reply) -> Result<(), Refusal> {
    match reply.media_type().as_str() {
        "text/html" => {
            let message = format!("the answer makes no sense: {}", reply.excerpt());
            Err(Failure::new(Class::Transient, message).into())
        }
        _ => Ok(()),
    }
}
