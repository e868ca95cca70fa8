//! The download alone: what no import can be faster than.

use std::time::Instant;

use bytes::Bytes;
use reqwest::Client;

use crate::measure::Fallible;
use crate::server::first_page;
use crate::work::Done;

/// A client as plain as can be.
pub(crate) fn client() -> Fallible<Client> {
    // Another that is installed already is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    Ok(Client::builder().no_proxy().tcp_nodelay(true).build()?)
}

/// One page.
pub(super) async fn fetch(client: Client, url: String) -> Fallible<Bytes> {
    let request = client.get(url).header("Prefer", "odata.maxpagesize=5000").header("Authorization", "Bearer bench");
    Ok(request.send().await?.error_for_status()?.bytes().await?)
}

/// The address of the next page, which stands at the end of this one.
pub(super) fn next_link(page: &[u8]) -> Fallible<Option<String>> {
    let tail = std::str::from_utf8(&page[page.len().saturating_sub(512)..]).unwrap_or_default();
    let Some((_, link)) = tail.rsplit_once("\"@odata.nextLink\":\"") else { return Ok(None) };
    Ok(Some(link.split_once('"').ok_or("a link without end")?.0.to_owned()))
}

/// Downloads all pages, one after the other.
#[tokio::main]
pub(crate) async fn download(url: &str) -> Fallible<Done> {
    let client = client()?;
    let begin = Instant::now();
    let mut next = Some(first_page(url));
    let mut bytes = 0;
    while let Some(url) = next {
        let page = fetch(client.clone(), url).await?;
        bytes += page.len() as u64;
        next = next_link(&page)?;
    }
    Ok(Done { seconds: begin.elapsed().as_secs_f64(), bytes, ..Done::default() })
}
