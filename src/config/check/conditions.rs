//! What a route wants of a request beside its path or service, checked: hosts and headers.

use std::collections::{BTreeMap, HashSet};

use http::{HeaderName, HeaderValue, header};

use super::Check;
use crate::{
    config::{document::path::child, mistake::Mistake},
    route::{Conditions, HeaderMatch, Headers, Host},
    surface::metadata::is_identity,
};

impl Check<'_> {
    pub(super) fn conditions(
        &mut self,
        key: &str,
        hosts: Option<Vec<String>>,
        headers: BTreeMap<String, String>,
    ) -> Conditions {
        if hosts.as_ref().is_some_and(Vec::is_empty) {
            self.found.add(format!("{key}.hosts"), "it is empty: without it, the route is for any host");
        }
        let mut seen = HashSet::new();
        let mut meant = Vec::new();
        for (index, text) in hosts.into_iter().flatten().enumerate() {
            let path = format!("{key}.hosts[{index}]");
            let Some(host) = self.found.take(path.clone(), Host::parse(&text)) else { continue };
            if seen.insert(host.clone()) {
                meant.push(host);
            } else {
                self.found.push(Mistake::new(path, format!("{text:?} is there already")).warning());
            }
        }
        let headers = headers.into_iter().filter_map(|(name, value)| {
            let path = child(&format!("{key}.headers"), &name);
            let wanted = wanted(&name, &value);
            wanted.map_err(|why| self.found.push(Mistake::new(path, why).of_key())).ok()
        });
        Conditions { headers: Headers::new(headers.collect()), hosts: meant }
    }
}

fn wanted(name: &str, value: &str) -> Result<HeaderMatch, String> {
    let header = HeaderName::try_from(name).map_err(|_| format!("{name:?} is no header's name"))?;
    if header == header::HOST {
        return Err("the host of a request is said by `hosts`".to_owned());
    }
    if is_identity(name) {
        return Err(format!(
            "what a client says under {name:?} is never believed: it is the gateway's to say"
        ));
    }
    let value = match value {
        "*" => None,
        value => Some(HeaderValue::try_from(value).map_err(|_| format!("{value:?} is no header's value"))?),
    };
    Ok(HeaderMatch { name: header, value })
}
