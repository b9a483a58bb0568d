//! Where `[[routes]]` lead, checked: one upstream or several by weight, and as what a path goes on to an HTTP one.

use std::{collections::HashSet, sync::Arc};

use super::Check;
use crate::{
    config::{Share, mistake::Mistake, settings},
    route::Proxy,
    schema::{Segment, Template},
};

impl Check<'_> {
    /// The upstreams of a route, each with the key that names it; `upstreams`: the names of all, if all have one.
    pub(super) fn shares(
        &mut self,
        key: &str,
        written: &mut settings::Route,
        upstreams: Option<&[String]>,
    ) -> Vec<(String, Share)> {
        let mut shares = Vec::new();
        if let Some(name) = written.upstream.take() {
            shares.push((format!("{key}.upstream"), Share { upstream: name.into(), weight: 1 }));
        }
        if let Some(several) = written.upstreams.take() {
            let path = format!("{key}.upstreams");
            if !shares.is_empty() {
                self.found.add(&path, "it has `upstream` too; one of the two says where it leads");
            } else if several.is_empty() {
                self.found.add(&path, "it is empty: nothing would answer");
            } else if several.iter().all(|share| share.weight == Some(0)) {
                self.found.add(&path, "every weight is 0: nothing would answer");
            }
            let mut seen = HashSet::new();
            for (index, settings::Share { name, weight }) in several.into_iter().enumerate() {
                let path = format!("{path}[{index}].name");
                if !seen.insert(name.clone()) {
                    self.found
                        .add(&path, format!("{name:?} is there already; one weight says all of its share"));
                }
                shares.push((path, Share { upstream: name.into(), weight: weight.unwrap_or(1) }));
            }
        }
        for (path, Share { upstream, .. }) in &shares {
            if let Some(names) = upstreams
                && !names.iter().any(|known| *known == **upstream)
            {
                let mistake = Mistake::new(path, format!("{upstream:?} is not among the upstreams"));
                self.found.push(mistake.near(upstream, names.iter().map(String::as_str)));
            }
        }
        shares
    }

    /// As what requests go to each of a route's upstreams, with its weight.
    pub(super) fn proxies_of(
        &mut self,
        key: &str,
        written: &mut settings::Route,
        template: Option<&Template>,
        upstreams: Option<&[String]>,
        of_http: &[String],
    ) -> Vec<(u32, Arc<Proxy>)> {
        let shares = self.shares(key, written, upstreams);
        for (path, Share { upstream, .. }) in &shares {
            let is = |known: &String| **known == **upstream;
            if upstreams.is_some_and(|names| names.iter().any(is)) && !of_http.iter().any(is) {
                let message = format!(
                    "{:?} speaks gRPC: its methods have paths by their schema or [[http_rules]]",
                    &**upstream
                );
                self.found.add(path, message);
            }
        }
        let (strip, prefix) = self.rewrite(key, written, template);
        let proxy = |Share { upstream, weight }: Share| {
            let proxy = Proxy {
                upstream,
                strip,
                prefix: prefix.as_str().into(),
                keep_host: written.keep_host == Some(true),
                escaped_slashes: written.escaped_slashes == Some(true),
            };
            (weight, Arc::new(proxy))
        };
        shares.into_iter().map(|(_, share)| proxy(share)).collect()
    }

    /// How many segments are taken off, and what stands before the rest.
    fn rewrite(
        &mut self,
        key: &str,
        written: &settings::Route,
        template: Option<&Template>,
    ) -> (usize, String) {
        if let Some(replacement) = &written.replace_prefix {
            for (name, there) in [
                ("strip_segments", written.strip_segments.is_some()),
                ("add_prefix", written.add_prefix.is_some()),
            ] {
                if there {
                    let message = format!("{name} does nothing beside replace_prefix, which says it all");
                    self.found.push(Mistake::new(format!("{key}.{name}"), message).of_key());
                }
            }
            if written.prefix.is_none() {
                let message = "replace_prefix is for a route with `prefix`; one with `path` has strip_segments and add_prefix";
                self.found.push(Mistake::new(format!("{key}.replace_prefix"), message).of_key());
            }
            let segments = template.map_or(0, |template| template.segments().len().saturating_sub(1));
            return (segments, self.plain(&format!("{key}.replace_prefix"), replacement));
        }
        let strip = written.strip_segments.unwrap_or(0);
        if let Some(template) = template {
            let fixed = template.segments().iter().take_while(|segment| **segment != Segment::Rest).count();
            if strip > fixed {
                let message =
                    format!("{template} has {fixed} segments that every path has; {strip} are more");
                self.found.add(format!("{key}.strip_segments"), message);
            }
        }
        let add = written.add_prefix.as_deref().unwrap_or_default();
        (strip, self.plain(&format!("{key}.add_prefix"), add))
    }

    /// A path to stand before another, without a slash at its end.
    fn plain(&mut self, path: &str, written: &str) -> String {
        let prefix = written.trim_end_matches('/');
        let says = Template::parse(if prefix.is_empty() { "/" } else { prefix });
        let plain = says.as_ref().is_ok_and(|says| {
            says.verb().is_none()
                && says.segments().iter().all(|segment| matches!(segment, Segment::Literal(_)))
        });
        if !plain {
            let message = format!("{written:?} is no path to stand before another, such as /v2");
            self.found.add(path, message);
        }
        prefix.to_owned()
    }
}
