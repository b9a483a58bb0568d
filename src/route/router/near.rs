//! The templates nearest to a request that none matches, ranked, each laid beside the path segment by segment. For
//! whoever asks why: it compares every template, in a bounded time, which a 404 in earnest does not.

use std::collections::HashMap;

use super::Router;
use crate::route::conditions::Asked;
use crate::schema::{Segment, Template, Verb, decode_segment, likeness};

/// A template near to a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Near {
    pub verb: String,
    pub template: String,
    /// What it was inserted with, such as the method's full name.
    pub label: String,
    /// The template beside the path, in order.
    pub pieces: Vec<Piece>,
    /// Why it does not match, in words.
    pub why: String,
    /// How far it is: 0 for a match.
    pub cost: f64,
}

/// One segment of a template beside one of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// As the template has it; `None` where the path has a segment more.
    pub wanted: Option<String>,
    /// As the path has it; `None` where the path has a segment less.
    pub got: Option<String>,
    pub fits: bool,
}

/// Paths and templates of more segments are not compared.
const MAX_SEGMENTS: usize = 64;
/// Segments longer than this many bytes are not compared: the cost grows with the product of both lengths.
const MAX_LENGTH: usize = 64;
/// So many pairs of segments are compared letter by letter; those beyond count as unlike.
const MAX_COMPARED: usize = 4096;

/// What a segment more or less costs. Two of them cost more than a segment that is another.
const MISSING: f64 = 0.8;
const WRONG_VERB: f64 = 0.4;
const WRONG_HEADERS: f64 = 0.1;
const TRAILING_SLASH: f64 = 0.2;
const CASE: f64 = 0.15;

impl<T> Router<T> {
    /// At most `most` templates near to a request, the nearest first; a template that matches is among them where only the
    /// HTTP method is another.
    pub fn near(&self, method: &http::Method, raw_path: &str, most: usize) -> Vec<Near> {
        self.near_for(method, raw_path, &Asked::default(), most)
    }

    /// The same for a request of which more is known.
    pub(in crate::route) fn near_for(
        &self,
        method: &http::Method,
        raw_path: &str,
        known: &Asked<'_>,
        most: usize,
    ) -> Vec<Near> {
        let mut path: Vec<&str> = raw_path.strip_prefix('/').unwrap_or(raw_path).split('/').collect();
        let slash = path.len() > 1 && path.last() == Some(&"");
        if slash {
            path.pop();
        }
        if path.len() > MAX_SEGMENTS {
            return Vec::new();
        }
        let mut compare = Compare { known: HashMap::new(), left: MAX_COMPARED };
        let ends = self.nodes.iter().flat_map(|node| &node.ends).flat_map(|end| &end.methods);
        let entries = ends.filter_map(|(verb, at)| self.entries.get(*at).map(|entry| (verb, entry)));
        let mut near: Vec<Near> = entries
            .filter_map(|(verb, entry)| {
                let asked = Question { method, path: &path, slash };
                let why_not = entry.headers.why_not(known);
                asked.beside(verb, &entry.template, &entry.label, why_not, &mut compare)
            })
            .collect();
        near.sort_by(|a, b| {
            a.cost.total_cmp(&b.cost).then_with(|| (&a.template, &a.verb).cmp(&(&b.template, &b.verb)))
        });
        let furthest = near.first().map_or(0.0, |nearest| nearest.cost + 0.6);
        near.retain(|near| near.cost <= furthest);
        near.truncate(most);
        near
    }
}

struct Question<'a> {
    method: &'a http::Method,
    path: &'a [&'a str],
    /// The path had a `/` at its end.
    slash: bool,
}

