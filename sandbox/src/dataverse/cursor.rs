//! The `$skiptoken`: a position in a query, dressed as the real system's paging cookie.
//!
//! It is the order key of the last record sent, and not a number of records: records that are changed or deleted between
//! two pages shift nothing.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{dataverse::error::Error, guid::Guid};

/// Where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Number of the next page, from 2. For show.
    pub(crate) page: u64,
    /// Order key of the last record sent; empty for the start.
    pub(crate) key: Vec<u8>,
    /// That record's id.
    pub(crate) last: Guid,
    /// While changes are tracked, the token for the end of the read.
    pub(crate) token: Option<String>,
}

/// Characters of a cookie that stay as they are when it is put into a URL.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'=').remove(b'/');

/// Times that a client can have encoded the token anew on its way back.
const ENCODINGS_MAX: usize = 6;

impl Cursor {
    /// The token as it stands in a URL: the inner cookie encoded for itself, and all once more.
    pub(crate) fn encode(&self, id_field: &str) -> String {
        let hex: String = self.key.iter().map(|byte| format!("{byte:02x}")).collect();
        let inner = format!(
            "<cookie page=\"{}\"><{id_field} last=\"{{{}}}\" key=\"{hex}\"{} /></cookie>",
            self.page - 1,
            self.last.to_string().to_uppercase(),
            self.token.as_ref().map(|token| format!(" token=\"{token}\"")).unwrap_or_default()
        );
        let inner = utf8_percent_encode(&inner, NON_ALPHANUMERIC);
        let outer = format!(
            "<cookie pagenumber=\"{}\" pagingcookie=\"{inner}\" istracking=\"{}\" />",
            self.page,
            if self.token.is_some() { "True" } else { "False" }
        );
        utf8_percent_encode(&outer, KEPT).to_string()
    }

    /// Reads a token after the URL's own decoding; clients may have encoded it anew, so that it is decoded until it is plain.
    pub(crate) fn decode(token: &str) -> Result<Self, Error> {
        let mut text = token.to_owned();
        for _ in 0..ENCODINGS_MAX {
            if !text.contains('%') {
                break;
            }
            text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        }
        Self::read(&text).ok_or_else(|| Error::new(400, "0x80041129", "Malformed XML in the Paging Cookie."))
    }

    /// The paging cookie of a FetchXML answer: the inner cookie encoded twice within the outer one.
    pub(crate) fn fetch_cookie(&self, id_field: &str) -> String {
        let encoded = self.encode(id_field);
        let once = percent_decode_str(&encoded).decode_utf8_lossy().into_owned();
        // The outer cookie is plain here, and its inner one encoded once more.
        let inner = attribute(&once, "pagingcookie").unwrap_or_default();
        once.replace(inner, &utf8_percent_encode(inner, NON_ALPHANUMERIC).to_string())
    }

    /// Reads the cookie that a FetchXML query hands back for a page: the inner one, or both.
    pub(crate) fn of_fetch_cookie(cookie: &str, page: u64) -> Result<Self, Error> {
        let mut text = cookie.to_owned();
        for _ in 0..ENCODINGS_MAX {
            if !text.contains('%') {
                break;
            }
            text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        }
        Self::read(&format!(" pagenumber=\"{page}\" {text}"))
            .ok_or_else(|| Error::new(400, "0x80041129", "Malformed XML in the Paging Cookie."))
    }

    fn read(text: &str) -> Option<Self> {
        let page: u32 = attribute(text, "pagenumber")?.parse().ok()?;
        let last = Guid::parse(attribute(text, "last")?)?;
        let hex = attribute(text, "key")?;
        if hex.len() % 2 == 1 || !hex.is_ascii() {
            return None;
        }
        let bytes = (0..hex.len() / 2).map(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).ok());
        let token = attribute(text, "token").map(str::to_owned);
        Some(Self { page: u64::from(page.max(1)), key: bytes.collect::<Option<_>>()?, last, token })
    }
}

fn attribute<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!(" {name}=\""))? + name.len() + 3;
    let length = text[start..].find('"')?;
    Some(&text[start..start + length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_encoded_anew() {
        let token = Some("12!08/22/2017 08:10:44".to_owned());
        let cursor = Cursor { page: 7, key: vec![0, 1, 255, 37], last: Guid::from_u128(42), token };
        let token = cursor.encode("contactid");
        assert!(token.contains("%253Ccookie"), "{token}");
        let once = percent_decode_str(&token).decode_utf8_lossy().into_owned();
        let anew = utf8_percent_encode(&token, NON_ALPHANUMERIC).to_string();
        for sent in [&token, &once, &anew] {
            assert_eq!(Cursor::decode(sent).as_ref(), Ok(&cursor));
        }
        assert!(Cursor::decode("%3Ccookie").is_err());
    }
}
