//! Goes down the trie beside a path, in the order of precedence, from one template that matches to the next.

use super::{End, Node, Router};
use crate::schema::{BadEscape, decode_segment};

impl<T> Router<T> {
    /// Offers the ends that match `path` to `take`, in order of precedence, until it answers something.
    pub(super) fn walk<R>(&self, path: &str, take: &mut impl FnMut(&End) -> Option<R>) -> Option<R> {
        let path = path.strip_prefix('/')?;
        let last = path.rfind('/').map_or(0, |slash| slash + 1);
        let colon = memchr::memrchr(b':', path.as_bytes()).filter(|colon| *colon >= last);
        if let Some(colon) = colon
            && let (Some(path), Some(verb)) = (path.get(..colon), path.get(colon + 1..))
            && let Ok(verb) = decode_segment(verb)
            && let Some(found) = self.descend(0, Some(path), &mut |node| take(end_of(node, Some(&verb))?))
        {
            return Some(found);
        }
        // The root has no segments at all, rather than one empty one.
        self.descend(0, (!path.is_empty()).then_some(path), &mut |node| take(end_of(node, None)?))
    }

    fn descend<R>(
        &self,
        at: usize,
        path: Option<&str>,
        take: &mut impl FnMut(&Node) -> Option<R>,
    ) -> Option<R> {
        let node = self.nodes.get(at)?;
        let Some(path) = path else {
            return take(node).or_else(|| take(self.nodes.get(node.rest?)?));
        };
        let (segment, rest) = match memchr::memchr(b'/', path.as_bytes()) {
            Some(slash) => (path.get(..slash)?, path.get(slash + 1..)),
            None => (path, None),
        };
        // An empty segment is no literal and matches no variable; only `**` reaches over it.
        if !segment.is_empty() {
            let literal = match decode_segment(segment) {
                Ok(literal) => node.literals.get(&*literal),
                Err(BadEscape) => None,
            };
            if let Some(found) = literal.and_then(|literal| self.descend(*literal, rest, take)) {
                return Some(found);
            }
            if let Some(found) = node.one.and_then(|one| self.descend(one, rest, take)) {
                return Some(found);
            }
        }
        self.descend_rest(node.rest?, path, take)
    }

    /// Goes on behind a `**`, which covers as little as what follows it allows: a literal behind it is the most exact,
    /// then it covers all that is left, and only then is there a variable behind it.
    fn descend_rest<R>(&self, at: usize, path: &str, take: &mut impl FnMut(&Node) -> Option<R>) -> Option<R> {
        let node = self.nodes.get(at)?;
        // A longer end than any template has cannot match: a lookup's cost does not grow with the path for each of them.
        let longer = (1 + memchr::memchr_iter(b'/', path.as_bytes()).count()).saturating_sub(node.behind);
        let literals = (!node.literals.is_empty())
            .then(|| {
                tails(path).skip(longer).find_map(|(segment, rest)| {
                    let literal = decode_segment(segment).ok().and_then(|text| node.literals.get(&*text))?;
                    self.descend(*literal, rest, take)
                })
            })
            .flatten();
        literals.or_else(|| take(node)).or_else(|| {
            let one = node.one?;
            let mut tails = tails(path).skip(longer).filter(|(segment, _)| !segment.is_empty());
            tails.find_map(|(_, rest)| self.descend(one, rest, take))
        })
    }
}

pub(super) fn end_of<'n>(node: &'n Node, suffix: Option<&str>) -> Option<&'n End> {
    node.ends.iter().find(|end| end.suffix.as_deref() == suffix)
}

/// Every end of a path that begins at a segment, the whole first: its first segment, and what follows that.
fn tails(path: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let starts = std::iter::once(0).chain(memchr::memchr_iter(b'/', path.as_bytes()).map(|slash| slash + 1));
    starts.filter_map(|start| path.get(start..)).map(|tail| match tail.split_once('/') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (tail, None),
    })
}
