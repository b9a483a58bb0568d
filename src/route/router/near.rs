//! The templates nearest to a request that none matches, ranked, each laid beside the path segment by segment. A 404 and
//! whoever asks why are told by this one ranking; what is compared at all is chosen in a bounded time (`candidates`).

use super::{
    Router,
    alike::{CASE, Compare, MISSING},
    candidates,
};
use crate::{
    route::conditions::Asked,
    schema::{Segment, Template, Verb},
};

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

/// Paths of more segments are not compared.
const MAX_SEGMENTS: usize = 32;

const WRONG_VERB: f64 = 0.4;
const WRONG_HEADERS: f64 = 0.1;
const TRAILING_SLASH: f64 = 0.2;
/// What is so much further than the nearest is not told beside it.
const BEYOND_THE_NEAREST: f64 = 0.6;

impl<T> Router<T> {
    /// At most `most` templates near to a request, the nearest first; a template that matches is among them where only the
    /// HTTP method is another. The first is the same however many are asked for.
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
        let asked = Question { method, path: &path, slash };
        let mut compare = Compare::default();
        let entries = candidates::of(&self.nodes, &path, &mut compare);
        let entries = entries.into_iter().filter_map(|(verb, at)| Some((verb, self.entries.get(at)?)));
        let mut near: Vec<_> = entries
            .filter_map(|(verb, entry)| {
                let mut beside = asked.beside(verb, &entry.template, &mut compare)?;
                beside.why_not = entry.headers.why_not(known);
                beside.cost += WRONG_HEADERS * beside.why_not.len().min(2) as f64;
                Some((beside, verb, entry))
            })
            .collect();
        near.sort_by(|(a, a_verb, a_entry), (b, b_verb, b_entry)| {
            let by_template = || a_entry.template.as_str().cmp(b_entry.template.as_str());
            let by_verb = || a_verb.as_str().cmp(b_verb.as_str());
            a.cost.total_cmp(&b.cost).then_with(by_template).then_with(by_verb)
        });
        let furthest = near.first().map_or(0.0, |(nearest, ..)| nearest.cost + BEYOND_THE_NEAREST);
        let near = near.into_iter().take_while(|(beside, ..)| beside.cost <= furthest).take(most);
        near.map(|(beside, verb, entry)| asked.in_words(beside, verb, &entry.template, &entry.label))
            .collect()
    }
}

struct Question<'a> {
    method: &'a http::Method,
    path: &'a [&'a str],
    /// The path had a `/` at its end.
    slash: bool,
}

/// A template that was laid beside the path.
struct Beside<'a> {
    /// The path without the template's verb.
    path: Vec<&'a str>,
    /// The verb that the path has, where the template has one.
    suffix: Option<&'a str>,
    steps: Vec<Step>,
    cost: f64,
    /// What else it wants of a request that this one does not have.
    why_not: Vec<String>,
}

impl<'a> Question<'a> {
    /// Lays a template beside the path; `None` if they are far apart.
    fn beside(&self, verb: &Verb, template: &Template, compare: &mut Compare) -> Option<Beside<'a>> {
        let segments = template.segments();
        if !segments.contains(&Segment::Rest) && segments.len().abs_diff(self.path.len()) > 3 {
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
        if let Some(wanted) = template.verb().filter(|wanted| suffix != Some(*wanted)) {
            cost += suffix.map_or(0.5, |got| 0.1 + 0.7 * (1.0 - compare.likeness(got, wanted)));
        }
        if self.other_verb(verb) {
            cost += WRONG_VERB;
        }
        if self.slash_too_many(segments) {
            cost += TRAILING_SLASH;
        }
        let near = cost <= room(path.len(), segments.len()) && (alike || whole);
        near.then_some(Beside { path, suffix, steps, cost, why_not: Vec::new() })
    }

    /// Says what a template laid beside the path is, and why it does not match.
    fn in_words(&self, beside: Beside<'_>, verb: &Verb, template: &Template, label: &str) -> Near {
        let Beside { path, suffix, steps, cost, why_not } = beside;
        let mut pieces = pieces(&steps, &path, suffix, template);
        let mut reasons = why(&pieces);
        if let Some(wanted) = template.verb().filter(|wanted| suffix != Some(*wanted)) {
            reasons.push(match suffix {
                Some(got) => format!("it ends with :{wanted}, not :{got}"),
                None => format!("it ends with :{wanted}"),
            });
        }
        if self.other_verb(verb) {
            reasons.push(format!("it is {}, not {}", verb.as_str(), self.method));
        }
        reasons.extend(why_not);
        if self.slash_too_many(template.segments()) {
            reasons.push("it has no slash at its end".to_owned());
            pieces.push(Piece { wanted: None, got: Some(String::new()), fits: false });
        }
        let text = |text: &str| text.to_owned();
        Near {
            verb: text(verb.as_str()),
            template: text(template.as_str()),
            label: text(label),
            pieces,
            why: reasons.join("; "),
            cost,
        }
    }

    fn other_verb(&self, verb: &Verb) -> bool {
        let get = *self.method == http::Method::HEAD && *verb == Verb::Get;
        *verb != Verb::Any && verb.as_str() != self.method.as_str() && !get
    }

    fn slash_too_many(&self, template: &[Segment]) -> bool {
        self.slash && !template.contains(&Segment::Rest)
    }
}

/// What a template may cost at most to be near to a path, by the numbers of their segments.
pub(super) fn room(path: usize, template: usize) -> f64 {
    0.3 * path.max(template).max(1) as f64 + 0.25
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
            // Within a `**`, a segment more costs nothing.
            let missing = if wanted == Some(&Segment::Rest) { 0.0 } else { MISSING };
            let both = segment
                .zip(wanted)
                .map(|(segment, wanted)| (compare.cost(segment, wanted).0 + get(&costs, i + 1, j + 1), 0));
            let more = segment.map(|_| (missing + get(&costs, i + 1, j), 1));
            let less = wanted.map(|_| (missing + get(&costs, i, j + 1), 2));
            let ways = [both, more, less].into_iter().flatten();
            if let (Some(best), Some(cell)) =
                (ways.min_by(|a, b| a.0.total_cmp(&b.0)), costs.get_mut(at(i, j)))
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