impl Question<'_> {
    /// Lays a template beside the path; `None` if they are far apart.
    fn beside(
        &self,
        verb: &Verb,
        template: &Template,
        label: &str,
        why_not: Vec<String>,
        compare: &mut Compare,
    ) -> Option<Near> {
        let segments = template.segments();
        let rest = segments.contains(&Segment::Rest);
        if !rest && segments.len().abs_diff(self.path.len()) > 3 {
            return None;
        }
        // `POST /v1/{name}:call`: the verb is a part of the last segment as it is written.
        let (mut path, mut suffix) = (self.path.to_vec(), None);
        if template.verb().is_some()
            && let Some(last) = path.last_mut()
            && let Some((before, after)) = last.rsplit_once(':')
        {
            (*last, suffix) = (before, Some(after));
        }
        if path == [""] {
            path.clear();
        }
        let (steps, mut cost) = align(&path, segments, compare);
        let alike = steps.iter().any(|step| step.alike) || segments.is_empty();
        let whole = steps.iter().all(|step| step.fits);
        let mut reasons = Vec::new();
        if let Some(wanted) = template.verb().filter(|wanted| suffix != Some(*wanted)) {
            cost += suffix.map_or(0.5, |got| 0.1 + 0.7 * (1.0 - compare.likeness(got, wanted)));
            reasons.push(match suffix {
                Some(got) => format!("it ends with :{wanted}, not :{got}"),
                None => format!("it ends with :{wanted}"),
            });
        }
        let get = *self.method == http::Method::HEAD && *verb == Verb::Get;
        if *verb != Verb::Any && verb.as_str() != self.method.as_str() && !get {
            cost += WRONG_VERB;
            reasons.push(format!("it is {}, not {}", verb.as_str(), self.method));
        }
        cost += WRONG_HEADERS * why_not.len().min(2) as f64;
        reasons.extend(why_not);
        if self.slash && !rest {
            cost += TRAILING_SLASH;
            reasons.push("it has no slash at its end".to_owned());
        }
        let room = 0.3 * path.len().max(segments.len()).max(1) as f64 + 0.25;
        if cost > room || !(alike || whole) {
            return None;
        }
        let mut pieces = pieces(&steps, &path, suffix, template);
        reasons.splice(0..0, why(&pieces));
        if self.slash && !rest {
            pieces.push(Piece { wanted: None, got: Some(String::new()), fits: false });
        }
        let text = |text: &str| text.to_owned();
        Some(Near {
            verb: text(verb.as_str()),
            template: text(template.as_str()),
            label: text(label),
            pieces,
            why: reasons.join("; "),
            cost,
        })
    }
}

/// One step of laying a template beside a path: which segment of each, and whether they fit.
#[derive(Debug, Clone, Copy)]
struct Step {
    path: Option<usize>,
    template: Option<usize>,
    fits: bool,
    /// A literal that is the path's, or nearly.
    alike: bool,
}

