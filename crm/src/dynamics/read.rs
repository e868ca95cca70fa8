//! Reads pages: the next one is asked for while this one is decoded.
//!
//! A task of its own fetches ([`Ahead`]), and gives each page's bytes to a blocking thread at once. The address of the
//! next page is found in the last bytes of this one; once a page is decoded its own word counts, and what was fetched by a
//! wrong guess is thrown away.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::outside::crm::{Cursor, Page, Read};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::task::JoinHandle;
use url::Url;

use super::page::{self, Decoded, PageDecoder};
use super::progress::Progress;
use super::query::{Place, Plan, Resumed};
use super::session::Session;
use crate::ahead::{self, Ahead};
use crate::http::{Refusal, Reply, Waits};

/// What now where a feed of changes goes back no further.
const FEED_LOST: &str = "the CRM keeps changes for some days only (7 by default): read everything once more, which begins \
    a new feed, and compare all ids to find what was deleted since (`crm.importDeleted` with `ids`)";

/// The pages of a reading, from the beginning or from a cursor.
pub(super) fn pages(
    session: Arc<Session>,
    read: Arc<Read>,
    from: Option<Cursor>,
) -> BoxStream<'static, Result<Page, Failure>> {
    let begin = Plan::new(&session, &read).and_then(|plan| {
        let (plan, place, mark) = match from {
            Some(cursor) => {
                let Resumed { plan, place, mark } = plan.resume(&session, &read, cursor)?;
                (plan, place, mark)
            }
            None => {
                let place = plan.first(&session, &read)?;
                (plan, place, None)
            }
        };
        let decoder = Arc::new(PageDecoder::of(&read)?);
        let waits = Waits::new(session.http.limits());
        Ok(Reader {
            session,
            plan: Arc::new(plan),
            decoder,
            place: Some(place),
            fetching: None,
            ready: VecDeque::new(),
            seen: HashSet::new(),
            waits,
            progress: Progress::new(&read, mark),
            read,
        })
    });
    match begin {
        Err(failure) => stream::once(async { Err(failure) }).boxed(),
        Ok(reader) => stream::unfold(reader, |mut reader| async move {
            let page = reader.next().await?;
            if page.is_err() {
                reader.end();
            }
            Some((page, reader))
        })
        .boxed(),
    }
}

struct Reader {
    session: Arc<Session>,
    plan: Arc<Plan>,
    decoder: Arc<PageDecoder>,
    /// The page that comes next; none after the last.
    place: Option<Place>,
    fetching: Option<Ahead<Fetched, Place>>,
    ready: VecDeque<Page>,
    /// Of the addresses that were read.
    seen: HashSet<u64>,
    /// Before the page at `place` is asked for again, where it made no sense.
    waits: Waits,
    progress: Progress,
    read: Arc<Read>,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Page, Failure>> {
        loop {
            if let Some(page) = self.ready.pop_front() {
                return Some(Ok(page));
            }
            let place = self.place.clone()?;
            match self.fetch(&place).await {
                Ok(Some((decoded, guess))) => {
                    if let Err(failure) = self.take(&place, decoded, guess.as_ref()) {
                        return Some(Err(failure));
                    }
                }
                Ok(None) => {}
                Err(failure) => {
                    if let Err(failure) = self.begin_anew(failure) {
                        return Some(Err(failure));
                    }
                }
            }
        }
    }

    /// Where the CRM has lost the place, and the order of time tells how far the reading came, it is begun anew there.
    fn begin_anew(&mut self, failure: Failure) -> Result<(), Failure> {
        let since = self.progress.restart().filter(|_| failure.class == Class::CursorLost);
        let Some(since) = since else {
            let (account, set) = (self.session.account(), &self.plan.set);
            return Err(match failure.class {
                Class::CursorLost if self.read.feed.is_some() => failure.help(FEED_LOST),
                Class::CursorLost => {
                    tracing::warn!(account, object = set, "the place in the reading is lost for good");
                    failure
                }
                _ => failure,
            });
        };
        tracing::warn!(account = self.session.account(), object = self.plan.set, %since, "the place is lost, reading anew");
        self.plan = Arc::new(self.plan.anew(&self.session, &self.read, since)?);
        self.place = Some(self.plan.first(&self.session, &self.read)?);
        self.fetching = None;
        self.seen.clear();
        Ok(())
    }

    fn end(&mut self) {
        self.place = None;
        self.fetching = None;
        self.ready.clear();
    }

