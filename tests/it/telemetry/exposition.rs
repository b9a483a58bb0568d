//! A scrape of `/metrics`, and what it says.

use std::collections::BTreeMap;

use http::Method;

use crate::support::{
    client::{http1, request},
    gateway::TestGateway,
};

/// What a scrape said.
pub(super) struct Scrape {
    pub(super) text: String,
    pub(super) content_type: String,
    pub(super) samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Scrape {
    pub(super) async fn of(gateway: &TestGateway, accept: &str) -> Self {
        Self::of_as(gateway, &[("accept", accept), ("x-request-id", "scrape")]).await
    }

    pub(super) async fn of_as(gateway: &TestGateway, headers: &[(&str, &str)]) -> Self {
        let response = http1(gateway.address, request(&Method::GET, "/metrics", headers, "")).await;
        let (head, (body, _)) = response.into_parts();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(head.status, 200, "{text}");
        let content_type = head.headers["content-type"].to_str().unwrap().to_owned();
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(sample).collect();
        Self { text, content_type, samples }
    }

    /// How many series it has.
    pub(super) fn series(&self) -> usize {
        self.samples.len()
    }

    /// The sum of the samples of this name that have these labels, `name="value",…`; `None` where there is none.
    pub(super) fn sum(&self, name: &str, labels: &str) -> Option<f64> {
        let wanted = pairs(labels);
        let fits = self.samples.iter().filter(|(known, has, _)| {
            known == name
                && wanted.iter().all(|(key, value)| has.get(key).map_or("", String::as_str) == value)
        });
        let values: Vec<f64> = fits.map(|(_, _, value)| *value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
    match series.split_once('{') {
        None => (series.to_owned(), BTreeMap::new(), value),
        Some((name, labels)) => (name.to_owned(), pairs(labels.strip_suffix('}').unwrap()), value),
    }
}

/// None of the tests' values has a quote in it.
fn pairs(labels: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let mut rest = labels;
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').unwrap();
        pairs.insert(name.to_owned(), value.to_owned());
        rest = after.trim_start_matches(',');
    }
    pairs
}
