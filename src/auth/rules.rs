//! What a rule is about: gRPC methods by their names, or HTTP paths. The most exact pattern decides; a method that has
//! several paths is under the rule of each of them, on every surface.
//!
//! ```text
//! pattern = service | service "/" method | package ".*" | "*"          of gRPC's names
//!         | [ verb " " ] path | [ verb " " ] path "/**"                 of paths: a template, or a prefix of segments
//! ```

use std::sync::Arc;

use crate::schema::{Segment, Template, Verb};

/// One pattern of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// `package.Service/Method`, without a slash at its beginning.
    Method(String),
    /// `package.Service`
    Service(String),
    /// What names begin with: `package.` of `package.*`; empty for all.
    Package(String),
    /// A path template; `verb` where it is about one alone.
    Path { verb: Option<Verb>, template: Template },
    /// Every path that begins with these segments, and the path of these segments itself.
    Under { verb: Option<Verb>, prefix: Template },
}

/// A method or a path's route, as patterns see it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// `package.Service/Method`, or the pattern of a service whose schema is not known; empty for a path alone.
    pub method: &'a str,
    /// Its paths by its rules: a verb and a template each.
    pub paths: &'a [(Verb, Arc<Template>)],
}

/// How a pattern covers a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    No,
    /// Some requests of the path are under it and others are not.
    Partly,
    /// All of them; the more exact pattern has the larger number.
    Whole(usize),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is none, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (verb, rest) = match text.split_once(' ') {
            Some((verb, path))
                if verb.bytes().all(|byte| byte.is_ascii_uppercase()) && path.starts_with('/') =>
            {
                (Some(Verb::parse(verb)), path)
            }
            _ => (None, text),
        };
        if rest.starts_with('/') {
            let template = |path: &str| Template::parse(path).map_err(|error| format!("{text:?}: {error}"));
            return match rest.strip_suffix("/**") {
                Some(prefix) if !prefix.contains(['*', '{']) => {
                    let prefix = template(if prefix.is_empty() { "/" } else { prefix })?;
                    Ok(Self::Under { verb, prefix })
                }
                _ => Ok(Self::Path { verb, template: template(rest)? }),
            };
        }
        let name = |text: &str| {
            let part = |part: &str| {
                !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            };
            text.split('.').all(part)
        };
        match (text.split_once('/'), text.strip_suffix('*')) {
            (Some((service, method)), _) if name(service) && name(method) && !method.contains('.') => {
                Ok(Self::Method(text.to_owned()))
            }
            (None, Some(prefix)) if prefix.is_empty() || name(prefix.strip_suffix('.').unwrap_or(prefix)) => {
                Ok(Self::Package(prefix.to_owned()))
            }
            (None, None) if name(text) => Ok(Self::Service(text.to_owned())),
            _ => Err(format!(
                "{text:?} is no pattern: it is package.Service, package.Service/Method, package.*, a path, or a path with /** behind it"
            )),
        }
    }

    /// How exactly this pattern names a place's method; `None` where it does not.
    #[must_use]
    pub fn names(&self, place: &Place<'_>) -> Option<usize> {
        let method = place.method;
        let fits = !method.is_empty()
            && match self {
                Self::Method(name) => method == name,
                Self::Service(name) => method.split_once('/').map_or(method, |(service, _)| service) == name,
                Self::Package(prefix) => method.starts_with(prefix.as_str()),
                Self::Path { .. } | Self::Under { .. } => false,
            };
        fits.then(|| self.exactness())
    }

    /// How this pattern covers one path of a place.
    #[must_use]
    pub fn covers(&self, path_verb: &Verb, path: &Template) -> Cover {
        let (verb, cover) = match self {
            Self::Path { verb, template } => {
                let same = template.segments() == path.segments() && template.verb() == path.verb();
                (verb, if same { Cover::Whole(self.exactness()) } else { Cover::No })
            }
            Self::Under { verb, prefix } => (verb, self.under(prefix, path)),
            Self::Method(_) | Self::Service(_) | Self::Package(_) => return Cover::No,
        };
        match (verb, path_verb) {
            (None, _) => cover,
            (Some(verb), path_verb) if verb == path_verb => cover,
            (Some(_), Verb::Any) if cover != Cover::No => Cover::Partly,
            _ => Cover::No,
        }
    }

    fn under(&self, prefix: &Template, path: &Template) -> Cover {
        let mut segments = path.segments().iter();
        let mut partly = false;
        for wanted in prefix.segments() {
            match segments.next() {
                Some(segment) if segment == wanted => {}
                Some(Segment::One) => partly = true,
                Some(Segment::Rest) => return Cover::Partly,
                Some(Segment::Literal(_)) | None => return Cover::No,
            }
        }
        if partly { Cover::Partly } else { Cover::Whole(self.exactness()) }
    }

    /// True for a pattern of gRPC's names that lies within another, which ends in `*` or is a service's name.
    #[must_use]
    pub fn within(&self, service_pattern: &str) -> bool {
        let inside = |name: &str| match service_pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name.split_once('/').map_or(name, |(service, _)| service) == service_pattern,
        };
        match self {
            Self::Method(name) | Self::Service(name) | Self::Package(name) => inside(name),
            Self::Path { .. } | Self::Under { .. } => false,
        }
    }

    fn exactness(&self) -> usize {
        const METHOD: usize = 1 << 20;
        const SERVICE: usize = 1 << 19;
        match self {
            Self::Method(_) => METHOD,
            Self::Service(_) => SERVICE,
            Self::Package(prefix) => prefix.len(),
            Self::Path { verb, .. } => METHOD + usize::from(verb.is_some()),
            Self::Under { verb, prefix } => 2 * prefix.segments().len() + usize::from(verb.is_some()),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb =
            |verb: &Option<Verb>| verb.as_ref().map_or(String::new(), |verb| format!("{} ", verb.as_str()));
        match self {
            Self::Method(name) | Self::Service(name) => f.write_str(name),
            Self::Package(prefix) => write!(f, "{prefix}*"),
            Self::Path { verb: about, template } => write!(f, "{}{template}", verb(about)),
            Self::Under { verb: about, prefix } => {
                write!(f, "{}{}/**", verb(about), prefix.as_str().trim_end_matches('/'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(verb: Verb, template: &str) -> (Verb, Arc<Template>) {
        (verb, Arc::new(Template::parse(template).unwrap()))
    }

    #[test]
    fn a_pattern_names_methods_or_paths() {
        let paths = [
            path(Verb::Get, "/v1/items/{name}"),
            path(Verb::Post, "/v1/items:find"),
            path(Verb::Get, "/{any=**}"),
            path(Verb::Any, "/v1/{x}/y"),
        ];
        let place = Place { method: "shop.v1.Shop/Get", paths: &paths };
        // Whether it names the method, the paths it covers, and those it covers a part of.
        let check = |text: &str, names: bool, whole: &[usize], partly: &[usize]| {
            let pattern = Pattern::parse(text).unwrap();
            assert_eq!(pattern.to_string(), text);
            assert_eq!(pattern.names(&place).is_some(), names, "{text}");
            let covers: Vec<Cover> = paths.iter().map(|(verb, path)| pattern.covers(verb, path)).collect();
            let find = |want: fn(&Cover) -> bool| -> Vec<usize> {
                (0..covers.len()).filter(|at| want(&covers[*at])).collect()
            };
            assert_eq!(find(|cover| matches!(cover, Cover::Whole(_))), whole, "{text}");
            assert_eq!(find(|cover| *cover == Cover::Partly), partly, "{text}");
        };
        for names in ["*", "shop.*", "shop.v1.*", "shop.v1.Shop", "shop.v1.Shop/Get"] {
            check(names, true, &[], &[]);
        }
        for not in ["shop.v1.Shop/Put", "shop.v1.Sho", "sho.*", "/v2/*", "/Get"] {
            check(not, false, &[], &[]);
        }
        check("/v1/items/{id}", false, &[0], &[]);
        check("POST /v1/items/{id}", false, &[], &[]);
        check("/**", false, &[0, 1, 2, 3], &[]);
        check("/v1/**", false, &[0, 1, 3], &[2]);
        check("GET /v1/**", false, &[0], &[2, 3]);
        check("/v1/items/**", false, &[0, 1], &[2, 3]);
        check("/v1/item/**", false, &[], &[2, 3]);
        check("/v2/**", false, &[], &[2]);
        for bad in
            ["", " ", "shop..v1", "shop.v1.Shop/", "a b", "shop.*.x", "GET shop", "a/b/c", "/v1/{", "a/*"]
        {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_more_exact_pattern_has_more_weight() {
        let paths = [path(Verb::Get, "/v1/items/{name}")];
        let place = Place { method: "shop.v1.Shop/Get", paths: &paths };
        let weight = |text: &str| {
            let pattern = Pattern::parse(text).unwrap();
            match pattern.covers(&paths[0].0, &paths[0].1) {
                Cover::Whole(weight) => weight,
                _ => pattern.names(&place).unwrap(),
            }
        };
        let rising = ["*", "shop.*", "shop.v1.*", "shop.v1.Shop", "shop.v1.Shop/Get"];
        assert!(rising.windows(2).all(|pair| weight(pair[0]) < weight(pair[1])));
        let rising = ["/v1/**", "GET /v1/**", "/v1/items/**", "/v1/items/{x}", "GET /v1/items/{x}"];
        assert!(rising.windows(2).all(|pair| weight(pair[0]) < weight(pair[1])));
    }
}
