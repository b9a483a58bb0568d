//! `[[routes]]` with a path and an upstream checked.

use super::Check;
use crate::{
    config::settings,
    route::Proxy,
    schema::{Segment, Template},
};

impl Check<'_> {
    pub(super) fn proxy(
        &mut self,
        key: &str,
        written: &settings::Route,
        template: Option<&Template>,
        upstreams: Option<&[String]>,
        of_http: &[String],
    ) -> Proxy {
        let name = written.upstream.as_deref().unwrap_or_default();
        self.upstream_of(key, name, upstreams);
        if upstreams.is_some_and(|names| names.iter().any(|known| known == name))
            && !of_http.iter().any(|known| known == name)
        {
            let message =
                format!("{name:?} speaks gRPC: its methods have paths by their schema or [[http_rules]]");
            self.found.add(format!("{key}.upstream"), message);
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
        let prefix = written.add_prefix.as_deref().unwrap_or_default().trim_end_matches('/');
        let says = Template::parse(if prefix.is_empty() { "/" } else { prefix });
        let plain = says.as_ref().is_ok_and(|says| {
            says.verb().is_none()
                && says.segments().iter().all(|segment| matches!(segment, Segment::Literal(_)))
        });
        if !plain {
            let message = format!("{prefix:?} is no path to stand before another, such as /v2");
            self.found.add(format!("{key}.add_prefix"), message);
        }
        Proxy {
            upstream: name.into(),
            strip,
            prefix: prefix.into(),
            keep_host: written.keep_host == Some(true),
        }
    }
}
