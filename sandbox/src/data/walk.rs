//! Walks over records in an order: the generated and the written ones as one sequence.

use std::{iter::Peekable, ops::Bound};

use super::records::Record;
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
        let (left, right) = (left.rev().peekable(), right.rev().peekable());
        Box::new(Merge { left, right, backwards }.map(|(_, record)| record))
    } else {
        Box::new(forward(left, right).map(|(_, record)| record))
    }
}

/// Two ascending sequences as one, with the places.
pub(super) fn forward<'a>(
    left: impl Iterator<Item = (Place, Record<'a>)>,
    right: impl Iterator<Item = (Place, Record<'a>)>,
) -> impl Iterator<Item = (Place, Record<'a>)> {
    Merge { left: left.peekable(), right: right.peekable(), backwards: false }
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
    type Item = (Place, Record<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let take_left = match (self.left.peek(), self.right.peek()) {
            (Some((left, _)), Some((right, _))) => (left < right) != self.backwards,
            (left, _) => left.is_some(),
        };
        if take_left { self.left.next() } else { self.right.next() }
    }
}
