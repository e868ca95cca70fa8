//! Walks over records in an order: the generated and the written ones as one sequence.

use std::{iter::Peekable, ops::Bound};

use super::table::Record;
use crate::guid::Guid;

/// A place in the order of a date (0 in the order of ids), then of ids.
pub(crate) type Place = (i64, Guid);

/// Records in an order.
pub(crate) type Walk<'a> = Box<dyn Iterator<Item = Record<'a>> + 'a>;

/// False for bounds at which a `BTreeMap` would panic: from beyond to.
pub(super) fn is_range<T: Ord>(bounds: &(Bound<T>, Bound<T>)) -> bool {
    match bounds {
        (Bound::Included(from), Bound::Included(to)) => from <= to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to) | Bound::Included(to)) => from < to,
        _ => true,
    }
}

/// Two ordered sequences as one.
pub(super) fn merged<'a, A, B>(left: A, right: B, backwards: bool) -> Walk<'a>
where
    A: DoubleEndedIterator<Item = (Place, Record<'a>)> + 'a,
    B: DoubleEndedIterator<Item = (Place, Record<'a>)> + 'a,
{
    if backwards {
        Box::new(Merge { left: left.rev().peekable(), right: right.rev().peekable(), backwards })
    } else {
        Box::new(Merge { left: left.peekable(), right: right.peekable(), backwards })
    }
}

struct Merge<A: Iterator, B: Iterator> {
    left: Peekable<A>,
    right: Peekable<B>,
    backwards: bool,
}

impl<'a, A, B> Iterator for Merge<A, B>
where
    A: Iterator<Item = (Place, Record<'a>)>,
    B: Iterator<Item = (Place, Record<'a>)>,
{
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let take_left = match (self.left.peek(), self.right.peek()) {
            (Some((left, _)), Some((right, _))) => (left < right) != self.backwards,
            (left, _) => left.is_some(),
        };
        let next = if take_left { self.left.next() } else { self.right.next() };
        next.map(|(_, record)| record)
    }
}