/// The cheapest way to lay the segments of a template beside those of a path, and what it costs (an edit distance).
fn align(path: &[&str], template: &[Segment], compare: &mut Compare) -> (Vec<Step>, f64) {
    let width = template.len() + 1;
    let at = |i: usize, j: usize| i * width + j;
    // The cost from here to both ends, and the step taken: 0 both go on, 1 the template lacks, 2 the path lacks.
    let mut costs = vec![(0.0_f64, 0_u8); (path.len() + 1) * width];
    let get = |costs: &[(f64, u8)], i, j| costs.get(at(i, j)).map_or(f64::MAX, |cell| cell.0);
    for i in (0..=path.len()).rev() {
        for j in (0..=template.len()).rev() {
            let (segment, wanted) = (path.get(i), template.get(j));
            let mut ways: Vec<(f64, u8)> = Vec::with_capacity(3);
            if let (Some(segment), Some(wanted)) = (segment, wanted) {
                ways.push((compare.cost(segment, wanted).0 + get(&costs, i + 1, j + 1), 0));
            }
            let rest = wanted == Some(&Segment::Rest);
            if segment.is_some() {
                // Within a `**`, a segment more costs nothing.
                ways.push((if rest { 0.0 } else { MISSING } + get(&costs, i + 1, j), 1));
            }
            if wanted.is_some() {
                ways.push((if rest { 0.0 } else { MISSING } + get(&costs, i, j + 1), 2));
            }
            if let (Some(best), Some(cell)) =
                (ways.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)), costs.get_mut(at(i, j)))
            {
                *cell = best;
            }
        }
    }
    let (mut i, mut j, mut steps) = (0, 0, Vec::new());
    while i < path.len() || j < template.len() {
        let rest = template.get(j) == Some(&Segment::Rest);
        let (mut step, mut fits, mut alike) = ((Some(i), Some(j)), rest, false);
        match costs.get(at(i, j)).map_or(0, |cell| cell.1) {
            0 => {
                if let (Some(segment), Some(wanted)) = (path.get(i), template.get(j)) {
                    (fits, alike) = {
                        let (cost, alike) = compare.cost(segment, wanted);
                        (cost < CASE, alike)
                    };
                }
                (i, j) = (i + 1, j + 1);
            }
            1 => {
                step = (Some(i), rest.then_some(j));
                i += 1;
            }
            _ => {
                step = (None, Some(j));
                j += 1;
            }
        }
        steps.push(Step { path: step.0, template: step.1, fits, alike });
    }
    (steps, get(&costs, 0, 0))
}

/// Compares segments, remembers what it found, and ends at a bound.
struct Compare {
    known: HashMap<(String, String), f64>,
    left: usize,
}

impl Compare {
    /// What a path's segment costs at a template's, and whether it is nearly the literal there.
    fn cost(&mut self, segment: &str, wanted: &Segment) -> (f64, bool) {
        let literal = match wanted {
            Segment::Rest => return (0.0, false),
            Segment::One if segment.is_empty() => return (MISSING, false),
            Segment::One => return (0.02, false),
            Segment::Literal(literal) => literal,
        };
        let decoded = decode_segment(segment).unwrap_or(segment.into());
        if *decoded == **literal {
            return (0.0, true);
        }
        if decoded.eq_ignore_ascii_case(literal) {
            return (CASE, true);
        }
        match self.likeness(&decoded, literal) {
            likeness if likeness >= 0.5 => (0.2 + 0.8 * (1.0 - likeness), true),
            _ => (1.0, false),
        }
    }

    fn likeness(&mut self, a: &str, b: &str) -> f64 {
        if a.is_empty() || a.len() > MAX_LENGTH || b.len() > MAX_LENGTH {
            return 0.0;
        }
        let key = (a.to_owned(), b.to_owned());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        if self.left == 0 {
            return 0.0;
        }
        self.left -= 1;
        let found = likeness(a, b);
        self.known.insert(key, found);
        found
    }
}

/// The steps with the texts of both sides: the template's as it is written, its verb at the last segment.
fn pieces(steps: &[Step], path: &[&str], suffix: Option<&str>, template: &Template) -> Vec<Piece> {
    let written: Vec<&str> = template.as_str().trim_start_matches('/').split('/').collect();
    let mut pieces: Vec<Piece> = Vec::with_capacity(steps.len());
    let last = path.len().checked_sub(1);
    for step in steps {
        let got = step.path.and_then(|at| path.get(at)).map(|segment| match suffix {
            Some(suffix) if step.path == last => format!("{segment}:{suffix}"),
            _ => (*segment).to_owned(),
        });
        let wanted = step.template.and_then(|at| written.get(at)).map(|text| (*text).to_owned());
        let ends = step.template.is_some_and(|at| at + 1 == template.segments().len());
        // A verb that differs is a difference of the segment it stands at.
        let fits = step.fits && !(ends && template.verb().is_some() && template.verb() != suffix);
        pieces.push(Piece { wanted, got, fits });
    }
    pieces
}

