//! What would never be reached, because the gateway has something of its own there.

use std::collections::HashSet;

use crate::{
    config::{BuiltIns, Own, Page},
    route::Destination,
    schema::{Segment, Template, Verb},
    surface::rest::RestBuilder,
};

/// Below it is what RFC 8615 gives a fixed path.
const WELL_KNOWN: &str = "/.well-known";

/// What the gateway answers before any route.
pub(super) struct Shadows(Vec<Place>);

/// A path that is the gateway's.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: String,
    /// So is every path below it.
    below: bool,
    whose: Whose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    BuiltIn(Own),
    Mcp,
    /// It is always kept.
    Standard,
}

impl Place {
    fn words(&self) -> String {
        let path = &self.path;
        match self.whose {
            Whose::BuiltIn(own) => format!("the gateway's own {path} ([builtin.{}])", own.name()),
            Whose::Mcp => {
                format!("{path} of MCP (mcp.path moves it, and mcp.enabled = false switches it off)")
            }
            Whose::Standard => format!("{path}, which is kept for the gateway itself"),
        }
    }

    fn own(&self) -> Option<Own> {
        match self.whose {
            Whose::BuiltIn(own) => Some(own),
            Whose::Mcp | Whose::Standard => None,
        }
    }
}

impl Shadows {
    /// `mcp`: where MCP's endpoint is, if there is one.
    pub(super) fn new(built_ins: &BuiltIns, mcp: Option<&str>) -> Self {
        let pages = built_ins.pages().into_iter().map(|(path, page)| Place {
            path,
            below: matches!(page, Page::Docs | Page::Redoc),
            whose: Whose::BuiltIn(page.own()),
        });
        let kept = mcp.map(|path| (path, Whose::Mcp)).into_iter().chain([(WELL_KNOWN, Whose::Standard)]);
        let kept = kept.map(|(path, whose)| Place { path: path.to_owned(), below: true, whose });
        Self(pages.chain(kept).collect())
    }

    /// Pages that would never be reached: the key that is to be another, and why. Of two that have one path it is told once,
    /// of the one that was moved there.
    pub(super) fn among_pages(&self, built_ins: &BuiltIns) -> Vec<(String, String)> {
        let mut told = HashSet::new();
        let mut hidden = Vec::new();
        for (at, page) in self.0.iter().enumerate() {
            let (Some(own), Ok(template)) = (page.own(), Template::parse(&page.path)) else { continue };
            // What is known by its path is below this one: the key set is a page.
            let hides = |(other, place): &(usize, &Place)| {
                *other != at && place.whose != Whose::Standard && hides(place, &template)
            };
            let Some((other, place)) = self.0.iter().enumerate().find(hides) else { continue };
            if !told.insert((at.min(other), at.max(other))) {
                continue;
            }
            // Whoever was moved there may be moved elsewhere.
            let key = match place.whose {
                Whose::BuiltIn(other) if built_ins.is_moved(other) && !built_ins.is_moved(own) => {
                    built_ins.key(other)
                }
                Whose::Mcp if !built_ins.is_moved(own) => "mcp.path".to_owned(),
                _ => built_ins.key(own),
            };
            hidden.push((key, format!("{} would never be reached: there is {}", page.path, place.words())));
        }
        hidden
    }

    /// The built-in whose page hides a template of the gateway's own services.
    pub(super) fn hider(&self, template: &Template) -> Option<Own> {
        self.0.iter().find(|page| hides(page, template))?.own()
    }

    /// What hides a template of the gateway's own services: a page.
    pub(super) fn page(&self, template: &Template) -> Option<String> {
        Some(self.0.iter().find(|page| hides(page, template))?.words())
    }

    /// What of the gateway's own has the very path that a prefix of the config's is, which would be reached below it alone.
    /// `some`: it is for some hosts or headers, and goes before methods.
    pub(super) fn of_prefix(
        &self,
        rest: &RestBuilder,
        verb: &Verb,
        prefix: &Template,
        some: bool,
    ) -> Option<String> {
        let what = if some { self.page(prefix) } else { self.of(rest, verb, prefix) }?;
        let own = what.rsplit_once("[builtin.").and_then(|(_, rest)| rest.split(']').next());
        let out = own.map(|own| {
            format!("; builtin.{own}.prefix moves it, and builtin.{own}.enabled = false switches it off")
        });
        Some(format!("{what}{}", out.unwrap_or_default()))
    }

    /// What hides a configured verb and template: a page, or a method of the gateway's own.
    pub(super) fn of(&self, rest: &RestBuilder, verb: &Verb, template: &Template) -> Option<String> {
        self.page(template).or_else(|| {
            let same = |known: &Verb| known == verb || *verb == Verb::Any;
            let local = |destination: &Destination| *destination == Destination::Local;
            let mut all = rest.at(template);
            let (known, method, _) =
                all.find(|(known, _, route)| same(known) && local(&route.destination))?;
            let service = method.rsplit_once('.').map_or(method, |(service, _)| service);
            let own = BuiltIns::of_service(service).map_or("", |own| own.name());
            Some(format!("{known} {template} of the gateway's own {method} ([builtin.{own}])"))
        })
    }
}

