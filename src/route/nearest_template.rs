//! The template nearest to a path that none matches, for the message of a 404. It goes down the trie beside the path,
//! taking the most alike literal where none fits, and looks at a bounded number of nodes.

use super::router::Node;
use crate::schema::{Verb, likeness};

/// At most this many literals are compared at one node: a 404 must stay cheap with ten thousand templates.
const MAX_COMPARED: usize = 256;
/// Longer segments are not compared: the cost grows with the product of both lengths.
const MAX_LENGTH: usize = 64;

/// The entry and verb of the nearest template, one of `method` first, if anything of the path is alike.
pub(super) fn find<'n>(nodes: &'n [Node], method: &str, raw_path: &str) -> Option<(usize, &'n Verb)> {
    let mut node = nodes.first()?;
    let mut alike = false;
    for segment in raw_path.strip_prefix('/')?.split('/').take(MAX_LENGTH) {
        let child = match (nearest_literal(node, segment), node.one) {
            (Some((child, likeness)), None) if likeness >= 0.5 => Some((child, true)),
            (Some((child, likeness)), Some(_)) if likeness >= 0.7 => Some((child, true)),
            (_, Some(child)) => Some((child, false)),
            _ => None,
        };
        let Some((child, is_alike)) = child else { break };
        alike |= is_alike;
        node = nodes.get(child)?;
    }
    if !alike {
        return None;
    }
    // From here on the way to any end, the nearest below.
    loop {
        if let Some(end) = node.ends.first() {
            let of_method = end.methods.iter().find(|(verb, _)| verb.as_str() == method);
            return of_method.or_else(|| end.methods.first()).map(|(verb, entry)| (*entry, verb));
        }
        let first_literal = || node.literals.iter().min_by_key(|(text, _)| *text).map(|(_, child)| *child);
        node = nodes.get(node.one.or(node.rest).or_else(first_literal)?)?;
    }
}

fn nearest_literal(node: &Node, segment: &str) -> Option<(usize, f64)> {
    if let Some(child) = node.literals.get(segment) {
        return Some((*child, 1.0));
    }
    if segment.is_empty() || segment.len() > MAX_LENGTH {
        return None;
    }
    let literals = node.literals.iter().take(MAX_COMPARED).filter(|(text, _)| text.len() <= MAX_LENGTH);
    let scored = literals.map(|(text, child)| (text, *child, likeness(segment, text)));
    // Equal likeness goes to the lesser text, so that the answer does not depend on the map's order.
    scored
        .max_by(|a, b| a.2.total_cmp(&b.2).then_with(|| b.0.cmp(a.0)))
        .map(|(_, child, likeness)| (child, likeness))
}
