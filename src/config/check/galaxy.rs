//! `[galaxy]` checked.

use super::Check;
use crate::{
    automation::{GalaxyBase, GalaxySettings},
    config::settings,
};

impl Check<'_> {
    pub(super) fn galaxy(&mut self, written: settings::Galaxy) -> GalaxySettings {
        let default = GalaxySettings::default();
        let base = written.url.and_then(|text| self.found.take("galaxy.url", GalaxyBase::parse(&text)));
        let popular = written.popular.into_iter().enumerate().filter_map(|(at, name)| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let read = match !name.is_empty() && name.len() <= 64 && name.chars().all(fits) {
                true => Ok(name),
                false => Err(format!("{name:?} is no namespace: it is letters, digits and underscores")),
            };
            self.found.take(format!("galaxy.popular[{at}]"), read)
        });
        let popular = popular.collect();
        GalaxySettings {
            base: base.unwrap_or(default.base),
            ttl: self.time("galaxy.cache_ttl", written.cache_ttl, default.ttl),
            timeout: self.time("galaxy.timeout", written.timeout, default.timeout),
            popular,
            background: written.background.unwrap_or(default.background),
            rate: written.rate.unwrap_or(default.rate),
        }
    }
}