/// Whether every request of a template is a page's.
fn hides(page: &Place, template: &Template) -> bool {
    let path = page.path.trim_start_matches('/');
    let page_segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let segments = template.segments();
    let begins = page_segments.len() <= segments.len()
        && page_segments
            .iter()
            .zip(segments)
            .all(|(page, segment)| matches!(segment, Segment::Literal(text) if **text == **page));
    let longer = segments.len() > page_segments.len();
    begins && if longer { page.below } else { template.verb().is_none() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BuiltIn;

    fn built_ins(moved: &[(Own, &str)], off: &[Own]) -> BuiltIns {
        let mut all = BuiltIns::default();
        for (own, prefix) in moved {
            all.set(*own, BuiltIn { prefix: (*prefix).into(), ..all.get(*own) });
        }
        for own in off {
            all.set(*own, BuiltIn { enabled: false, ..all.get(*own) });
        }
        all
    }

    #[test]
    fn of_two_pages_at_one_path_the_one_that_was_moved_there_is_told() {
        let check = |moved: &[(Own, &str)], want: &[(&str, &str)]| {
            let all = built_ins(moved, &[]);
            let told = Shadows::new(&all, Some("/mcp")).among_pages(&all);
            let told: Vec<_> = told.iter().map(|(key, why)| (key.as_str(), why.as_str())).collect();
            assert_eq!(told, want, "{moved:?}");
        };
        let at_docs = "/docs would never be reached: there is the gateway's own /docs ([builtin.";
        check(&[], &[]);
        for (moved, want) in [
            (vec![(Own::Index, "/docs")], "builtin.index.prefix"),
            (vec![(Own::Redoc, "/docs")], "builtin.redoc.prefix"),
        ] {
            let all = built_ins(&moved, &[]);
            let told = Shadows::new(&all, Some("/mcp")).among_pages(&all);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].0 == want && told[0].1.starts_with(at_docs), "{told:?}");
        }
        let all = built_ins(&[(Own::Docs, "/x"), (Own::Redoc, "/x")], &[]);
        assert_eq!(Shadows::new(&all, Some("/mcp")).among_pages(&all).len(), 1);
        check(
            &[(Own::Probes, "/mcp")],
            &[
                (
                    "builtin.probes.prefix",
                    "/mcp/livez would never be reached: there is /mcp of MCP (mcp.path moves it, and mcp.enabled = false switches it off)",
                ),
                (
                    "builtin.probes.prefix",
                    "/mcp/readyz would never be reached: there is /mcp of MCP (mcp.path moves it, and mcp.enabled = false switches it off)",
                ),
            ],
        );
    }

    #[test]
    fn an_endpoint_that_is_moved_onto_a_page_is_told_of_by_its_own_key() {
        let all = built_ins(&[], &[]);
        let told = Shadows::new(&all, Some("/livez")).among_pages(&all);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].0 == "mcp.path" && told[0].1.contains("there is /livez of MCP"), "{told:?}");
    }

    #[test]
    fn pages_hide_what_is_wholly_theirs() {
        let check = |built_ins: BuiltIns, template: &str, want: bool| {
            let found = Shadows::new(&built_ins, Some("/mcp")).page(&Template::parse(template).unwrap());
            assert_eq!(found.is_some(), want, "{template}: {found:?}");
        };
        let as_is = || built_ins(&[], &[]);
        check(as_is(), "/", true);
        check(as_is(), "/livez", true);
        check(as_is(), "/readyz", true);
        check(as_is(), "/livez/more", false);
        check(as_is(), "/livez:check", false);
        check(as_is(), "/{name}", false);
        check(as_is(), "/{path=**}", false);
        check(as_is(), "/openapi.json", true);
        check(as_is(), "/openapi.json/x", false);
        check(as_is(), "/docs", true);
        check(as_is(), "/docs/{page}", true);
        check(as_is(), "/docs/x:y", true);
        check(as_is(), "/docs:y", false);
        check(as_is(), "/document", false);
        check(as_is(), "/redoc/{rest=**}", true);
        check(as_is(), "/mcp", true);
        check(as_is(), "/mcp/oauth", true);
        check(as_is(), "/mcps", false);
        check(as_is(), "/.well-known/security.txt", true);
        check(built_ins(&[], &[Own::Index, Own::Docs]), "/", false);
        check(built_ins(&[], &[Own::Index, Own::Docs]), "/docs/{page}", false);
        check(built_ins(&[(Own::Docs, "/help/api")], &[]), "/docs", false);
        check(built_ins(&[(Own::Docs, "/help/api")], &[]), "/help/{topic}", false);
        check(built_ins(&[(Own::Docs, "/help/api")], &[]), "/help/api/{topic}", true);
        check(built_ins(&[(Own::Probes, "/internal")], &[]), "/livez", false);
        check(built_ins(&[(Own::Probes, "/internal")], &[]), "/internal/readyz", true);
        check(built_ins(&[(Own::Index, "/about")], &[]), "/about", true);
        check(built_ins(&[(Own::Index, "/about")], &[]), "/", false);
    }
}
