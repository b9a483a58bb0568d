//! What a route changes of headers, checked.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderName, HeaderValue};

use super::{Check, answers::CONNECTION};
use crate::{
    config::{document::path::child, mistake::Mistake, settings},
    route::{HeaderChanges, HeaderRules},
    surface::metadata::is_identity,
};

/// Credentials are read where they are kept, and an upstream's are its `metadata`.
const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];
/// What the gateway says of where a request comes from.
const FORWARDED: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto"];

/// Which way headers go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Response,
}

impl Check<'_> {
    /// `None` where nothing is changed.
    pub(super) fn header_rules(
        &mut self,
        key: &str,
        request: settings::HeaderChanges,
        response: settings::HeaderChanges,
    ) -> Option<Arc<HeaderRules>> {
        let rules = HeaderRules {
            request: self.changes(&format!("{key}.request_headers"), request, Way::Request),
            response: self.changes(&format!("{key}.response_headers"), response, Way::Response),
        };
        let none = rules.request.is_empty() && rules.response.is_empty();
        (!none).then(|| Arc::new(rules))
    }

    fn changes(&mut self, key: &str, written: settings::HeaderChanges, way: Way) -> HeaderChanges {
        let mut remove = Vec::new();
        for (index, name) in written.remove.iter().enumerate() {
            remove.extend(self.found.take(format!("{key}.remove[{index}]"), changeable(name, way, false)));
        }
        HeaderChanges {
            remove,
            set: self.pairs(&format!("{key}.set"), written.set, way),
            add: self.pairs(&format!("{key}.add"), written.add, way),
        }
    }

    fn pairs(
        &mut self,
        key: &str,
        written: BTreeMap<String, String>,
        way: Way,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut pairs = Vec::with_capacity(written.len());
        for (name, value) in written {
            let path = child(key, &name);
            let value = HeaderValue::try_from(&value).map_err(|_| format!("{value:?} is no header's value"));
            match changeable(&name, way, true) {
                Ok(name) => pairs.extend(self.found.take(path, value).map(|value| (name, value))),
                Err(why) => self.found.push(Mistake::new(path, why).of_key()),
            }
        }
        pairs
    }
}

/// Whether a route may change a header; `given`: to a value that is written in the config.
fn changeable(name: &str, way: Way, given: bool) -> Result<HeaderName, String> {
    let header = HeaderName::try_from(name).map_err(|_| format!("{name:?} is no header's name"))?;
    let text = header.as_str();
    if CONNECTION.contains(&text) || text == "expect" {
        return Err(format!("{name:?} is the connection's own: the gateway writes it where it belongs"));
    }
    if text.starts_with("grpc-") {
        return Err(format!("{name:?} is gRPC's own, and stays as it is"));
    }
    if way == Way::Response {
        return Ok(header);
    }
    if text == "host" {
        return Err("what Host an upstream sees is its `authority`, or keep_host of the route".to_owned());
    }
    if is_identity(text) || FORWARDED.contains(&text) || text == "x-forwarded-host" {
        return Err(format!("{name:?} is the gateway's to say: who calls, and from where"));
    }
    if given && CREDENTIALS.contains(&text) {
        let message =
            "a credential is not written into the config; an upstream's own is its metadata, by reference";
        return Err(message.to_owned());
    }
    Ok(header)
}