/// Every difference in words, from left to right; runs of segments more or less are one.
fn why(pieces: &[Piece]) -> Vec<String> {
    let first = pieces.iter().position(|piece| piece.fits).unwrap_or(pieces.len());
    let mut reasons: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(piece) = pieces.get(at) {
        let run = |more: fn(&Piece) -> Option<&String>, less: fn(&Piece) -> bool| -> (usize, String) {
            let run: Vec<_> = pieces.iter().skip(at).take_while(|p| !p.fits && less(p)).collect();
            (run.len(), run.iter().filter_map(|p| more(p)).flat_map(|text| ["/", text]).collect())
        };
        match (&piece.wanted, &piece.got) {
            (Some(wanted), Some(got)) if !piece.fits => {
                // Where the template has a verb, the path's is none of the segment.
                let got = match got.rsplit_once(':') {
                    Some((bare, _)) if wanted.contains(':') => bare,
                    _ => got,
                };
                match literal(wanted) {
                    _ if got.is_empty() => reasons.push("a segment may not be empty".to_owned()),
                    // A variable fits; what differs there is the template's verb, which has words of its own.
                    None => {}
                    Some(literal) if literal == got => {}
                    Some(literal) if literal.eq_ignore_ascii_case(got) => {
                        reasons.push(format!("it is {literal:?}, with other capitals than {got:?}"));
                    }
                    Some(literal) => reasons.push(format!("it has {literal:?}, not {got:?}")),
                }
                at += 1;
            }
            (Some(_), None) if !piece.fits => {
                let (length, text) = run(|p| p.wanted.as_ref(), |p| p.got.is_none());
                let begins = at < first;
                let ends = at + length == pieces.len();
                reasons.push(match (begins, ends) {
                    (true, _) => format!("it begins with {text}"),
                    (_, true) => format!("it goes on with {text}"),
                    _ => format!("it has {text} in between"),
                });
                at += length.max(1);
            }
            (None, Some(_)) if !piece.fits => {
                let (length, text) = run(|p| p.got.as_ref(), |p| p.wanted.is_none());
                reasons.push(format!("it has no {text}"));
                at += length.max(1);
            }
            _ => at += 1,
        }
    }
    reasons
}

