//! Which templates a path is compared with, where there may be ten thousand: the trie is gone through beside the path,
//! always on from where both are nearest so far, for a bounded number of steps.
//!
//! What a way costs is an edit distance over segments, one row a node: what it costs to lay what leads to the node beside
//! the first so many segments of the path. The least of a row only grows further down.

use std::{borrow::Cow, cmp::Ordering, collections::BinaryHeap};

use super::{
    Literal, Node,
    alike::{Compare, Letters, MISSING},
    near::room,
};
use crate::schema::{Segment, Verb, decode_segment};

/// So many cells of rows are worked out: a 404 must stay cheap, whatever the path and however many the templates.
const MAX_CELLS: usize = 4096;
/// So many literals of one node are looked at,
const MAX_LITERALS: usize = 16_384;
/// so many of them that may be alike a segment of the path are gone on with,
const MAX_ALIKE: usize = 128;
/// and so many others, which the path may lack.
const MAX_OTHERS: usize = 32;
/// So many templates are chosen.
const MAX_CHOSEN: usize = 64;
/// So much more than the cheapest a way may cost: another HTTP method or verb is dearer by that.
const WINDOW: f64 = 1.0;

/// The entries, with their HTTP methods, that a ranking should look at: those of the cheapest ways.
pub(super) fn of<'n>(nodes: &'n [Node], path: &[&str], compare: &mut Compare) -> Vec<(&'n Verb, usize)> {
    let mut search = Search {
        segments: path.iter().map(|segment| Asked::of(segment)).collect(),
        compare,
        cells: 0,
        open: BinaryHeap::new(),
        best: f64::MAX,
    };
    let mut ends: Vec<(f64, usize)> = Vec::new();
    let mut row: Vec<f64> = (0..=search.segments.len()).map(|segments| segments as f64 * MISSING).collect();
    if path == [""] {
        // The root has no segments at all, rather than one empty one.
        row = vec![0.0];
        search.segments.clear();
    }
    search.open.push(Way { least: 0.0, node: 0, depth: 0, row });
    while let Some(way) = search.open.pop() {
        if way.least > search.furthest() {
            break;
        }
        let Some(node) = nodes.get(way.node) else { continue };
        let cost = way.row.last().copied().unwrap_or(f64::MAX);
        if !node.ends.is_empty() && cost <= room(search.segments.len(), way.depth) {
            search.best = search.best.min(cost);
            ends.push((cost, way.node));
        }
        search.go_on(node, &way);
    }
    ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let ends = ends.into_iter().filter_map(|(_, node)| nodes.get(node)).flat_map(|node| &node.ends);
    ends.flat_map(|end| &end.methods).map(|(verb, entry)| (verb, *entry)).take(MAX_CHOSEN).collect()
}

struct Search<'a> {
    segments: Vec<Asked<'a>>,
    compare: &'a mut Compare,
    /// How many cells were worked out.
    cells: usize,
    open: BinaryHeap<Way>,
    /// What the cheapest way to an end costs, of those found.
    best: f64,
}

/// One segment of the path.
struct Asked<'a> {
    text: Cow<'a, str>,
    /// Without what may be a template's verb.
    bare: Option<(String, Letters)>,
    letters: Letters,
}

impl<'a> Asked<'a> {
    fn of(segment: &'a str) -> Self {
        let text = decode_segment(segment).unwrap_or(Cow::Borrowed(segment));
        let bare =
            segment.rsplit_once(':').map(|(before, _)| decode_segment(before).unwrap_or(before.into()));
        let bare = bare.map(|bare| (bare.to_string(), Letters::of(&bare)));
        Self { letters: Letters::of(&text), text, bare }
    }

    fn may_be_like(&self, letters: Letters) -> bool {
        let bare = self.bare.as_ref().is_some_and(|(_, bare)| bare.may_be_like(letters));
        bare || self.letters.may_be_like(letters)
    }
}

/// A node that can be gone on from.
struct Way {
    least: f64,
    node: usize,
    /// How many segments lead to the node.
    depth: usize,
    row: Vec<f64>,
}

