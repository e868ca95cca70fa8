//! Query text into tokens.

use super::Literal;
use crate::{
    salesforce::{error::Error, value::parse_instant},
    time,
};

/// A token and the byte at which it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A keyword or a name with dots, as it was written.
    Word(String),
    /// A text, a number, a date.
    Literal(Literal),
    /// `(`, `)`, `,`, `=`, `!=`, `<` and so on.
    Sign(&'static str),
    /// After the last.
    End,
}

const SIGNS: &[&str] = &["!=", "<>", "<=", ">=", "(", ")", ",", "=", "<", ">", ":"];

/// The tokens of a query, the last of them [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, length) = token(&text[at..])?;
        tokens.push(Token { kind, at });
        at += length;
    }
    tokens.push(Token { kind: Kind::End, at });
    Ok(tokens)
}

fn token(rest: &str) -> Result<(Kind, usize), Error> {
    if rest.starts_with('\'') {
        return quoted(rest);
    }
    if rest.starts_with(|char: char| char.is_ascii_digit() || matches!(char, '-' | '+' | '.')) {
        return number_or_date(rest);
    }
    if rest.starts_with(|char: char| char.is_ascii_alphabetic()) {
        let is_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.');
        let length = rest.find(|char| !is_name(char)).unwrap_or(rest.len());
        return Ok((Kind::Word(rest[..length].to_owned()), length));
    }
    match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        Some(sign) => Ok((Kind::Sign(if *sign == "<>" { "!=" } else { sign }), sign.len())),
        None => Err(malformed(format!("unexpected token: '{}'", rest.chars().next().unwrap_or(' ')))),
    }
}

fn quoted(rest: &str) -> Result<(Kind, usize), Error> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        match char {
            '\'' => return Ok((Kind::Literal(Literal::Text(text)), at + 1)),
            '\\' => match chars.next().map(|(_, char)| char) {
                Some('n' | 'N') => text.push('\n'),
                Some('r' | 'R') => text.push('\r'),
                Some('t' | 'T') => text.push('\t'),
                Some('b' | 'B') => text.push('\u{8}'),
                Some('f' | 'F') => text.push('\u{c}'),
                Some(char @ ('\\' | '\'' | '"')) => text.push(char),
                // LIKE must still see that its signs are meant as they are.
                Some(char @ ('%' | '_')) => text.extend(['\\', char]),
                _ => return Err(malformed("Invalid string literal: illegal escape sequence")),
            },
            other => text.push(other),
        }
    }
    Err(malformed("unexpected end of query: a string literal is not closed"))
}

fn number_or_date(rest: &str) -> Result<(Kind, usize), Error> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '+' | '.' | ':');
    let text = &rest[..rest.find(|char| !is_part(char)).unwrap_or(rest.len())];
    let is_number = text.parse::<f64>().is_ok_and(f64::is_finite);
    let literal = if is_number {
        Literal::Number(text.to_owned())
    } else if let Some(days) = time::parse_date(text) {
        Literal::Date(days)
    } else if let Some(seconds) = parse_instant(text) {
        Literal::Instant(seconds)
    } else {
        return Err(malformed(format!("unexpected token: '{text}'")));
    };
    Ok((Kind::Literal(literal), text.len()))
}

/// `MALFORMED_QUERY`.
pub(super) fn malformed(message: impl Into<String>) -> Error {
    Error::new("MALFORMED_QUERY", message)
}