/// The literal of a template's segment as it is written, such as `shelves` of `{name=shelves`; `None` for a variable.
fn literal(written: &str) -> Option<&str> {
    let text = written.rsplit_once('=').map_or(written, |(_, text)| text);
    let text = text.split(':').next()?.trim_end_matches('}');
    (!text.starts_with('{') && !text.contains('*')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(request: &str) -> Vec<Near> {
        let mut router = Router::default();
        for (verb, template) in [
            (Verb::Get, "/v1/shelves"),
            (Verb::Post, "/v1/shelves"),
            (Verb::Get, "/v1/{name=shelves/*}"),
            (Verb::Delete, "/v1/{name=shelves/*}"),
            (Verb::Get, "/v1/{parent=shelves/*}/books"),
            (Verb::Get, "/v1/{name=shelves/*/books/*}"),
            (Verb::Post, "/v1/{name=shelves/*/books/*}:move"),
            (Verb::Get, "/files/{path=**}"),
            (Verb::Get, "/"),
            (Verb::Any, "/echo/{text}"),
        ] {
            let template = Template::parse(template).unwrap();
            router.insert(&verb, &template, "pkg.S.M", ()).unwrap();
        }
        let (method, path) = request.split_once(' ').unwrap();
        router.near(&method.parse().unwrap(), path, 3)
    }

    /// The nearest template and why; a blank means that nothing is near.
    fn check(request: &str, want: &str, why: &str) {
        let near = near(request);
        let first = near.first();
        let got = first.map(|near| (format!("{} {}", near.verb, near.template), near.why.clone()));
        assert_eq!(got.unwrap_or_default(), (want.to_owned(), why.to_owned()), "{request}: {near:#?}");
    }

    #[test]
    fn the_nearest_and_why() {
        check("GET /v1/shelfs", "GET /v1/shelves", "it has \"shelves\", not \"shelfs\"");
        check(
            "GET /v1/Shelves",
            "GET /v1/shelves",
            "it is \"shelves\", with other capitals than \"Shelves\"",
        );
        check("GET /v1/shelves/", "GET /v1/shelves", "it has no slash at its end");
        check("PUT /v1/shelves/7", "DELETE /v1/{name=shelves/*}", "it is DELETE, not PUT");
        check("PATCH /v1/shelves", "GET /v1/shelves", "it is GET, not PATCH");
        check("GET /shelves/7", "GET /v1/{name=shelves/*}", "it begins with /v1");
        check("GET /api/v1/shelves/7", "GET /v1/{name=shelves/*}", "it has no /api");
        check("GET /v1/shelves/7/boks", "GET /v1/{parent=shelves/*}/books", "it has \"books\", not \"boks\"");
        check("GET /v1/shelves/7/books/8/pages", "GET /v1/{name=shelves/*/books/*}", "it has no /pages");
        check("GET /v1/shelves//books", "GET /v1/{parent=shelves/*}/books", "a segment may not be empty");
        check(
            "POST /v1/shelves/7/books/8:mov",
            "POST /v1/{name=shelves/*/books/*}:move",
            "it ends with :move, not :mov",
        );
        check(
            "POST /v1/shelves/7/boks/8:move",
            "POST /v1/{name=shelves/*/books/*}:move",
            "it has \"books\", not \"boks\"",
        );
        check("POST /v1/shelves/7/books/8", "GET /v1/{name=shelves/*/books/*}", "it is GET, not POST");
        check(
            "GET /v1/shelf/7/book",
            "GET /v1/{parent=shelves/*}/books",
            "it has \"shelves\", not \"shelf\"; it has \"books\", not \"book\"",
        );
        check("POST /files/a/b/c", "GET /files/{path=**}", "it is GET, not POST");
        check("GET /file/a/b/c", "GET /files/{path=**}", "it has \"files\", not \"file\"");
        check("GET /ecko/hello", "* /echo/{text}", "it has \"echo\", not \"ecko\"");
        check("GET /echo", "* /echo/{text}", "it goes on with /{text}");
        check("POST /", "GET /", "it is GET, not POST");
        check("GET /zzz", "", "");
        check("GET /wp-login.php", "", "");
        check(&format!("GET /{}", "a/".repeat(100)), "", "");
        check(&format!("GET /{}", "x".repeat(1000)), "", "");
    }

    #[test]
    fn the_nearest_come_first() {
        let near = near("GET /v1/shelfs/7");
        let near: Vec<_> = near.into_iter().map(|near| format!("{} {}", near.verb, near.template)).collect();
        assert_eq!(near, ["GET /v1/{name=shelves/*}", "DELETE /v1/{name=shelves/*}"]);
    }

    #[test]
    fn every_segment_is_laid_beside_the_path() {
        let near = near("GET /v1/shelfs/7/books");
        let pieces: Vec<_> = near[0]
            .pieces
            .iter()
            .map(|p| (p.wanted.as_deref().unwrap_or("-"), p.got.as_deref().unwrap_or("-"), p.fits))
            .collect();
        let want = [
            ("v1", "v1", true),
            ("{parent=shelves", "shelfs", false),
            ("*}", "7", true),
            ("books", "books", true),
        ];
        assert_eq!(pieces, want);
    }

    #[test]
    fn many_templates_cost_a_bounded_time() {
        let mut router = Router::default();
        for n in 0..10_000 {
            let template = Template::parse(&format!("/v1/projects{n}/{{id}}/things{n}")).unwrap();
            router.insert(&Verb::Get, &template, "m", ()).unwrap();
        }
        let began = std::time::Instant::now();
        let near = router.near(&http::Method::GET, "/v1/project77/5/thing77", 5);
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(near.len() <= 5);
    }
}
