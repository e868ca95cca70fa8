//! The words of a filter, with their places for error messages.

use super::Literal;
use crate::{dataverse::error::Error, guid::Guid, time};

/// A word of a filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A property, an operator, a function.
    Word(String),
    /// A value other than `null`, `true` and `false`.
    Value(Literal),
    /// `(`, `)`, `,`, `[`, `]` or `=`.
    Sign(char),
    /// The end.
    End,
}

/// The words with the place of each, in characters from 0.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, Error> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut place = 0;
    while let Some(char) = chars.get(place).copied() {
        let start = place;
        let token = match char {
            _ if char.is_whitespace() => {
                place += 1;
                continue;
            }
            '(' | ')' | ',' | '[' | ']' | '=' => {
                place += 1;
                Token::Sign(char)
            }
            '\'' => Token::Value(Literal::Text(quoted(&chars, &mut place, text)?)),
            '"' => Token::Value(Literal::Text(json_text(&chars, &mut place, text)?)),
            _ if is_word(char) => {
                while chars.get(place).copied().is_some_and(is_word) {
                    place += 1;
                }
                word(chars[start..place].iter().collect())
            }
            _ => {
                return Err(Error::query(format!(
                    "Syntax error: character '{char}' is not valid at position {place} in '{text}'."
                )));
            }
        };
        tokens.push((token, start));
    }
    tokens.push((Token::End, chars.len()));
    Ok(tokens)
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '.' | '-' | ':' | '+' | '/')
}

/// A text between quotes, in which two quotes stand for one.
fn quoted(chars: &[char], place: &mut usize, text: &str) -> Result<String, Error> {
    let mut value = String::new();
    *place += 1;
    loop {
        match (chars.get(*place), chars.get(*place + 1)) {
            (Some('\''), Some('\'')) => {
                value.push('\'');
                *place += 2;
            }
            (Some('\''), _) => {
                *place += 1;
                return Ok(value);
            }
            (Some(char), _) => {
                value.push(*char);
                *place += 1;
            }
            (None, _) => {
                return Err(Error::query(format!("There is an unterminated literal at position {place} in '{text}'.")));
            }
        }
    }
}

/// A text in double quotes, as lists of values have it, which are JSON.
fn json_text(chars: &[char], place: &mut usize, text: &str) -> Result<String, Error> {
    let start = *place;
    let mut is_escaped = false;
    while let Some(char) = chars.get(*place).copied() {
        *place += 1;
        if char == '"' && !is_escaped && *place > start + 1 {
            let json: String = chars[start..*place].iter().collect();
            return serde_json::from_str(&json)
                .map_err(|_| Error::query(format!("Invalid JSON at position {start} in '{text}'.")));
        }
        is_escaped = char == '\\' && !is_escaped;
    }
    Err(Error::query(format!("There is an unterminated literal at position {place} in '{text}'.")))
}

fn word(word: String) -> Token {
    if let Some(id) = Guid::parse(&word) {
        return Token::Value(Literal::Guid(id));
    }
    let is_numeric = word.starts_with(|char: char| char.is_ascii_digit() || char == '-');
    if !is_numeric {
        return Token::Word(word);
    }
    if let Some(days) = time::parse_date(&word) {
        return Token::Value(Literal::Date(days));
    }
    if let Some(seconds) = time::parse_instant(&word) {
        return Token::Value(Literal::Instant(seconds));
    }
    if crate::data::Decimal::parse(&word).is_some() {
        return Token::Value(Literal::Number(word));
    }
    Token::Word(word)
}