impl Search<'_> {
    /// What a way may cost at most to be gone on with.
    fn furthest(&self) -> f64 {
        // A template of three segments more than the path is the longest that is compared with it.
        room(0, self.segments.len() + 3).min(self.best + WINDOW)
    }

    /// Opens the ways to what follows a node.
    fn go_on(&mut self, node: &Node, way: &Way) {
        if let Some(child) = node.one {
            self.open(way, child, &Next::Variable);
        }
        if let Some(child) = node.rest {
            self.open(way, child, &Next::Rest);
        }
        let mut chosen = Vec::new();
        // What fits letter by letter is never left out.
        for asked in &self.segments {
            if let Some((text, child)) = node.literals.get_key_value(&*asked.text)
                && chosen.iter().all(|(_, known)| *known != child)
            {
                chosen.push((text, child));
            }
        }
        let (mut alike, mut others) = (0, chosen.len());
        for Literal { text, letters, child } in node.in_order.iter().take(MAX_LITERALS) {
            if self.segments.iter().any(|asked| *asked.text == **text) {
                continue;
            }
            let may_be_like = self.segments.iter().any(|asked| asked.may_be_like(*letters));
            let (count, most) = if may_be_like { (&mut alike, MAX_ALIKE) } else { (&mut others, MAX_OTHERS) };
            if *count < most {
                *count += 1;
                chosen.push((text, child));
            }
        }
        for (text, child) in chosen {
            self.open(way, *child, &Next::Literal(text));
        }
    }

    /// Works out the row of a node that follows another, and keeps the way if it is not too dear.
    fn open(&mut self, from: &Way, node: usize, next: &Next<'_>) {
        if self.cells + from.row.len() > MAX_CELLS {
            return;
        }
        self.cells += from.row.len();
        let missing = if matches!(next, Next::Rest) { 0.0 } else { MISSING };
        let mut row: Vec<f64> = Vec::with_capacity(from.row.len());
        for (at, above) in from.row.iter().enumerate() {
            let less = above + missing;
            let cost = match (at.checked_sub(1), row.last()) {
                (Some(before), Some(left)) => {
                    let last = at + 1 == from.row.len();
                    let both =
                        from.row.get(before).copied().unwrap_or(f64::MAX) + self.cost(before, last, next);
                    less.min(both).min(left + missing)
                }
                _ => less,
            };
            row.push(cost);
        }
        let least = row.iter().copied().fold(f64::MAX, f64::min);
        if least <= self.furthest() {
            self.open.push(Way { least, node, depth: from.depth + 1, row });
        }
    }

    /// What a segment of the path costs at what comes next; the `last` one may have a template's verb.
    fn cost(&mut self, at: usize, last: bool, next: &Next<'_>) -> f64 {
        let Some(asked) = self.segments.get(at) else { return f64::MAX };
        match next {
            Next::Rest => 0.0,
            Next::Variable => self.compare.cost(&asked.text, &Segment::One).0,
            Next::Literal(literal) => {
                let whole = self.compare.literal(&asked.text, literal).0;
                let bare = asked.bare.as_ref().filter(|_| last);
                bare.map_or(whole, |(bare, _)| whole.min(self.compare.literal(bare, literal).0))
            }
        }
    }
}

/// What a template has next.
enum Next<'n> {
    Literal(&'n str),
    Variable,
    Rest,
}

impl Ord for Way {
    /// The greatest is gone on from first: the cheapest, of these the longest, of these what was inserted first.
    fn cmp(&self, other: &Self) -> Ordering {
        let cheaper = other.least.total_cmp(&self.least);
        cheaper.then(self.depth.cmp(&other.depth)).then(other.node.cmp(&self.node))
    }
}

impl PartialOrd for Way {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Way {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Way {}

#[cfg(test)]
mod tests {
    use crate::{
        route::router::Router,
        schema::{Template, Verb},
    };

    /// The nearest of ten thousand templates to a path; a blank where none is near.
    fn check(templates: impl Fn(usize) -> String, path: &str, want: &str) {
        let mut router = Router::default();
        for n in 0..10_000 {
            let template = Template::parse(&templates(n)).unwrap();
            router.insert(&Verb::Get, &template, "m", ()).unwrap();
        }
        let began = std::time::Instant::now();
        let near = router.near(&http::Method::GET, path, 1);
        let took = began.elapsed();
        assert_eq!(near.first().map_or("", |near| &near.template), want, "{path}");
        // Some twenty times what it takes where nothing is optimised.
        assert!(took < std::time::Duration::from_millis(500), "{path}: {took:?}");
    }

    #[test]
    fn of_many_templates_the_nearest_is_found_in_a_bounded_time() {
        let siblings = |n| format!("/v1/projects{n}/{{id}}/things");
        check(siblings, "/v1/projects77/5/thing", "/v1/projects77/{id}/things");
        check(siblings, "/v1/projects9999/5", "/v1/projects9999/{id}/things");
        check(siblings, "/projects9999/5/things", "/v1/projects9999/{id}/things");
        check(siblings, "/wp-login.php", "");
        let services = |n| format!("/service{n}/v1/{{id}}");
        check(services, "/service5000/v2/7", "/service5000/v1/{id}");
        check(services, "/api/service5000/v1/7", "/service5000/v1/{id}");
        let deep = |n| format!("/a/b/c/d{}/e{}/f{n}", n % 10, n % 100);
        check(deep, "/a/b/c/d7/e77/f77x", "/a/b/c/d7/e77/f77");
        check(deep, &"/a".repeat(32), "");
        check(deep, &"/zzz".repeat(32), "");
    }
}
