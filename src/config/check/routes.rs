//! `[[routes]]` checked: a service, a path or a prefix, what answers it, and its rules.

use std::sync::Arc;

use http::StatusCode;

use super::{Check, values::service_pattern};
use crate::{
    config::{
        Action, PathRoute, Rules, ServiceRoute,
        mistake::{Mistake, ROUTE_HOW},
        settings,
    },
    route::{Conditions, Respond, Text},
    schema::{Segment, Template, Verb, nearest},
};

impl Check<'_> {
    /// `upstreams`: the names of all, if all have one. Routes of which it is not known what they are about are left out.
    pub(super) fn routes(
        &mut self,
        written: Vec<settings::Route>,
        upstreams: Option<&[String]>,
        of_http: &[String],
    ) -> (Vec<ServiceRoute>, Vec<PathRoute>) {
        let (mut services, mut paths) = (Vec::new(), Vec::new());
        for (index, route) in written.into_iter().enumerate() {
            let key = format!("routes[{index}]");
            let what = [
                ("service", route.service.is_some()),
                ("path", route.path.is_some()),
                ("prefix", route.prefix.is_some()),
            ];
            let mut said = what.iter().filter(|(_, there)| *there).map(|(name, _)| *name);
            match (said.next(), said.next()) {
                (Some("service"), None) => services.extend(self.service(index, route, upstreams, of_http)),
                (Some(_), None) => {
                    let path = self.path(index, route, upstreams, of_http);
                    paths.extend(path.filter(|_| !self.found.leaves_open(&key, &ROUTE_HOW)));
                }
                (Some(one), Some(other)) => {
                    self.found.add(key, format!("it has both `{one}` and `{other}`; one is needed"));
                }
                (None, _) if self.found.below(&key) => {}
                (None, _) => {
                    self.found.add(key, "it has none of `service`, `path` and `prefix`; one is needed");
                }
            }
        }
        (services, paths)
    }

    /// `grpc`: it is for a service.
    fn rules(&mut self, key: &str, written: &mut settings::Route, grpc: bool) -> Rules {
        Rules {
            retry: written
                .retry
                .take()
                .map(|written| self.route_retry(&format!("{key}.retry"), written, grpc)),
            timeout: self.some_time(&format!("{key}.timeout"), written.timeout.take()),
            request_bytes: written.request_bytes,
            response_bytes: written.response_bytes,
            access: written
                .access
                .take()
                .map(|written| Arc::new(self.rule(&format!("{key}.access"), written))),
            cors: written.cors.take().map(|written| Arc::new(self.cors(&format!("{key}.cors"), written))),
            headers: self.header_rules(
                key,
                std::mem::take(&mut written.request_headers),
                std::mem::take(&mut written.response_headers),
            ),
        }
    }

    fn when(&mut self, key: &str, written: &mut settings::Route) -> Conditions {
        self.conditions(key, written.hosts.take(), std::mem::take(&mut written.headers))
    }

    /// The template of a path, or of all paths with a prefix.
    fn template(&mut self, key: &str, written: &mut settings::Route) -> Option<Template> {
        if let Some(path) = &written.path {
            let template = Template::parse(path).map_err(|problem| problem.to_string());
            return self.found.take(format!("{key}.path"), template);
        }
        let written = written.prefix.as_deref()?;
        let prefix = written.trim_end_matches('/');
        let plain = |template: &Template| {
            let literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
            template.verb().is_none() && template.segments().iter().all(literal)
        };
        let parsed = Template::parse(if prefix.is_empty() { written } else { prefix });
        let template = match parsed {
            Ok(template) if plain(&template) => {
                Template::parse(&format!("{prefix}/{{rest=**}}")).map_err(|problem| problem.to_string())
            }
            Ok(_) => {
                Err(format!("{written:?} is no prefix: it has no variables, no * and no verb; a `path` may"))
            }
            Err(problem) => Err(problem.to_string()),
        };
        self.found.take(format!("{key}.prefix"), template)
    }

    /// One of a route's methods. There are methods beyond those of HTTP itself, so that one of these was meant is but likely.
    fn verb(&mut self, path: &str, name: &str, all: &[String]) {
        let upper = name.to_ascii_uppercase();
        if name == "*" {
            if all.len() > 1 {
                let message = "\"*\" stands for any method: the others beside it do nothing";
                self.found.push(Mistake::new(path, message).warning());
            }
        } else if http::Method::from_bytes(name.as_bytes()).is_err() {
            self.found.add(path, format!("{name:?} is not an HTTP method"));
        } else if !VERBS.contains(&upper.as_str())
            && let Some(near) = nearest(&upper, VERBS)
        {
            let mistake = Mistake::new(path, format!("{name:?} is no method of HTTP's own"));
            self.found.push(mistake.meaning(Some(near)).warning());
        }
    }

    fn service(
        &mut self,
        entry: usize,
        mut written: settings::Route,
        upstreams: Option<&[String]>,
        of_http: &[String],
    ) -> Option<ServiceRoute> {
        let key = &format!("routes[{entry}]");
        let rules = self.rules(key, &mut written, true);
        let when = self.when(key, &mut written);
        let others = [
            ("methods", written.methods.is_some()),
            ("respond", written.respond.is_some()),
            ("redirect", written.redirect.is_some()),
            ("strip_segments", written.strip_segments.is_some()),
            ("add_prefix", written.add_prefix.is_some()),
            ("replace_prefix", written.replace_prefix.is_some()),
            ("keep_host", written.keep_host.is_some()),
            ("escaped_slashes", written.escaped_slashes.is_some()),
        ];
        for (name, _) in others.iter().filter(|(_, there)| *there) {
            let message = format!("{name} is for a route with `path` or `prefix`; this one has `service`");
            self.found.push(Mistake::new(format!("{key}.{name}"), message).of_key());
        }
        let shares = self.shares(key, &mut written, upstreams);
        for (path, share) in &shares {
            if of_http.iter().any(|known| *known == *share.upstream) {
                let message =
                    format!("{:?} speaks plain HTTP, and a service is called by gRPC", &*share.upstream);
                self.found.add(path, message);
            }
        }
        let service = written.service?;
        let pattern = match service.split_once('/') {
            None => service_pattern(service),
            Some((name, method)) => service_pattern(name.to_owned()).map(|name| format!("{name}/{method}")),
        };
        let pattern = self.found.take(format!("{key}.service"), pattern)?;
        let upstreams = shares.into_iter().map(|(_, share)| share).collect();
        Some(ServiceRoute { entry, pattern, upstreams, when, rules })
    }

    fn path(
        &mut self,
        entry: usize,
        mut written: settings::Route,
        upstreams: Option<&[String]>,
        of_http: &[String],
    ) -> Option<PathRoute> {
        let key = &format!("routes[{entry}]");
        let rules = self.rules(key, &mut written, false);
        let when = self.when(key, &mut written);
        if written.response_bytes.is_some() {
            let message = "it does nothing: of a route with `path` no response is transcoded";
            self.found.push(Mistake::new(format!("{key}.response_bytes"), message).of_key());
        }
        let proxied = written.upstream.is_some() || written.upstreams.is_some();
        let of_upstreams = [
            ("strip_segments", written.strip_segments.is_some()),
            ("add_prefix", written.add_prefix.is_some()),
            ("replace_prefix", written.replace_prefix.is_some()),
            ("keep_host", written.keep_host.is_some()),
            ("escaped_slashes", written.escaped_slashes.is_some()),
            ("retry", rules.retry.is_some()),
        ];
        for (name, _) in of_upstreams.iter().filter(|(_, there)| *there && !proxied) {
            let message = format!("{name} is for a route with `upstream`; this one has none");
            self.found.push(Mistake::new(format!("{key}.{name}"), message).of_key());
        }
        let template = self.template(key, &mut written);
        let mut verbs = vec![if proxied { Verb::Any } else { Verb::Get }];
        if let Some(names) = &written.methods {
            if names.is_empty() {
                self.found.add(format!("{key}.methods"), "it is empty; \"*\" stands for any method");
            }
            for (index, name) in names.iter().enumerate() {
                self.verb(&format!("{key}.methods[{index}]"), name, names);
            }
            verbs = names.iter().map(|name| Verb::parse(&name.to_ascii_uppercase())).collect();
        }
        let action = match (written.respond.take(), written.redirect.take()) {
            (None, None) if proxied => {
                Some(Action::Proxy(self.proxies_of(key, &mut written, template.as_ref(), upstreams, of_http)))
            }
            _ if proxied => {
                self.found.add(key, ONE_OF);
                None
            }
            (Some(written), None) => {
                let respond = self.respond(&format!("{key}.respond"), written, template.as_ref());
                respond.map(|respond| Action::Respond(Arc::new(respond)))
            }
            (None, Some(written)) => {
                let redirect = self.redirect(&format!("{key}.redirect"), &written, template.as_ref());
                redirect.map(|redirect| Action::Redirect(Arc::new(redirect)))
            }
            (None, None) if self.found.below(key) => None,
            _ => {
                self.found.add(key, ONE_OF);
                None
            }
        };
        let prefix = written.prefix.as_deref().map(|prefix| prefix.trim_end_matches('/'));
        let prefix =
            prefix.filter(|prefix| !prefix.is_empty()).and_then(|prefix| Template::parse(prefix).ok());
        let key = if written.path.is_some() { "path" } else { "prefix" };
        let path = written.path.take().or(written.prefix.take()).unwrap_or_default();
        let named = written.name.take().unwrap_or_else(|| match when.words() {
            words if words.is_empty() => path,
            words => format!("{path} ({})", words.join(", ")),
        });
        // What is wrong with the answer leaves the path as it is: whether another has it too, can be said.
        let action = action.unwrap_or_else(|| Action::Respond(Arc::new(nothing())));
        Some(PathRoute {
            entry,
            written: key,
            name: named.into(),
            verbs,
            template: template?,
            prefix,
            when,
            action,
            rules,
        })
    }
}

const ONE_OF: &str =
    "a route with `path` or `prefix` has one of `upstream`, `upstreams`, `respond` and `redirect`";

/// What stands for an answer that is wrong.
fn nothing() -> Respond {
    Respond {
        status: StatusCode::NO_CONTENT,
        headers: Vec::new(),
        content_type: Arc::default(),
        body: Text(Vec::new()),
        json: false,
    }
}

/// RFC 9110's methods, and PATCH.
const VERBS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
