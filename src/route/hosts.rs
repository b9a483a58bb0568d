//! Routers by host: what a request finds by its host, method, path and headers.

use super::{
    by_host::ByHost,
    conditions::{Asked, Conditions, Host},
    router::{Conflict, Found, Miss, Near, Router, Settings},
};
use crate::schema::{Template, Verb};

/// Values by host, HTTP method, path template and headers.
#[derive(Debug)]
pub struct Hosts<T> {
    settings: Settings,
    routers: ByHost<Router<T>>,
}

/// So many hosts are looked through for what is near.
const MOST_COMPARED: usize = 64;
/// What another host costs of what is near.
const WRONG_HOST: f64 = 0.15;

impl<T: Clone> Hosts<T> {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, routers: ByHost::new(Router::new(settings)) }
    }

    /// Adds a value for requests that fulfil these conditions; `label` names it where another takes the same.
    ///
    /// # Errors
    /// What takes the same requests.
    pub fn insert(
        &mut self,
        conditions: &Conditions,
        verb: &Verb,
        template: &Template,
        label: &str,
        value: T,
    ) -> Result<(), Conflict> {
        if conditions.hosts.is_empty() {
            return self.routers.any.insert_for(verb, template, &conditions.headers, label, value);
        }
        for host in &conditions.hosts {
            let router = self.routers.at(host, || Router::new(self.settings));
            router.insert_for(verb, template, &conditions.headers, label, value.clone())?;
        }
        Ok(())
    }
}

impl<T> Hosts<T> {
    /// Finds the value for a request: of its own host if that has one, else of a host that says less.
    ///
    /// # Errors
    /// Why nothing is found.
    pub fn find<'r, 'p>(
        &'r self,
        method: &http::Method,
        raw_path: &'p str,
        asked: &Asked<'_>,
    ) -> Result<Found<'r, 'p, T>, Miss> {
        if let Some(found) =
            self.routers.of(asked).find_map(|router| router.find_for(method, raw_path, asked))
        {
            return found;
        }
        // All that the path has, whichever host says so.
        let allow = self.allow(raw_path, asked);
        Err(if allow.is_empty() { Miss::NotFound } else { Miss::WrongVerb { allow } })
    }

    /// The value of a request, as [`Hosts::find`] finds it (or where it redirects to), and nothing more.
    pub fn get(&self, method: &http::Method, raw_path: &str, asked: &Asked<'_>) -> Option<&T> {
        self.routers.of(asked).find_map(|router| router.get(method, raw_path, asked))
    }

    /// The HTTP methods that a path has for a request, sorted.
    pub fn allow(&self, raw_path: &str, asked: &Asked<'_>) -> Vec<String> {
        let mut allow: Vec<String> =
            self.routers.of(asked).flat_map(|router| router.allow_for(raw_path, asked)).collect();
        allow.sort();
        allow.dedup();
        allow
    }

    /// At most `most` templates of a request's own hosts near to it, the nearest first.
    pub fn near(&self, method: &http::Method, raw_path: &str, asked: &Asked<'_>, most: usize) -> Vec<Near> {
        let mut near: Vec<_> = self
            .routers
            .of(asked)
            .flat_map(|router| router.near_for(method, raw_path, asked, most))
            .collect();
        near.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        near.truncate(most);
        near
    }

    /// At most `most` templates of other hosts near to a request, the nearest first.
    pub fn near_elsewhere(
        &self,
        method: &http::Method,
        raw_path: &str,
        asked: &Asked<'_>,
        most: usize,
    ) -> Vec<Near> {
        let own = |host: &Host| asked.host().is_some_and(|asked| host.is(asked));
        let mut all = Vec::new();
        for (host, router) in self.routers.named().filter(|(host, _)| !own(host)).take(MOST_COMPARED) {
            all.extend(router.near_for(method, raw_path, asked, most).into_iter().map(|mut near| {
                let why = format!("its host is {host}, not {}", asked.host().unwrap_or("none"));
                near.why = if near.why.is_empty() { why } else { format!("{}; {why}", near.why) };
                near.cost += WRONG_HOST;
                near
            }));
        }
        all.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        all.truncate(most);
        all
    }

    /// What was inserted for any host with this template, or one that differs in its variables' names alone.
    pub fn at(&self, template: &Template) -> impl Iterator<Item = (&Verb, &str, &T)> {
        self.routers.any.at(template)
    }

