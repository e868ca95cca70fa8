//! SQL's `LIKE`, which the text functions come down to: `%`, `_` and `[…]` in their texts are live.

use super::TextFunction;

/// One piece of an SQL `LIKE` pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pattern {
    /// `%`
    Anything,
    /// `_`
    OneChar,
    /// `[abc]`, `[a-f]`, or with `^` none of them.
    OneOf(Vec<(char, char)>, bool),
    /// The character itself, in small letters.
    Char(char),
}

/// The pattern of a text function: the text itself, open on the sides that the function leaves open.
pub(super) fn pattern(function: TextFunction, text: &str) -> Vec<Pattern> {
    let mut pieces = exact(text);
    if function != TextFunction::StartsWith {
        pieces.insert(0, Pattern::Anything);
    }
    if function != TextFunction::EndsWith {
        pieces.push(Pattern::Anything);
    }
    pieces
}

/// The pattern that a text is by itself.
pub(crate) fn exact(text: &str) -> Vec<Pattern> {
    let mut pieces = Vec::new();
    let chars: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    let mut place = 0;
    while place < chars.len() {
        let piece = match chars[place] {
            '%' => Pattern::Anything,
            '_' => Pattern::OneChar,
            '[' => match chars[place..].iter().position(|char| *char == ']') {
                Some(end) if end > 1 => {
                    let set = char_set(&chars[place + 1..place + end]);
                    place += end;
                    set
                }
                _ => Pattern::Char('['),
            },
            char => Pattern::Char(char),
        };
        pieces.push(piece);
        place += 1;
    }
    pieces
}

fn char_set(inside: &[char]) -> Pattern {
    let (inside, negated) = if inside.first() == Some(&'^') { (&inside[1..], true) } else { (inside, false) };
    let mut ranges = Vec::new();
    let mut rest = inside;
    loop {
        rest = match rest {
            [from, '-', to, rest @ ..] => {
                ranges.push((*from, *to));
                rest
            }
            [one, rest @ ..] => {
                ranges.push((*one, *one));
                rest
            }
            [] => return Pattern::OneOf(ranges, negated),
        };
    }
}

/// Whether a text fits a pattern. After a mismatch only the last `%` takes one character more, so that the time is at most
/// the product of both lengths.
pub(super) fn is_like(text: &[char], pattern: &[Pattern]) -> bool {
    let (mut at, mut piece) = (0, 0);
    let mut last_anything: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(piece) {
            Some(Pattern::Anything) => {
                last_anything = Some((piece, at));
                piece += 1;
            }
            Some(fits) if fits.is_char(text[at]) => {
                at += 1;
                piece += 1;
            }
            _ => {
                let Some((anything, from)) = last_anything else {
                    return false;
                };
                last_anything = Some((anything, from + 1));
                at = from + 1;
                piece = anything + 1;
            }
        }
    }
    pattern[piece..].iter().all(|rest| *rest == Pattern::Anything)
}

impl Pattern {
    fn is_char(&self, char: char) -> bool {
        match self {
            Self::Anything => false,
            Self::OneChar => true,
            Self::Char(own) => *own == char,
            Self::OneOf(ranges, negated) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&char)) != *negated,
        }
    }
}