    /// The page at `place`, and the next place that was guessed; `None` where it must be fetched again.
    async fn fetch(&mut self, place: &Place) -> Result<Option<(Decoded, Option<Place>)>, Failure> {
        let fetching = self.fetching.get_or_insert_with(|| {
            let (session, plan, decoder) = (self.session.clone(), self.plan.clone(), self.decoder.clone());
            Ahead::start(place.clone(), move |place| fetch(session.clone(), plan.clone(), decoder.clone(), place))
        });
        let (Fetched { decoding, reply }, next) = fetching.next().await?;
        let decoded = decoding.await.map_err(|error| Failure::internal(format!("decoding a page: {error}")))?;
        let reason = match decoded {
            Ok(decoded) => {
                self.waits = Waits::new(self.session.http.limits());
                return Ok(Some((decoded, next)));
            }
            Err(reason) => reason,
        };
        self.fetching = None;
        let mut failure = self.session.no_sense(&format!("reading {}", self.plan.set), &reply);
        failure.message = format!("{} ({reason})", failure.message);
        self.waits.pause(self.session.account(), failure).await?;
        Ok(None)
    }

    /// Keeps a page's parts, and finds out where the reading goes on.
    fn take(&mut self, place: &Place, decoded: Decoded, guess: Option<&Place>) -> Result<(), Failure> {
        self.seen.insert(hash(&place.url));
        let next = match &decoded.next_link {
            None => None,
            Some(link) => {
                let url = self.follow(link)?;
                if self.seen.contains(&hash(&url)) {
                    return Err(self.session.circle(&format!("reading {}", self.plan.set)));
                }
                Some(Place { url, parts: 0, size: place.size })
            }
        };
        let mut feed = match (&next, &decoded.delta_link) {
            (None, Some(link)) => Some(self.session.relative(&self.follow(link)?)?.to_owned()),
            (None, None) if self.read.feed.is_some() => return Err(self.no_feed()),
            _ => None,
        };
        if next.as_ref() != guess {
            self.fetching = None;
        }
        let last = decoded.parts.len().saturating_sub(1);
        let mut deleted = decoded.deleted;
        for (number, part) in decoded.parts.into_iter().enumerate().skip(place.parts) {
            let after = match &next {
                _ if number < last => Some(Place { parts: number + 1, ..place.clone() }),
                next => next.clone(),
            };
            let part = self.progress.take(part)?;
            let mark = self.progress.mark();
            let next = after.map(|after| self.plan.cursor(&self.session, &after, mark)).transpose()?;
            self.ready.push_back(Page {
                versions: part.versions,
                rejects: part.misfits,
                deleted: if number == last { std::mem::take(&mut deleted) } else { Vec::new() },
                feed: feed.take_if(|_| next.is_none()),
                next,
                ..Page::new(part.records)
            });
        }
        self.place = next;
        Ok(())
    }

    fn no_feed(&self) -> Failure {
        let (account, set) = (self.session.account(), &self.plan.set);
        Failure::new(
            Class::Config,
            format!("{account}: reading the changes of {set}: the last page says not where to go on"),
        )
        .help("see that `Track changes` is switched on for this table in the CRM")
    }

    /// A next link, which must not leave the account's own address.
    fn follow(&self, link: &str) -> Result<Url, Failure> {
        let url = self.session.root.join(link).map_err(|error| {
            let (account, set) = (self.session.account(), &self.plan.set);
            Failure::new(
                Class::Config,
                format!("{account}: reading {set}: the link to the next page is no address: {error}"),
            )
        })?;
        if self.session.owns(&url) { Ok(url) } else { Err(self.session.foreign(&url)) }
    }
}

fn hash(url: &Url) -> u64 {
    let mut hasher = DefaultHasher::new();
    url.as_str().hash(&mut hasher);
    hasher.finish()
}

/// A page that came, and is being decoded.
struct Fetched {
    decoding: JoinHandle<Result<Decoded, String>>,
    reply: Reply,
}

async fn fetch(
    session: Arc<Session>,
    plan: Arc<Plan>,
    decoder: Arc<PageDecoder>,
    place: Place,
) -> ahead::Fetched<Fetched, Place> {
    let what = format!("reading {}", plan.set);
    let is_page = |reply: &Reply| -> Result<(), Refusal> {
        if page::is_object(&reply.body) { Ok(()) } else { Err(session.no_sense(&what, reply).into()) }
    };
    let reply = session.get(place.url.clone(), Some(plan.prefer(place.size)?), &what, &is_page).await?;
    // A guess that leads elsewhere is not followed; the decoded page will say so.
    let next = page::link_in_tail(&reply.body)
        .and_then(|link| session.root.join(&link).ok())
        .filter(|url| session.owns(url) && *url != place.url)
        .map(|url| Place { url, parts: 0, size: place.size });
    let body = reply.body.clone();
    let decoding = tokio::task::spawn_blocking(move || decoder.decode(&body));
    Ok((Fetched { decoding, reply }, next))
}