    /// Every template, those for any host first.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.routers.all().flat_map(Router::templates)
    }

    /// Every value, those for any host first; one that is for several hosts is there for each.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.routers.all().flat_map(Router::values)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

    use super::*;
    use crate::route::conditions::{HeaderMatch, Headers};

    /// `HOSTS METHOD TEMPLATE name=value …`, each behind a label.
    fn hosts(routes: &[&'static str]) -> Hosts<&'static str> {
        let mut all = Hosts::new(Settings::default());
        for route in routes {
            let mut words = route.split(' ');
            let mut word = || words.next().unwrap();
            let (label, hosts, verb, path) = (word(), word(), word(), word());
            let conditions = Conditions {
                hosts: hosts
                    .split(',')
                    .filter(|host| *host != "-")
                    .map(|host| Host::parse(host).unwrap())
                    .collect(),
                headers: Headers::new(
                    words
                        .map(|pair| {
                            let (name, value) = pair.split_once('=').unwrap();
                            let value = (value != "*").then(|| HeaderValue::from_str(value).unwrap());
                            HeaderMatch { name: HeaderName::try_from(name).unwrap(), value }
                        })
                        .collect(),
                ),
            };
            let template = Template::parse(path).unwrap();
            all.insert(&conditions, &Verb::parse(verb), &template, label, label)
                .unwrap_or_else(|conflict| panic!("{route}: {conflict}"));
        }
        all
    }

    fn found(hosts: &Hosts<&'static str>, method: &str, uri: &str, headers: &[(&str, &str)]) -> String {
        let uri: Uri = uri.parse().unwrap();
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let asked = Asked::of(&uri, &headers);
        let got = hosts.find(&method, uri.path(), &asked);
        assert_eq!(hosts.get(&method, uri.path(), &asked), got.as_ref().ok().map(|found| found.value));
        match got {
            Ok(found) => (*found.value).to_owned(),
            Err(Miss::WrongVerb { allow }) => format!("405 {}", allow.join(" ")),
            Err(_) => "404".to_owned(),
        }
    }

    /// The order of the Gateway API: host, exact path, longest prefix, method, headers, the config's order.
    #[test]
    fn precedence_is_host_then_exact_path_then_longest_prefix_then_method_then_headers_then_order() {
        let hosts = hosts(&[
            "any - * /{rest=**}",
            "api - * /api/{rest=**}",
            "users - * /api/users/{rest=**}",
            "users-get - GET /api/users/{rest=**}",
            "users-exact - * /api/users",
            "users-v2 - * /api/users/{rest=**} x-version=2",
            "users-any-version - * /api/users/{rest=**} x-version=*",
            "users-v2-beta - * /api/users/{rest=**} x-version=2 x-beta=*",
            "first - * /same/{rest=**} x-a=1",
            "second - * /same/{rest=**} x-b=1",
            "wild *.example.com * /{rest=**}",
            "longer *.shop.example.com * /{rest=**}",
            "exact api.example.com * /api/{rest=**}",
            "exact-post api.example.com POST /api/orders",
        ]);
        type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);
        let rows: &[Row] = &[
            ("GET", "/nowhere", &[], "any"),
            ("GET", "/", &[], "any"),
            ("GET", "/api", &[], "api"),
            ("GET", "/api/", &[], "api"),
            ("GET", "/apis", &[], "any"),
            ("POST", "/api/users/7", &[], "users"),
            ("GET", "/api/users/7", &[], "users-get"),
            ("HEAD", "/api/users/7", &[], "users-get"),
            ("GET", "/api/users", &[], "users-exact"),
            ("GET", "/api/users/", &[], "users-get"),
            ("GET", "/api/usersx", &[], "api"),
            // A method of its own goes before headers.
            ("GET", "/api/users/7", &[("x-version", "2")], "users-get"),
            ("POST", "/api/users/7", &[("x-version", "2")], "users-v2"),
            ("POST", "/api/users/7", &[("x-version", "3")], "users-any-version"),
            ("POST", "/api/users/7", &[("x-version", "2"), ("x-beta", "")], "users-v2-beta"),
            ("POST", "/api/users/7", &[("x-beta", "")], "users"),
            ("GET", "/same/x", &[("x-a", "1"), ("x-b", "1")], "first"),
            ("GET", "/same/x", &[("x-b", "1")], "second"),
            ("GET", "/same/x", &[], "any"),
            ("GET", "/x", &[("host", "a.example.com")], "wild"),
            ("GET", "/x", &[("host", "a.example.com:8443")], "wild"),
            ("GET", "/x", &[("host", "EXAMPLE.com")], "any"),
            ("GET", "/x", &[("host", "a.shop.example.com")], "longer"),
            ("GET", "/x", &[("host", "a.b.shop.example.com")], "longer"),
            ("GET", "/x", &[("host", "shop.example.com")], "wild"),
            // A host that says more goes before a path that does.
            ("GET", "/api/users/7", &[("host", "API.Example.com")], "exact"),
            ("GET", "/api/users", &[("host", "x.example.com")], "wild"),
            ("POST", "/api/orders", &[("host", "api.example.com")], "exact-post"),
            ("PUT", "/api/orders", &[("host", "api.example.com")], "exact"),
            // What the most exact host does not have, a less exact one may.
            ("GET", "/other", &[("host", "api.example.com")], "wild"),
            ("GET", "http://api.example.com/api/x", &[("host", "elsewhere")], "exact"),
        ];
        for (method, uri, headers, want) in rows {
            assert_eq!(found(&hosts, method, uri, headers), *want, "{method} {uri} {headers:?}");
        }
    }

    #[test]
    fn what_is_not_there_for_a_request_is_not_allowed_to_it() {
        let hosts = hosts(&[
            "get - GET /a",
            "put one.example PUT /a",
            "secret - DELETE /a x-secret=1",
            "only - GET /only x-secret=1",
        ]);
        assert_eq!(found(&hosts, "POST", "/a", &[]), "405 GET HEAD");
        assert_eq!(found(&hosts, "POST", "/a", &[("host", "one.example")]), "405 GET HEAD PUT");
        assert_eq!(found(&hosts, "DELETE", "/a", &[("x-secret", "1")]), "secret");
        assert_eq!(found(&hosts, "GET", "/only", &[]), "404");
        assert_eq!(found(&hosts, "GET", "/only", &[("x-secret", "1")]), "only");
        let (uri, headers) = (Uri::from_static("http://two.example/a"), HeaderMap::new());
        let asked = Asked::of(&uri, &headers);
        let mut near = hosts.near(&Method::PUT, "/a", &asked, 9);
        assert!(near.iter().all(|near| near.label != "put"), "{near:?}");
        near.extend(hosts.near_elsewhere(&Method::PUT, "/a", &asked, 9));
        let whys: Vec<_> = near.iter().map(|near| (near.label.as_str(), near.why.as_str())).collect();
        assert!(whys.contains(&("put", "its host is one.example, not two.example")), "{whys:?}");
        assert!(whys.iter().any(|(_, why)| why.contains("it wants the header x-secret: 1")), "{whys:?}");
    }

    #[test]
    fn two_routes_for_the_same_requests_are_told() {
        let mut all = hosts(&["one a.example,*.b.example GET /x", "two - GET /x"]);
        let again = |all: &mut Hosts<_>, host: &str| {
            let conditions = Conditions { hosts: vec![Host::parse(host).unwrap()], ..Conditions::default() };
            let template = Template::parse("/{other=x}").unwrap();
            all.insert(&conditions, &Verb::Get, &template, "three", "three").map_err(|c| c.to_string())
        };
        let conflict = again(&mut all, "*.b.example").unwrap_err();
        assert!(conflict.contains("GET /x of one and GET /{other=x} of three"), "{conflict}");
        assert_eq!(again(&mut all, "b.example"), Ok(()));
    }

    #[test]
    fn a_look_up_costs_the_same_among_ten_and_ten_thousand() {
        let of = |count: usize| {
            let mut all = Hosts::new(Settings::default());
            for number in 0..count {
                let host = Host::parse(&format!("t{number}.example")).unwrap();
                let hosts = if number % 2 == 0 { vec![host] } else { Vec::new() };
                let conditions = Conditions { hosts, ..Conditions::default() };
                let template = Template::parse(&format!("/api/service{number}/{{rest=**}}")).unwrap();
                all.insert(&conditions, &Verb::Any, &template, "", number).unwrap();
            }
            all
        };
        let (few, many) = (of(10), of(10_000));
        let uri = Uri::from_static("/");
        let headers = HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("t8.example:80"))]);
        // The best of many rounds: others use the machine too.
        let cost = |all: &Hosts<usize>| {
            let round = || {
                let begun = std::time::Instant::now();
                for path in ["/api/service8/a/b", "/api/service9/a/b"].iter().cycle().take(200) {
                    all.find(&Method::GET, path, &Asked::of(&uri, &headers)).unwrap();
                }
                begun.elapsed()
            };
            (0..50).map(|_| round()).min().unwrap()
        };
        let (small, large) = (cost(&few), cost(&many));
        assert!(large < small * 5, "{small:?} among ten, {large:?} among ten thousand");
    }
}
