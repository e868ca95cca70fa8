//! A request, taken apart.

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use crate::{
    dataverse::render::{Annotations, is_included},
    faults::Route,
    reply::Reply,
};

/// Where the Web API lies on the organisation's host; the version follows.
pub(super) const API: &str = "/api/data/v";

/// A request as far as its head tells.
#[derive(Debug, Default)]
pub(crate) struct Call {
    /// Method.
    pub(crate) method: Method,
    /// Path as it came.
    pub(crate) path: String,
    /// Query as it came, without `?`.
    pub(crate) query: String,
    /// Headers.
    pub(crate) headers: HeaderMap,
    /// Body.
    pub(crate) body: Bytes,
    /// Time by the sandbox's clock.
    pub(crate) now: i64,
    /// The host to put into next links instead of our own.
    pub(crate) next_link_host: Option<String>,
    /// Let the next link lead to the page just sent.
    pub(crate) repeat_page: bool,
    /// It came encrypted.
    pub(crate) is_tls: bool,
}

/// What `Prefer` asks for.
#[derive(Debug, Default)]
pub(crate) struct Preferences {
    /// Records on a page at most.
    pub(crate) page_size_max: Option<usize>,
    /// Annotations, and their list as it was written.
    pub(crate) annotations: Option<(Annotations, String)>,
    /// Return what was written.
    pub(crate) representation: bool,
    /// Tell at the end how to read on from here.
    pub(crate) track_changes: bool,
    /// Let a batch go on after an operation that failed.
    pub(crate) continue_on_error: bool,
}

impl Preferences {
    /// The annotations that the answer has.
    pub(crate) fn annotations(&self) -> Annotations {
        self.annotations.as_ref().map_or_else(Annotations::default, |(annotations, _)| *annotations)
    }

    /// Whether this annotation is asked for.
    pub(super) fn wants(&self, annotation: &str) -> bool {
        self.annotations.as_ref().is_some_and(|(_, list)| is_included(list, annotation))
    }

    /// Those that a query honours besides annotations.
    pub(crate) fn of_query(&self) -> Vec<String> {
        let tracks = self.track_changes.then(|| "odata.track-changes".to_owned());
        let size = self.page_size_max.map(|size| format!("odata.maxpagesize={size}"));
        tracks.into_iter().chain(size).collect()
    }

    /// Tells in the answer, in one header, which preferences it honours: these, and the annotations that it has.
    pub(crate) fn applied(&self, reply: Reply, mut honoured: Vec<String>) -> Reply {
        honoured.extend(self.annotations.iter().map(|(_, list)| format!("odata.include-annotations=\"{list}\"")));
        if honoured.is_empty() { reply } else { reply.header("Preference-Applied", honoured.join(",")) }
    }
}

impl Call {
    /// The path below the service root, decoded, and the version in the root; `None` outside the Web API.
    pub(crate) fn resource(&self) -> Option<(String, String)> {
        let rest = self.path.strip_prefix(API)?;
        let (version, resource) = rest.split_once('/').unwrap_or((rest, ""));
        let is_version = version.split_once('.').is_some_and(|(major, minor)| is_number(major) && is_number(minor));
        is_version.then(|| {
            let resource = percent_decode_str(resource).decode_utf8_lossy().into_owned();
            (version.to_owned(), resource)
        })
    }

    /// The service root as the client spells the host, such as `http://127.0.0.1:4000/api/data/v9.2/`.
    pub(crate) fn root(&self) -> String {
        let version = self.version();
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{API}{version}/", self.host())
    }

    fn version(&self) -> &str {
        self.path.strip_prefix(API).map_or("9.2", |rest| rest.split('/').next().unwrap_or(rest))
    }

    /// The service root without the host.
    pub(crate) fn root_path(&self) -> String {
        format!("{API}{}/", self.version())
    }

    /// Bytes of path and query.
    pub(super) fn address_bytes(&self) -> usize {
        self.path.len() + self.query.len()
    }

    /// The host, with port, that the client asked for.
    pub(crate) fn host(&self) -> &str {
        self.header("host").unwrap_or("localhost")
    }

    /// A header, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A query option such as `$select`, decoded.
    pub(crate) fn option(&self, name: &str) -> Option<String> {
        self.options().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// All query options in order, decoded.
    pub(crate) fn options(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }

    /// A text with its parameter aliases, such as `@name`, replaced by the values that other options give them; null without
    /// one. What stands in quotes is no alias.
    pub(crate) fn with_aliases(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut rest, mut quote) = (text, None);
        while let Some(char) = rest.chars().next() {
            let name = rest.strip_prefix('@').filter(|_| quote.is_none()).map(|name| {
                let end = name.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(name.len());
                &rest[..=end]
            });
            if let Some(name) = name.filter(|name| name.len() > 1) {
                out.push_str(self.option(name).as_deref().unwrap_or("null"));
                rest = &rest[name.len()..];
                continue;
            }
            quote = match (quote, char) {
                (None, '\'' | '"') => Some(char),
                (Some(open), _) if open == char => None,
                _ => quote,
            };
            out.push(char);
            rest = &rest[char.len_utf8()..];
        }
        out
    }

    /// The preferences of all `Prefer` headers.
    pub(crate) fn preferences(&self) -> Preferences {
        let mut preferences = Preferences::default();
        let headers = self.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for (name, value) in headers.flat_map(split_preferences) {
            match name.as_str() {
                "odata.maxpagesize" => preferences.page_size_max = value.parse().ok().filter(|size| *size > 0),
                "odata.include-annotations" => preferences.annotations = Some((Annotations::parse(&value), value)),
                "return" => preferences.representation = value == "representation",
                "odata.track-changes" => preferences.track_changes = true,
                "odata.continue-on-error" => preferences.continue_on_error = value != "false",
                _ => {}
            }
        }
        preferences
    }

    /// Whether it goes to the directory's token endpoint, in its present or in its first version.
    pub(super) fn is_token_endpoint(&self) -> bool {
        self.path.ends_with("/oauth2/v2.0/token") || self.path.ends_with("/oauth2/token") && !self.path.starts_with(API)
    }

    /// What the request is about, as faults and the log name it.
    pub(crate) fn route(&self) -> Route {
        if self.is_token_endpoint() {
            return Route::Token;
        }
        let Some((_, resource)) = self.resource() else {
            return Route::Other;
        };
        let is_read = self.method == Method::GET;
        match resource.split(['(', '/']).next().unwrap_or("") {
            "" | "$metadata" | "EntityDefinitions" | "RelationshipDefinitions" | "GlobalOptionSetDefinitions" => {
                Route::Metadata
            }
            "WhoAmI" => Route::Whoami,
            "$batch" => Route::Batch,
            _ if !is_read && resource.ends_with("Multiple") => Route::Bulk,
            _ if !is_read => Route::Write,
            _ if self.option("$skiptoken").is_some() => Route::Page,
            _ if resource.contains('(') => Route::Record,
            _ => Route::Query,
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `a=1, b="x,y"` as pairs; quotes protect commas.
fn split_preferences(header: &str) -> Vec<(String, String)> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for char in header.chars() {
        match char {
            '"' => is_quoted = !is_quoted,
            ',' | ';' if !is_quoted => parts.push(String::new()),
            _ => {
                if let Some(part) = parts.last_mut() {
                    part.push(char);
                }
            }
        }
    }
    let pair = |part: String| {
        let (name, value) = part.split_once('=').unwrap_or((part.as_str(), ""));
        (name.trim().to_ascii_lowercase(), value.trim().to_owned())
    };
    parts.into_iter().map(pair).collect()
}
